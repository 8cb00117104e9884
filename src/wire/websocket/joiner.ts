/**
 * Joins the data frames of one direction to messages (RFC 6455, 5.4), within limits, and follows
 * text as it arrives (8.1).
 *
 * @module
 */
import { type Bytes, utf8Text } from "../bytes.ts";
import { Utf8Checker } from "../utf8.ts";
import { Gather } from "./gather.ts";
import { Opcode } from "./opcode.ts";
import { FrameError, type FrameLimits } from "./violation.ts";

/** A whole message, all its fragments joined. */
export type JoinedMessage =
  | { readonly type: "message"; readonly opcode: "text"; readonly data: string }
  | { readonly type: "message"; readonly opcode: "binary"; readonly data: Bytes };

/** The message under way. Offsets are positions in the stream, for the {@linkcode FrameError}s. */
export class Joiner {
  readonly #limits: FrameLimits;
  /** Text, binary, or 0 between messages. */
  #kind = 0;
  #fragments = 0;
  readonly #bytes = new Gather();
  readonly #utf8 = new Utf8Checker();

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** A frame begins: a message that is open is continued, no other is. `offset`: its first byte. */
  begin(opcode: number, offset: number): void {
    if (opcode === Opcode.continuation) {
      if (this.#kind === 0) throw new FrameError("CONTINUATION_UNEXPECTED", offset);
    } else {
      if (this.#kind !== 0) throw new FrameError("MESSAGE_UNFINISHED", offset);
      this.#kind = opcode;
    }
    if (++this.#fragments > this.#limits.maxFragments) {
      throw new FrameError("TOO_MANY_FRAGMENTS", offset);
    }
  }

  /** Its length is known, and nothing is allocated yet. `offset`: the last byte of the length. */
  admit(length: number, offset: number): void {
    if (length > this.#limits.maxFrame) throw new FrameError("FRAME_TOO_LARGE", offset);
    if (this.#bytes.length + length > this.#limits.maxMessage) {
      throw new FrameError("MESSAGE_TOO_LARGE", offset);
    }
  }

  /**
   * A piece of its payload, `left` bytes before the end of a frame that is the last one if `fin`.
   * `offset`: the first byte of the piece. Answers the message when this was the end of it.
   */
  add(piece: Bytes, left: number, fin: boolean, offset: number): JoinedMessage | undefined {
    const done = fin && left === 0;
    const text = this.#kind === Opcode.text;
    if (done && this.#bytes.length === 0) {
      return this.#finish(text ? this.#decode(piece, offset) : piece);
    }
    if (text) this.#check(piece, offset, done);
    const whole = this.#bytes.length + piece.length + left;
    this.#bytes.add(piece, fin ? whole : this.#limits.maxMessage);
    if (!done) return;
    const bytes = this.#bytes.take();
    return this.#finish(text ? utf8Text(bytes) : bytes);
  }

  /** Lets go of what was gathered. */
  clear(): void {
    this.#bytes.take();
  }

  #finish(data: string | Bytes): JoinedMessage {
    this.#kind = 0;
    this.#fragments = 0;
    return typeof data === "string"
      ? { type: "message", opcode: "text", data }
      : { type: "message", opcode: "binary", data };
  }

  /** A text that lies whole in one piece: the native decoder is fast, the checker knows where. */
  #decode(piece: Bytes, offset: number): string {
    try {
      return utf8Text(piece);
    } catch (error) {
      this.#check(piece, offset, true);
      throw error;
    }
  }

  /** Follows the text up to here. A text that ends in a character is bad at its last byte. */
  #check(piece: Bytes, offset: number, last: boolean): void {
    const bad = this.#utf8.feed(piece);
    if (bad >= 0) throw new FrameError("INVALID_UTF8", offset + bad);
    if (!last || this.#utf8.complete) return;
    throw new FrameError("INVALID_UTF8", offset + piece.length - 1);
  }
}
