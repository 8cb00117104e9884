/**
 * One device reads a log that its test writes, entry by entry: no relay, no link, no time.
 *
 * @module
 */
import { Compression } from "../../src/client/blaze/compression.ts";
import { memoryStorage, Saver } from "../../src/client/blaze/storage.ts";
import { Ledger } from "../../src/client/group/data/ledger.ts";
import { encodeLinked } from "../../src/client/group/data/linked_body.ts";
import { type LinkVector, NO_HEAD } from "../../src/client/group/data/link_vector.ts";
import { random } from "../../src/client/group/e2e/derive.ts";
import { Checkpoints } from "../../src/client/group/log/checkpoints.ts";
import type { Device } from "../../src/client/group/log/device.ts";
import { EpochLog } from "../../src/client/group/log/epoch_log.ts";
import { Group } from "../../src/client/group/log/group_state.ts";
import {
  encodeAnnounce,
  encodeCommitEntry,
  Voice,
} from "../../src/client/group/log/log_entries.ts";
import type { Cursor, Opened } from "../../src/client/group/log/log_link.ts";
import { Post } from "../../src/client/group/log/post.ts";
import { EpochReading, type ReadingEvents } from "../../src/client/group/log/reading.ts";
import type { GroupChange } from "../../src/client/group/mls/commit_maker.ts";
import type { CommitPlace } from "../../src/client/group/mls/commit_place.ts";
import type { GroupMembership } from "../../src/client/group/mls/group_membership.ts";
import { groupIdOf } from "../../src/client/group/mls/invitation_text.ts";
import { Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { type Bytes, concat, utf8Bytes } from "../../src/wire/bytes.ts";
import { FakeHost } from "./fake_host.ts";
import { anyCarry, MlsWorld } from "./mls.ts";

const DATABASE = "bugs";

/** What a relay says of a log that begins at its first entry. */
export const opened = (log: EpochLog, ring: Bytes, change: Partial<Opened> = {}): Opened => ({
  subtype: "recovered",
  complete: true,
  durability: 0,
  ring,
  first: 1n,
  last: 0n,
  hash: log.cursor.hash,
  ...change,
});

export class ReadingLab {
  /** What the reader said, in words: `operation x`, `fault CODE`, and names of the other events. */
  readonly heard: string[] = [];
  readonly ring = random(8);
  log!: EpochLog;
  reading!: EpochReading;
  readonly #compression = new Compression({ mode: "never", fault: () => {} });

  private constructor(
    readonly group: Group,
    /** Those in the group: the reader is the last one. */
    readonly members: readonly GroupMembership[],
    private readonly saver: Saver,
    private readonly ledger: Ledger,
  ) {}

  /** A group of so many that signs; the last one reads. `change` comes before that one is let in. */
  static async of(count = 3, change?: (world: MlsWorld) => Promise<unknown>): Promise<ReadingLab> {
    const constant = random(16);
    const world = await MlsWorld.of(count - 1, false, await groupIdOf(constant, DATABASE));
    await change?.(world);
    await world.add("reader");
    const saver = new Saver(memoryStorage());
    const text = { database: DATABASE, constant, key: random(16) };
    const kind = { postQuantum: false, permanent: true };
    const group = await Group.joining({ ...text, ...kind }, saver, "reader");
    const self = world.members.at(-1)!;
    await group.enter(self, anyCarry(1));
    const { node } = self.self;
    const ledger = await Ledger.of(saver, new Map(), { node, most: 100 });
    const lab = new ReadingLab(group, world.members, saver, ledger);
    await lab.open(group.log!);
    return lab;
  }

  /** Begins to read a log. */
  async open(log: EpochLog, answer: Partial<Opened> = {}): Promise<void> {
    this.log = log;
    const { group, saver, ledger } = this;
    const say = (word: string) => void this.heard.push(word);
    const fault = (code: string) => say(`fault ${code}`);
    const host = new FakeHost();
    const link = { send: () => {}, close: () => {}, buffered: 0 } as never;
    const post = new Post(link, host, { pace: undefined } as never, fault);
    const device = { group, saver, ledger } as unknown as Device;
    const checkpoints = new Checkpoints(device, post, {
      truncate: () => say("truncate"),
      renumber: () => say("renumber"),
      fault,
    });
    const events: ReadingEvents = {
      operation: ({ changes }) => say(`operation ${changes.title}`),
      announced: () => say("announced"),
      news: () => {},
      hold: () => say("hold"),
      gap: () => say("gap"),
      renumber: () => say("renumber"),
      live: () => say("live"),
      backlog: () => {},
      welcomed: () => say("welcomed"),
      ended: () => say("ended"),
      removed: () => say("removed"),
      outrun: () => say("outrun"),
      broken: ({ code }) => say(`broken ${code}`),
      crossed: ({ code }) => say(`crossed ${code}`),
      stopped: () => say("stopped"),
      fault,
    };
    const parts = { group, ledger, saver, checkpoints, compression: this.#compression };
    this.reading = new EpochReading(log, parts, events);
    await this.reading.opened(opened(log, this.ring, answer));
  }

  /** The next entry comes. Answers what the reader said to it. */
  async reads(...frames: readonly Bytes[]): Promise<string[]> {
    this.heard.length = 0;
    for (const frame of frames) await this.reading.entry(this.log.cursor.sequence + 1n, frame);
    return this.heard.splice(0);
  }

  async live(): Promise<string[]> {
    this.heard.length = 0;
    await this.reading.live();
    return this.heard.splice(0);
  }

  /** An instance of a device. */
  voice(node: Bytes): Promise<Voice> {
    return Voice.draw(this.log, node, DATABASE, { compression: this.#compression, pad: true });
  }

  /** Announces an instance where the reader stands, unless said; `as`: whoever it says that it is. */
  async announce(
    voice: Voice,
    by: GroupMembership,
    {
      position = this.log.cursor as Cursor,
      vector = new Map() as LinkVector,
      as = by.self.node,
    } = {},
  ): Promise<Bytes> {
    const said = encodeAnnounce(position, by.self.signKey, vector);
    const { state, suite } = by.view;
    const covered = concat(utf8Bytes("BX2 announce"), by.group, as, said);
    const signature = await suite.signRaw(state.signaturePrivateKey, covered);
    return await voice.announce(concat(said, signature));
  }

  /** The first operation of a device, by its title. */
  async operation(
    voice: Voice,
    by: GroupMembership,
    title: string,
    { counter = 1n, previous = NO_HEAD, sign = true } = {},
  ): Promise<Bytes> {
    const operation = {
      kind: "insert" as const,
      collection: "bugs",
      id: Uuid.parse(crypto.randomUUID()),
      counter,
      node: 0,
      changes: { title },
    };
    const signing = (covered: Bytes) => by.sign("BX2 operation", covered);
    const bytes = await encodeLinked({ operation, previous }, sign ? signing : undefined);
    return await voice.operation(bytes, false);
  }

  /** A commit where the reader stands, unless said. */
  async commit(
    by: GroupMembership,
    change: GroupChange,
    place: Partial<CommitPlace> = {},
  ): Promise<Bytes> {
    const head = { ...this.log.cursor, doubt: false, ...place };
    const { message } = await by.prepare(change, head, anyCarry(1));
    return await encodeCommitEntry({ message }, this.group.epoch!);
  }
}
