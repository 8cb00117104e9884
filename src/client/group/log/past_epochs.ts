/**
 * The epochs that have ended, as this device followed them: what a newcomer needs to read them, what
 * ended them, and for a while the state before, in case another end has to be followed.
 * (docs/protocol/group.md, rules 12, 13 and 19)
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { decodeRecord, encodeRecord, type RecordValue } from "../../../wire/blaze/blaze_record.ts";
import type { Saver } from "../../blaze/storage.ts";
import type { Contender } from "./branches.ts";
import { digest } from "../e2e/derive.ts";
import { chained } from "./epoch_log.ts";
import type { Cursor } from "./log_link.ts";
import type { CarriedEpoch } from "../mls/carry.ts";
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

/** With the secret that follows of its confirmation key. */
export interface ToldEpoch extends CarriedEpoch {
  readonly secret: Bytes;
}

export interface PastEpoch extends ToldEpoch {
  readonly number: bigint;
  /**
   * 8 bytes; where a newcomer was told of the epoch, zeros unless the log has shown the commit that
   * ended it where that stood first.
   */
  readonly ring: Bytes;
  /** It was in doubt when it ended (rule 12). */
  readonly doubt: boolean;
  /** None where a newcomer was told of the epoch. */
  readonly ending: EndingCommit | undefined;
  /** There: the entry of the commit that ended it, as the log has shown it. */
  readonly shown: Bytes | undefined;
  /** The membership in it, while that is kept. */
  readonly state: GroupMembership | undefined;
}

export class PastEpochs {
  #epochs: PastEpoch[] = [];
  /** Number of the epoch in whose log the last checkpoint stands. */
  #since = 0n;
  /** From this number on all are kept, for newcomers: the invitation of one may be older. */
  #kept = 0n;
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

  /** The one with this secret, while it is kept. */
  of(secret: Bytes): PastEpoch | undefined {
    return this.#epochs.find((epoch) => sameBytes(epoch.secret, secret));
  }

  /** Epochs since the last checkpoint. */
  get unchecked(): readonly PastEpoch[] {
    return this.#epochs.filter(({ number }) => number >= this.#since);
  }

  /** A removal was seen, whatever became of its epoch. */
  saw(removes: readonly string[]): void {
    for (const node of removes) this.#removed.add(node);
  }

  get removed(): ReadonlySet<string> {
    return this.#removed;
  }

  /**
   * What a newcomer needs of them: from that of the checkpoint on, or from the epoch of this number, if
   * that is older; as far as there is no hole.
   */
  carry(anchor: bigint): readonly PastEpoch[] {
    const least = anchor < this.#since ? anchor : this.#since;
    let from = this.#epochs.length;
    for (; from > 0; from--) {
      const { number } = this.#epochs[from - 1]!;
      const next = this.#epochs[from]?.number ?? number + 1n;
      if (number < least || number + 1n !== next) break;
    }
    return this.#epochs.slice(from);
  }

  /** An epoch has ended; `others`: members of the next one that have to be heard in it, in hex. */
  end(epoch: PastEpoch, others: readonly string[]): void {
    this.#epochs.push(epoch);
    this.saw(epoch.ending?.removes ?? []);
    this.#until = Date.now() + KEEP_MS;
    this.#unheard = new Set(others);
    const kept = this.#epochs.filter(({ state }) => state);
    if (kept.length > MOST_STATES) this.#drop(kept[0]!);
  }

