/**
 * Changes of a group by MLS: what a commit and a welcome weigh, and how long they take, without a relay.
 *
 * @module
 */
import { random } from "../src/client/group/e2e/derive.ts";
import type { GroupChange } from "../src/client/group/mls/commit_maker.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { GroupMembership, type PreparedCommit } from "../src/client/group/mls/group_membership.ts";
import { answerKnock } from "../src/client/group/mls/knock_answer.ts";
import { GroupNewcomer } from "../src/client/group/mls/newcomer.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import { median, print, title } from "./table.ts";

const SIZES = [2, 11, 100];
const ROUNDS = 5;

/** Times of one change, in milliseconds. */
interface Timed {
  readonly commit: number;
  readonly welcome: number;
  readonly make: number;
  readonly judge: number;
}

/** A group of which the first member and one other one follow every commit. */
class Pairing {
  readonly head = { ring: random(8), sequence: 7n, hash: random(32), doubt: false };

  private constructor(
    readonly group: Bytes,
    public author: GroupMembership,
    public other: GroupMembership | undefined,
  ) {}

  static async begin(postQuantum: boolean): Promise<Pairing> {
    const group = random(16);
    const first = { group, name: "device 0", signed: false, postQuantum };
    return new Pairing(group, await GroupMembership.create(first), undefined);
  }

  get size(): number {
    return this.author.peers().length;
  }

  /** Makes a commit, and has the other one judge it. `keep`: both go on from there. */
  async commit(change: GroupChange, keep = true): Promise<Timed & { made: PreparedCommit }> {
    const began = performance.now();
    const made = await this.author.prepare(change, this.head, []);
    const make = performance.now() - began;
    const since = performance.now();
    const judged = await this.other?.judge(made.message, this.head);
    const judge = performance.now() - since;
    if (keep) {
      this.author = made.next;
      this.other = judged?.next;
    }
    const commit = made.message.length;
    return { commit, welcome: made.welcome?.body.length ?? 0, make, judge, made };
  }

  /** Lets one more device in. */
  async add(keep = true): Promise<Timed & { enter: number }> {
    const { group, author: { postQuantum } } = this;
    const door = await GroupDoor.ofInvitation(random(16), group);
    await this.commit({ kind: "invite", value: door.value, expires: 0n });
    const name = `device ${this.size}`;
    const newcomer = await GroupNewcomer.draw({ group, name, door, postQuantum });
    const knock = await door.openKnock(await door.sealKnock(newcomer.keyPackage));
    const change = (await answerKnock(this.author, door, knock))!;
    const timed = await this.commit(change, keep);
    const { message } = await door.openWelcome(timed.made.welcome!.body);
    const since = performance.now();
    const { membership } = await newcomer.enter(message);
    const enter = performance.now() - since;
    if (keep) this.other ??= membership;
    const { value } = door;
    await this.commit({ kind: "revoke", values: [value] });
    return { ...timed, enter };
  }
}

const ms = (times: readonly number[]): string => `${median(times).toFixed(1)} ms`;

async function changes(postQuantum: boolean): Promise<void> {
  const rows: string[][] = [];
  const world = await Pairing.begin(postQuantum);
  for (const size of SIZES) {
    while (world.size < size) await world.add();
    const adds = [], rotations = [], removals = [];
    const last = world.author.peers().at(-1)!.node;
    for (let i = 0; i < ROUNDS; i++) {
      adds.push(await world.add(false));
      rotations.push(await world.commit({ kind: "rotate" }, false));
      if (size > 2) {
        removals.push(await world.commit({ kind: "remove", nodes: [last.slice()] }, false));
      }
    }
    const row = (name: string, all: readonly Timed[]) => {
      if (all.length === 0) return;
      const [{ commit, welcome }] = all as [Timed];
      rows.push([
        `${size}`,
        name,
        `${commit}`,
        welcome ? `${welcome}` : "",
        ms(all.map(({ make }) => make)),
        ms(all.map(({ judge }) => judge)),
      ]);
    };
    row("add", adds);
    row("rotate", rotations);
    row("remove", removals);
    const enter = ms(adds.map(({ enter }) => enter));
    rows.push([`${size}`, "enter by a welcome", "", "", enter, ""]);
    rows.push([`${size}`, "state in storage", `${world.author.save().length}`, "", "", ""]);
  }
  print(["members", postQuantum ? "X-Wing" : "P-256", "bytes", "welcome", "make", "judge"], rows);
}

/** Bytes and times with few and many members, nobody of whom has rotated keys yet. */
export async function groupChanges(): Promise<void> {
  title(
    "Changes of a group (MLS)",
    `Median of ${ROUNDS}; members that never rotated: a path is sealed for each of them.`,
  );
  await changes(false);
  await changes(true);
}
