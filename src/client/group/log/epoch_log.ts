/**
 * The log of one epoch as this device has read it: how far, the chain of what it read, and who speaks in
 * it. Everything is in the order of the log, so everybody who reads it ends with the same.
 *
 * Saved: ring 8 ‖ sequence u64 ‖ hash 32 ‖ (node 16 ‖ instance 8 ‖ next counter u64), repeated.
 *
 * @module
 */
import { type Bytes, hex, Reader, sameBytes, Writer } from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import { RING_ID_LENGTH } from "../../../wire/blaze/extension.ts";
import { ClientError } from "../../client_error.ts";
import { digest } from "../e2e/derive.ts";
import type { CheckpointAssembly } from "../data/checkpoint.ts";
import type { Epoch } from "../e2e/epoch.ts";
import { INSTANCE_LENGTH, Opener, Sender } from "../e2e/sender.ts";
import { type Cursor, goesOn, NO_RING, type Opened } from "./log_link.ts";
import type { LogHead } from "../mls/carry.ts";

/** Instances of one device that are listened to; beyond, the oldest is forgotten. */
const MOST_PER_NODE = 8;
/** Chain hashes that are kept, to be compared with what others were shown. */
const MOST_HASHES = 1_024;

export const HASH_LENGTH = 32;

/** A checkpoint of which parts were read. */
export interface IncomingCheckpoint {
  readonly assembly: CheckpointAssembly;
  /** Where the log stood before the first part. */
  readonly base: Cursor;
  /** Our own digest at that base; nothing if we cannot say. */
  readonly own: Bytes | undefined;
  /** At that base we had all that there is. */
  readonly sure: boolean;
}

/** An instance of a device, and the counter that it may use next. */
export interface Speaker {
  readonly node: Bytes;
  readonly instance: Bytes;
  readonly next: bigint;
}

export class EpochLog {
  readonly #openers = new Map<string, Opener>();
  readonly #hashes = new Map<bigint, Bytes>();
  /** Signature keys of devices that announced themselves here, by node in hex. */
  readonly #keys = new Map<string, Bytes>();
  /** What was read of a checkpoint. Like the cursor it outlives the link: the rest comes over the next one. */
  incoming: IncomingCheckpoint | undefined;
  #cursor: Cursor;
  /** Where reading began, as far as this device has read without a gap. */
  #from = 0n;

  private constructor(
    readonly epoch: Epoch,
    private readonly database: string,
    private readonly start: Bytes,
    /** Where the epoch ended, if that is known: nothing behind it counts. */
    readonly bound: LogHead | undefined,
  ) {
    this.#cursor = { ring: NO_RING, sequence: 0n, hash: start };
  }

  /** A log that was not read yet. */
  static async begin(epoch: Epoch, database: string, bound?: LogHead): Promise<EpochLog> {
    return new EpochLog(epoch, database, await digest("BX2 log", epoch.log.id), bound);
  }

  /** A log that is read on from somewhere. */
  static at(epoch: Epoch, database: string, cursor: Cursor): EpochLog {
    const log = new EpochLog(epoch, database, cursor.hash, undefined);
    log.#move(cursor);
    return log;
  }

  /** The log as it was saved. */
  static async restore(
    bytes: Uint8Array,
    epoch: Epoch,
    database: string,
    bound?: LogHead,
  ): Promise<EpochLog> {
    const log = await EpochLog.begin(epoch, database, bound);
    const r = new Reader(bytes);
    const ring = r.bytes(RING_ID_LENGTH).slice();
    const sequence = r.u64();
    log.#move({ ring, sequence, hash: r.bytes(HASH_LENGTH).slice() });
    while (r.left > 0) {
      const [node, instance] = [r.bytes(NODE_ID_LENGTH), r.bytes(INSTANCE_LENGTH)];
      log.admit(await log.candidate(node, instance, r.u64()));
    }
    return log;
  }

