/**
 * The roster: which devices belong to the group, as a chain of signed changes says.
 *
 * Everybody checks every change: its number and parent, that its author was in the roster before it,
 * and the signature. Two devices may change the group at the same time; then the chain forks and
 * everybody picks the same branch:
 *
 * 1. a branch that removes an author of the other branch, unless that one does the same;
 * 2. the longer branch (the higher number);
 * 3. the branch whose first change has the lower id.
 *
 * The first rule keeps a removed device from outrunning its removal with changes of its own. A device
 * that was removed never comes back under the same keys.
 *
 * @module
 */
import { compareBytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { HASH_LENGTH, Policy, signedBy, type SignedChange } from "./change.ts";
import type { Card } from "./identity.ts";

/** Changes that a group can have. Beyond: `CHAIN_FULL`; create a new group. */
export const MAX_CHANGES = 2_000;
/** Devices that a group can have. Beyond: `GROUP_FULL`. */
export const MAX_DEVICES = 100;

const NO_PARENT = new Uint8Array(HASH_LENGTH);

export class Roster {
  private constructor(
    readonly group: Uint8Array,
    readonly changes: readonly SignedChange[],
    /** By node id in hex. */
    readonly devices: ReadonlyMap<string, Card>,
  ) {}

  /** Checks a whole chain. Throws `BAD_CHAIN`, `BAD_SIGNATURE`, `CHAIN_FULL`, `GROUP_FULL`. */
  static async of(group: Uint8Array, changes: readonly SignedChange[]): Promise<Roster> {
    return await new Roster(group, [], new Map()).with(changes);
  }

  /** The latest change: it began the epoch that is in force. */
  get tip(): SignedChange {
    return this.changes.at(-1)!;
  }

  get signsOperations(): boolean {
    const { action } = this.changes[0]!;
    return action.kind === "create" && (action.policy & Policy.signOperations) !== 0;
  }

  has(node: Uint8Array): boolean {
    return this.devices.has(hex(node));
  }

  /** This chain with more changes at its end, each of them checked. */
  with(more: readonly SignedChange[]): Promise<Roster> {
    return this.#with(more, true);
  }

  async #with(more: readonly SignedChange[], checkSignatures: boolean): Promise<Roster> {
    const changes = [...this.changes];
    const devices = new Map(this.devices);
    const former = new Set(removals(changes));
    for (const change of more) {
      const before = changes.at(-1);
      if (changes.length >= MAX_CHANGES) {
        throw new ClientError("CHAIN_FULL", "the group has changed too often");
      }
      const fits = sameBytes(change.group, this.group) && change.number === changes.length + 1 &&
        sameBytes(change.parent, before?.id ?? NO_PARENT);
      if (!fits) throw new ClientError("BAD_CHAIN", `change ${change.number} does not follow`);
      await apply(change, devices, former, checkSignatures);
      changes.push(change);
    }
    return new Roster(this.group, changes, devices);
  }

  /** What the chain was after its first `length` changes. */
  async back(length: number): Promise<Roster> {
    const empty = new Roster(this.group, [], new Map());
    return await empty.#with(this.changes.slice(0, length), false);
  }

  /** How many changes both chains begin with. */
  shared({ changes }: { readonly changes: readonly SignedChange[] }): number {
    let length = 0;
    while (
      length < Math.min(changes.length, this.changes.length) &&
      sameBytes(changes[length]!.id, this.changes[length]!.id)
    ) length++;
    return length;
  }

  /** Whether everybody should leave this chain for `other`. */
  yieldsTo(other: Roster): boolean {
    const from = this.shared(other);
    const [mine, theirs] = [this.changes.slice(from), other.changes.slice(from)];
    if (theirs.length === 0) return false;
    if (mine.length === 0) return true;
    const mineBarred = barred(mine, theirs);
    const theirsBarred = barred(theirs, mine);
    if (mineBarred !== theirsBarred) return mineBarred;
    if (mine.length !== theirs.length) return theirs.length > mine.length;
    return compareBytes(theirs[0]!.id, mine[0]!.id) < 0;
  }
}

/** Whether `by` removes somebody who had a hand in `branch`. */
function barred(branch: readonly SignedChange[], by: readonly SignedChange[]): boolean {
  const removed = new Set(removals(by));
  return branch.some(({ author }) => removed.has(hex(author)));
}

/** Node ids that changes remove. */
const removals = (changes: readonly SignedChange[]): string[] =>
  changes.flatMap(({ action }) => action.kind === "remove" ? [hex(action.node)] : []);

async function apply(
  change: SignedChange,
  devices: Map<string, Card>,
  former: Set<string>,
  checkSignature: boolean,
): Promise<void> {
  const { action } = change;
  const wrong = (why: string) => new ClientError("BAD_CHAIN", `change ${change.number} ${why}`);
  if ((action.kind === "create") !== (change.number === 1)) throw wrong("is out of place");
  const author = action.kind === "create" ? action.card : devices.get(hex(change.author));
  if (!author || !sameBytes(author.node, change.author)) throw wrong("is a stranger's");
  if (checkSignature && !await signedBy(change, author)) {
    throw new ClientError("BAD_SIGNATURE", `change ${change.number}`);
  }
  if ("card" in action) {
    const node = hex(action.card.node);
    // Once removed, never back: an old request to join must not undo a removal.
    if (devices.has(node) || former.has(node)) throw wrong("adds who is, or was, there");
    if (devices.size >= MAX_DEVICES) {
      throw new ClientError("GROUP_FULL", `a group has at most ${MAX_DEVICES} devices`);
    }
    devices.set(node, action.card);
  } else if (action.kind === "remove") {
    if (!devices.delete(hex(action.node))) throw wrong("removes who is not there");
    former.add(hex(action.node));
  }
}
