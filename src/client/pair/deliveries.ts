/**
 * What this device has to tell its partner: each operation is kept until the partner is known to have
 * it, and sent again over the next link where that one ended too soon.
 *
 * A partner with receipts names each operation that it has taken. Any other one names none: there the
 * relay's Pong behind an operation is all there is to know, which says that it was handed on.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import { type Bytes, Reader, Writer } from "../../wire/bytes.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { decodeOperation, encodeOperation } from "../../wire/blaze/operation.ts";

/** The way to a partner, as long as it is there. */
export interface Way {
  /** What operations carry of our node id here. */
  readonly hash: number;
  /** Frames of ours can pass. */
  readonly live: boolean;
  /** What the partner names operations by; undefined where it names none. */
  readonly receipts: string | undefined;
  /** Seals and sends. Resolves with the length of the frame on the wire. */
  send(type: FrameType, plaintext: Bytes): Promise<number>;
  /** Asks the relay for a Pong with this number. */
  ask(number: bigint): void;
}

/** An operation that is not known to have arrived. */
interface Parcel {
  readonly plaintext: Bytes;
  readonly counter: bigint;
  /** What the plaintext carries of our node id. */
  readonly hash: number;
  readonly done: PromiseWithResolvers<number>;
  /** Of all that was sent over this link, the how manieth. */
  place: bigint;
  wireLength: number;
}

/**
 * Most bytes on the way: the relay lets go of a partner for which more than `bufferedBytes` wait, and
 * it may read nothing for a while.
 */
const MOST_BYTES = 4 * 1024 * 1024;
/** Most operations from the oldest that is on the way to the newest. */
const MOST_AHEAD = 1024n;
/** Milliseconds without any answer after which what is on the way is sent again. */
const ANSWER_MS = 60_000;

export class Deliveries {
  /** Not sent over this link, oldest first. */
  #waiting: Parcel[] = [];
  /** Sent over this link and not answered, oldest first. */
  readonly #onWay = new Map<bigint, Parcel>();
  #bytes = 0;
  #way: Way | undefined;
  #place = 0n;
  /** Up to here all has left: one is sealed after the other. */
  #left = 0n;
  /** Up to here the relay was asked for a Pong, which has not come. */
  #asked: bigint | undefined;
  #pumping: Way | undefined;
  #stopTimer: () => void = () => {};

  constructor(private readonly host: Host) {}

  /** Resolves with the length of its frame, once the operation is known to have arrived. */
  add(plaintext: Bytes, counter: bigint, hash: number): Promise<number> {
    const done = Promise.withResolvers<number>();
    this.#waiting.push({ plaintext, counter, hash, done, place: 0n, wireLength: 0 });
    void this.#pump();
    return done.promise;
  }

  /** There is a partner that both sides said yes to. */
  begin(way: Way): void {
    this.end();
    this.#way = way;
    void this.#pump();
  }

  /** The link is gone. What was not answered goes out over the next one. */
  end(): void {
    this.#way = this.#pumping = this.#asked = undefined;
    this.#place = this.#left = 0n;
    this.#again();
  }

  /** A partner has these operations. It may have said so just before its link went. */
  taken(counters: Iterable<bigint>): void {
    for (const counter of counters) {
      const parcel = this.#onWay.get(counter) ?? this.#sentBefore(counter);
      if (parcel) this.#done(parcel);
    }
    this.#answered();
  }

  /** Takes out of what waits an operation that has gone out once. */
  #sentBefore(counter: bigint): Parcel | undefined {
    const at = this.#waiting.findIndex((one) => one.counter === counter && one.wireLength > 0);
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0];
  }

  /** The relay has handed on everything up to this place. */
  passed(place: bigint): void {
    if (this.#way?.receipts !== undefined || place !== this.#asked) return;
    this.#asked = undefined;
    for (const parcel of this.#onWay.values()) {
      if (parcel.place > place) break;
      this.#done(parcel);
    }
    this.#ask();
    this.#answered();
  }

  /** Nothing that waits will arrive. */
  fail(why: Error): void {
    this.end();
    for (const { done } of this.#waiting.splice(0)) done.reject(why);
  }

  async #pump(): Promise<void> {
    const way = this.#way;
    if (!way || this.#pumping === way) return;
    this.#pumping = way;
    for (let parcel; this.#way === way && way.live && (parcel = this.#next());) {
      await this.#send(parcel, way);
    }
    if (this.#pumping === way) this.#pumping = undefined;
  }

  /** The next one that may go. */
  #next(): Parcel | undefined {
    const [oldest] = this.#onWay.values();
    const full = this.#bytes >= MOST_BYTES ||
      (oldest && this.#place - oldest.place + 1n >= MOST_AHEAD);
    return full ? undefined : this.#waiting.shift();
  }

  async #send(parcel: Parcel, way: Way): Promise<void> {
    const { counter, hash, plaintext, done } = parcel;
    // Before it is sealed: its answer finds it, and so does the end of the link.
    this.#onWay.set(counter, parcel);
    this.#bytes += plaintext.length;
    const place = parcel.place = ++this.#place;
    if (this.#onWay.size === 1) this.#await();
    try {
      // It waited, and we have another node id now.
      const bytes = hash === way.hash
        ? plaintext
        : encodeOperation({ ...decodeOperation(plaintext), node: way.hash });
      parcel.wireLength = await way.send(FrameType.operation, bytes);
      if (this.#way !== way) return;
      this.#left = place;
      this.#ask();
    } catch (error) {
      if (this.#way !== way || parcel.place !== place) return;
      // Whatever is wrong with the operation, is wrong for the next partner, too.
      if (!way.live) return this.#again();
      this.#remove(parcel);
      done.reject(error);
    }
  }

  #done(parcel: Parcel): void {
    this.#remove(parcel);
    parcel.done.resolve(parcel.wireLength);
  }

  #remove({ counter, plaintext }: Parcel): void {
    if (this.#onWay.delete(counter)) this.#bytes -= plaintext.length;
  }

  /** One Ping for all that went out before it. */
  #ask(): void {
    if (this.#way?.receipts !== undefined || this.#asked !== undefined) return;
    const [oldest] = this.#onWay.values();
    if (oldest && oldest.place <= this.#left) this.#way?.ask(this.#asked = this.#left);
  }

  #answered(): void {
    this.#await();
    void this.#pump();
  }

  #await(): void {
    this.#stopTimer();
    if (this.#onWay.size === 0) return;
    this.#stopTimer = this.host.after(ANSWER_MS, () => {
      this.#asked = undefined;
      this.#again();
      void this.#pump();
    });
  }

  /** What is on the way goes out once more, before everything else. */
  #again(): void {
    this.#stopTimer();
    this.#waiting.unshift(...this.#onWay.values());
    this.#onWay.clear();
    this.#bytes = 0;
  }
}

/** Plaintext of a pair's OperationAck: u64 counters of operations that were taken. */
export function encodeReceipt(counters: readonly bigint[]): Bytes {
  const w = new Writer(8 * counters.length);
  for (const counter of counters) w.u64(counter);
  return w.finish();
}

/** Reads what {@linkcode encodeReceipt} writes. Throws `UNEXPECTED_END`. */
export function* decodeReceipt(plaintext: Uint8Array): Generator<bigint> {
  const r = new Reader(plaintext);
  for (let n = plaintext.length / 8; n > 0; n--) yield r.u64();
}
