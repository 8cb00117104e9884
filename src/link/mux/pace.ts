/**
 * How much is on its way to a peer that is not ours.
 *
 * The real Blazeio spins for ever over a frame whose header comes in two reads. A header is cut where
 * a read is full (64 KiB to 512 KiB, as its version and event loop have it) or where a segment ends
 * because a window is full. So a stranger gets no more at once than it reads at once: what it has read
 * shows in its acks, and in what it sends behind ours.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { carriesPayload, type Kind } from "../../wire/bmp/bmp_frame.ts";
import { PIECE_COST } from "./settings.ts";
import type { Batch } from "./write_batch.ts";

/** Bytes on their way at first: no more than TCP's first window (RFC 6928: ten segments). */
const FIRST_ROOM = 6_144;
/** It grows with what is read, up to this: with one more frame of 8 KiB still below 64 KiB. */
const MOST_ROOM = 49_152;
/**
 * A silence after which a little more leaves, in milliseconds: streams that nobody reads hold up the
 * others no longer. A busy client may be silent for seconds, so it doubles each time, up to the last.
 */
const SILENCE_MS = 250;
const LAST_SILENCE_MS = 4_000;

/** What a stream remembers of its frames on the way. */
export interface Paced {
  /** Where its last data and its last ack ended, in bytes since the connection began. */
  dataAt: number;
  ackAt: number;
  /** Its frames that wait here. */
  held: number;
}

export class Pace<S extends Paced> {
  #held: { stream: S; kind: Kind; frame: Bytes }[] = [];
  #heldBytes = 0;
  #sent = 0;
  #read = 0;
  #room = FIRST_ROOM;
  #silence = SILENCE_MS;
  #stopWaiting: (() => void) | undefined;

  constructor(
    private readonly batch: Batch,
    private readonly after: (ms: number, run: () => void) => () => void,
  ) {}

  /** Bytes that wait here, with what keeping them costs. */
  get length(): number {
    return this.#heldBytes;
  }

  /** Whether one more frame of data may leave. */
  get open(): boolean {
    return this.#sent - this.#read < this.#room;
  }

  /** A frame that a stream sends in its turn. */
  send(stream: S, kind: Kind, frame: Bytes): void {
    this.batch.add(frame);
    this.#sent += frame.length;
    if (kind === "ack") stream.ackAt = this.#sent;
    else if (carriesPayload(kind)) stream.dataAt = this.#sent;
  }

  /** Acks and all that comes out of turn: it leaves in order, as there is room. */
  hold(stream: S, kind: Kind, frame: Bytes): void {
    this.#held.push({ stream, kind, frame });
    this.#heldBytes += frame.length + PIECE_COST;
    stream.held++;
  }

  /** What the peer's frame tells: an ack or a close comes behind our data, data behind our ack. */
  heard(stream: S, kind: Kind): void {
    this.#readTo(carriesPayload(kind) ? stream.ackAt : stream.dataAt);
  }

  /**
   * Lets go of what is held, `ready` hearing of each stream that has nothing here any more. It takes
   * half of the room, since nobody answers to an ack: data in the other half brings proof.
   */
  release(ready: (stream: S) => void, all = false): void {
    let count = 0;
    while (count < this.#held.length && (all || this.#sent - this.#read < this.#room / 2)) {
      const { stream, kind, frame } = this.#held[count++]!;
      this.#heldBytes -= frame.length + PIECE_COST;
      this.send(stream, kind, frame);
      if (--stream.held === 0) ready(stream);
    }
    if (count > 0) this.#held.splice(0, count);
  }

  /** Something waits: `wake` is called when the peer was silent for long and a little more may leave. */
  wait(wake: () => void): void {
    if (this.#stopWaiting) return;
    const before = this.#read;
    this.#stopWaiting = this.after(this.#silence, () => {
      this.#stopWaiting = undefined;
      if (this.#read === before) {
        this.#read = Math.min(this.#sent, before + FIRST_ROOM);
        this.#silence = Math.min(LAST_SILENCE_MS, 2 * this.#silence);
      }
      wake();
    });
  }

  stop(): void {
    this.#stopWaiting?.();
  }

  #readTo(position: number): void {
    if (position <= this.#read) return;
    this.#room = Math.min(MOST_ROOM, this.#room + position - this.#read);
    this.#read = position;
    this.#silence = SILENCE_MS;
  }
}
