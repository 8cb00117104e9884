/**
 * The epochs that have ended, as this device followed them: what a newcomer needs to read them, what
 * ended them, and for a while the state before, in case another end has to be followed.
 * (docs/protocol/group.md, rules 12, 13 and 19)
 *
 * @module
 */
import { type Bytes, concat, hex, sameBytes } from "../../../wire/bytes.ts";
import { decodeRecord, encodeRecord, type RecordValue } from "../../../wire/blaze/blaze_record.ts";
import type { Saver } from "../../blaze/storage.ts";
import type { Contender } from "./branches.ts";
import type { Cursor } from "./log_link.ts";
import type { Carry, LogHead } from "../mls/carry.ts";
import { GroupMembership } from "../mls/group_membership.ts";

/** The state before a commit is kept so long, unless everybody is beyond it sooner. */
const KEEP_MS = 86_400_000;
/** States of past epochs that are kept at most. */
const MOST_STATES = 8;

/** The commit that ended an epoch, as this device followed it. */
export interface EndingCommit extends Contender {
  /** The entry, as it stands in the log. */
  readonly frame: Bytes;
  /** It stood where its author had put it. */
  readonly inPlace: boolean;
}

export interface PastEpoch {
  readonly secret: Bytes;
  /** 8 bytes; zeros where a newcomer was told of the epoch. */
  readonly ring: Bytes;
  readonly bound: LogHead;
  /** It was in doubt when it ended (rule 12). */
  readonly doubt: boolean;
  /** A newcomer reads it. */
  readonly carried: boolean;
  /** None where a newcomer was told of the epoch. */
  readonly ending: EndingCommit | undefined;
  /** The membership in it, while that is kept. */
  readonly state: GroupMembership | undefined;
}

export class PastEpochs {
  #epochs: PastEpoch[] = [];
  #until = 0;
  /** Members that were not heard in the present epoch yet, in hex. */
  #unheard = new Set<string>();
  /** Everybody whose removal this device has acted on, in whichever branch, in hex. */
  readonly #removed = new Set<string>();
  /** Numbers of those that are in storage as they are here. */
  #saved = new Map<PastEpoch, number>();
  #next = 0;

  /** Oldest first. */
  get all(): readonly PastEpoch[] {
    return this.#epochs;
  }

  /** Epochs that a newcomer has to read. */
  get carried(): number {
    return this.#epochs.filter(({ carried }) => carried).length;
  }

  /** A removal was seen, whatever became of its epoch. */
  saw(removes: readonly string[]): void {
    for (const node of removes) this.#removed.add(node);
  }

  get removed(): ReadonlySet<string> {
    return this.#removed;
  }

  /** What a newcomer needs to read them. */
  get carry(): Carry {
    return this.#epochs.filter(({ carried }) => carried)
      .map(({ secret, bound }) => ({ secret, bound }));
  }

  /** An epoch has ended; `others`: members of the next one that have to be heard in it, in hex. */
  end(epoch: Omit<PastEpoch, "carried">, others: readonly string[]): void {
    this.#epochs.push({ ...epoch, carried: true });
    this.saw(epoch.ending?.removes ?? []);
    this.#until = Date.now() + KEEP_MS;
    this.#unheard = new Set(others);
    const kept = this.#epochs.filter(({ state }) => state);
    if (kept.length > MOST_STATES) this.#drop(kept[0]!);
  }