  save(): Bytes {
    const { ring, sequence, hash } = this.#cursor;
    const w = new Writer(256).bytes(ring).u64(sequence).bytes(hash);
    for (const { node, instance, next } of this.speakers()) {
      w.bytes(node).bytes(instance).u64(next);
    }
    return w.finish();
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  /** Whether what was read last is the first that there was to read, behind what was truncated. */
  get atStart(): boolean {
    return this.#from > 0n && this.#cursor.sequence === this.#from + 1n;
  }

  /** Whether the end of the epoch has been read. */
  get ended(): boolean {
    return this.bound !== undefined && this.#cursor.sequence >= this.bound.sequence;
  }

  /** Whether the relay has another life of this log than we read, or an older state of it. */
  isOtherLife({ ring, complete, first }: Opened): boolean {
    const known = this.#cursor.ring;
    if (sameBytes(known, NO_RING)) return false;
    return !sameBytes(known, ring) || (!complete && first <= this.#cursor.sequence + 1n);
  }

  /**
   * The relay has opened the log. Whether it goes on where we were; if not, it begins again with all that
   * is kept, and what lies before is missing. Instances begin again, too: what was not as it should be
   * when it came first may be this time.
   */
  opened(answer: Opened): boolean {
    if (goesOn(this.#cursor, answer)) {
      this.#move({ ...this.#cursor, ring: answer.ring.slice() });
      return true;
    }
    const unread = this.#openers.size === 0;
    this.#openers.clear();
    this.#keys.clear();
    this.#hashes.clear();
    this.incoming = undefined;
    this.#from = answer.first - 1n;
    this.#move({
      ring: answer.ring.slice(),
      sequence: answer.first - 1n,
      hash: answer.hash.slice(),
    });
    return answer.first === 1n && unread;
  }

  /** Reads on by one entry. Throws `LOG_HOLE` for another than the next one. */
  async step(sequence: bigint, frame: Uint8Array): Promise<void> {
    const { ring, sequence: before, hash } = this.#cursor;
    if (sequence !== before + 1n) {
      throw new ClientError("LOG_HOLE", `entry ${sequence} came after ${before}`);
    }
    this.#move({ ring, sequence, hash: await chained(hash, frame) });
  }

  /** Whether somebody was shown another past than we were. */
  differs({ ring, sequence, hash }: Cursor): boolean {
    const ours = this.#hashes.get(sequence);
    return ours !== undefined && sameBytes(ring, this.#cursor.ring) && !sameBytes(ours, hash);
  }

  /** Whether the chain has this hash at this place, as far as we know. */
  at({ sequence, hash }: LogHead): boolean {
    const ours = this.#hashes.get(sequence);
    return ours !== undefined && sameBytes(ours, hash);
  }

  opener(hint: string): Opener | undefined {
    return this.#openers.get(hint);
  }

  /**
   * The opener of an instance, listened to or not yet; `next`: the counter that it may use. Throws
   * `HINT_TAKEN`.
   */
  async candidate(node: Uint8Array, instance: Uint8Array, next = 0n): Promise<Opener> {
    const sender = await Sender.of(this.epoch, node, instance, this.database);
    const known = this.#openers.get(hex(sender.hint));
    // Rising in the order of the log: so a reader that restarts judges as one that does not.
    if (!known) return new Opener(sender, next, 0n);
    const same = sameBytes(known.sender.node, node) &&
      sameBytes(known.sender.instance, instance);
    if (!same) throw new ClientError("HINT_TAKEN", "another instance has this hint");
    return known;
  }

  /** The signature key of a device, if it announced itself in this log while we read it. */
  keyOf(node: Uint8Array): Bytes | undefined {
    return this.#keys.get(hex(node));
  }

  /** Listens to an instance from now on. */
  admit(opener: Opener, key?: Bytes): void {
    const { hint, node } = opener.sender;
    if (key) this.#keys.set(hex(node), key);
    this.#openers.set(hex(hint), opener);
    const same = [...this.#openers].filter(([, { sender }]) => sameBytes(sender.node, node));
    if (same.length > MOST_PER_NODE) this.#openers.delete(same[0]![0]);
  }

  /** Who speaks in this log. */
  speakers(): Speaker[] {
    return [...this.#openers.values()].map(({ sender: { node, instance }, window }) => ({
      node,
      instance,
      next: window.mark,
    }));
  }

  #move(cursor: Cursor): void {
    this.#cursor = cursor;
    this.#hashes.set(cursor.sequence, cursor.hash);
    this.#hashes.delete(cursor.sequence - BigInt(MOST_HASHES));
  }
}

/** The chain hash after one more frame. */
export const chained = (hash: Uint8Array, frame: Uint8Array): Promise<Bytes> =>
  digest("", hash, frame);