  /** A newcomer was told of these; `next`: the number of the epoch behind the last of them. */
  carryFrom(carry: readonly ToldEpoch[], ring: Bytes, next: bigint): void {
    const first = this.#since = this.#kept = next - BigInt(carry.length);
    this.#epochs = carry.map((one, i) => ({
      ...one,
      number: first + BigInt(i),
      ring,
      doubt: false,
      ending: undefined,
      shown: undefined,
      state: undefined,
    }));
  }

  /** The log of an epoch that a newcomer was told of has shown what ended it. */
  show(epoch: PastEpoch, shown: Bytes, ring: Bytes): void {
    this.#epochs[this.#epochs.indexOf(epoch)] = { ...epoch, shown, ring };
  }

  /** Goes back to before this one ended. */
  backTo(epoch: PastEpoch): void {
    this.#epochs.splice(this.#epochs.indexOf(epoch));
    if (epoch.number < this.#since) this.#since = epoch.number;
    if (epoch.number < this.#kept) this.#kept = epoch.number;
  }

  /**
   * A checkpoint stands in the log of the epoch of this number: no newcomer reads those before.
   * `anchor`: the oldest epoch that an invitation needs.
   */
  forget(number: bigint, anchor: bigint): void {
    this.#since = number;
    this.#kept = anchor < number ? anchor : number;
    this.#epochs = this.#epochs.filter(({ state, number }) => state || number >= this.#kept);
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
      since: String(this.#since),
      kept: String(this.#kept),
      epochs: [...this.#saved.values()],
    };
  }

  static async restore(saved: SavedPast, keys: ReadonlyMap<string, Bytes>): Promise<PastEpochs> {
    const past = new PastEpochs();
    past.#until = saved.until;
    past.#since = BigInt(saved.since);
    past.#kept = BigInt(saved.kept);
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
    const at = this.#epochs.indexOf(epoch);
    if (epoch.number >= this.#kept) this.#epochs[at] = { ...epoch, state: undefined };
    else this.#epochs.splice(at, 1);
  }
}

export type SavedPast = ReturnType<PastEpochs["save"]>;

const keyOf = (number: number): string => `past/${number}`;

function encodePast({ number, bound, ending, shown, state, ...rest }: PastEpoch): Bytes {
  const { secret, interim, confirmationKey, ring, doubt } = rest;
  const record = {
    number: String(number),
    secret,
    interim,
    confirmationKey,
    ring,
    sequence: String(bound.sequence),
    hash: bound.hash,
    doubt,
    state: state?.save() ?? null,
    ending: ending ? { ...ending, removes: [...ending.removes] } : null,
    shown: shown ?? null,
  };
  return encodeRecord(record as unknown as Record<string, RecordValue>);
}

async function decodePast(bytes: Bytes): Promise<PastEpoch> {
  const { number, sequence, hash, state, ending, shown, doubt, ...rest } = decodeRecord(
    bytes,
  ) as unknown as {
    number: string;
    secret: Bytes;
    interim: Bytes;
    confirmationKey: Bytes;
    ring: Bytes;
    sequence: string;
    hash: Bytes;
    doubt: boolean;
    state: Bytes | null;
    ending: EndingCommit | null;
    shown: Bytes | null;
  };
  return {
    number: BigInt(number),
    secret: rest.secret.slice(),
    interim: rest.interim.slice(),
    confirmationKey: rest.confirmationKey.slice(),
    ring: rest.ring.slice(),
    doubt,
    bound: { sequence: BigInt(sequence), hash: hash.slice() },
    ending: ending ? { ...ending, frame: ending.frame.slice() } : undefined,
    shown: shown?.slice(),
    state: state ? await GroupMembership.restore(state) : undefined,
  };
}

/** The entry of the commit that ended an epoch, if this device has it. */
export const commitOf = ({ ending, shown }: PastEpoch): Bytes | undefined => ending?.frame ?? shown;

/** Where a device stands in the log of an epoch that it saw end with this commit: behind it. */
export async function behind({ ring, bound }: PastEpoch, commit: Bytes): Promise<Cursor> {
  return { ring, sequence: bound.sequence + 1n, hash: await chained(bound.hash, commit) };
}

/** Names a commit: SHA-256 of its MLSMessage, in hex. Who has its key can seal one anew. */
export const hashOfCommit = async (message: Uint8Array): Promise<string> =>
  hex(await digest("", message));