  /** A newcomer was told of these. */
  carryFrom(carry: Carry, ring: Bytes): void {
    this.#epochs = carry.map((one) => ({
      ...one,
      ring,
      doubt: false,
      carried: true,
      ending: undefined,
      state: undefined,
    }));
  }

  /** Goes back to before this one ended. */
  backTo(epoch: PastEpoch): void {
    this.#epochs.splice(this.#epochs.indexOf(epoch));
  }

  /** A checkpoint stands in the log of the epoch with this secret: no newcomer needs those before. */
  forget(secret: Bytes): boolean {
    const at = this.#epochs.findIndex((epoch) => sameBytes(epoch.secret, secret));
    const before = at < 0 ? this.#epochs : this.#epochs.slice(0, at);
    if (before.length === 0) return false;
    const kept = before.filter(({ state }) => state)
      .map((epoch) => ({ ...epoch, carried: false }));
    this.#epochs = [...kept, ...this.#epochs.slice(before.length)];
    return true;
  }

  /** A member spoke in the present epoch. Whether that has changed what is kept. */
  heard(node: string, inDoubt: boolean): boolean {
    this.#unheard.delete(node);
    const over = this.#unheard.size === 0 || (!inDoubt && Date.now() >= this.#until);
    const kept = this.#epochs.filter(({ state }) => state);
    if (!over || kept.length === 0) return false;
    for (const epoch of kept) this.#drop(epoch);
    return true;
  }

  /**
   * What goes into the group's own record. The epochs have keys of their own, `past/` + number, and are
   * written when they change: a commit that lets somebody in is large.
   */
  save(saver: Saver) {
    const kept = new Map(this.#epochs.map((epoch) => [epoch, this.#saved.get(epoch)]));
    const gone = new Set(this.#saved.values());
    for (const [epoch, number = this.#next++] of kept) {
      if (!this.#saved.has(epoch)) saver.set(keyOf(number), encodePast(epoch));
      gone.delete(number);
      kept.set(epoch, number);
    }
    for (const number of gone) saver.set(keyOf(number), undefined);
    this.#saved = kept as Map<PastEpoch, number>;
    return {
      until: this.#until,
      unheard: [...this.#unheard],
      removed: [...this.#removed],
      epochs: [...this.#saved.values()],
    };
  }

  static async restore(saved: SavedPast, keys: ReadonlyMap<string, Bytes>): Promise<PastEpochs> {
    const past = new PastEpochs();
    past.#until = saved.until;
    past.#unheard = new Set(saved.unheard);
    for (const node of saved.removed) past.#removed.add(node);
    for (const number of saved.epochs) {
      const epoch = await decodePast(keys.get(keyOf(number))!);
      past.#epochs.push(epoch);
      past.#saved.set(epoch, number);
      past.#next = Math.max(past.#next, number + 1);
    }
    return past;
  }

  #drop(epoch: PastEpoch): void {
    const { carried } = epoch;
    const at = this.#epochs.indexOf(epoch);
    if (carried) this.#epochs[at] = { ...epoch, state: undefined };
    else this.#epochs.splice(at, 1);
  }
}

export type SavedPast = ReturnType<PastEpochs["save"]>;

const keyOf = (number: number): string => `past/${number}`;

function encodePast({ secret, ring, bound, doubt, carried, ending, state }: PastEpoch): Bytes {
  const record = {
    secret,
    ring,
    sequence: String(bound.sequence),
    hash: bound.hash,
    doubt,
    carried,
    state: state?.save() ?? null,
    ending: ending ? { ...ending, removes: [...ending.removes] } : null,
  };
  return encodeRecord(record as unknown as Record<string, RecordValue>);
}

async function decodePast(bytes: Bytes): Promise<PastEpoch> {
  const { secret, ring, sequence, hash, state, ending, ...rest } = decodeRecord(
    bytes,
  ) as unknown as {
    secret: Bytes;
    ring: Bytes;
    sequence: string;
    hash: Bytes;
    doubt: boolean;
    carried: boolean;
    state: Bytes | null;
    ending: EndingCommit | null;
  };
  return {
    ...rest,
    secret: secret.slice(),
    ring: ring.slice(),
    bound: { sequence: BigInt(sequence), hash: hash.slice() },
    ending: ending ? { ...ending, frame: ending.frame.slice() } : undefined,
    state: state ? await GroupMembership.restore(state) : undefined,
  };
}

/** Where a device stands in the log of an epoch that it saw end: behind the commit. */
export async function behind({ ring, bound, ending }: PastEpoch): Promise<Cursor> {
  const chain = concat(bound.hash, ending!.frame);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", chain));
  return { ring, sequence: bound.sequence + 1n, hash };
}

/** Names a commit: SHA-256 of its entry, in hex. */
export const hashOfCommit = async (frame: Uint8Array): Promise<string> =>
  hex(new Uint8Array(await crypto.subtle.digest("SHA-256", frame.slice())));
