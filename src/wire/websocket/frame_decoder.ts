/**
 * Reads RFC 6455 frames out of a stream that is cut anywhere, and joins fragments to messages.
 *
 * The states are the parts of a frame in the order they arrive (the layout is in `frame_encoder.ts`):
 *
 * ```text
 * opcode → length → (length16 | length64)? → mask? → payload → opcode …
 * ```
 *
 * Every fault is seen at the first byte that shows it, throws a {@linkcode FrameError} and ends the
 * decoder. What comes out does not depend on the cuts: not the events, the error, nor its offset.
 *
 * @module
 */
import type { Bytes } from "../bytes.ts";
import { type CloseFrame, decodeClose } from "./close_frame.ts";
import { Gather } from "./gather.ts";
import { applyMask } from "./mask.ts";
import { type JoinedMessage, Joiner } from "./joiner.ts";
import { isControl, MAX_CONTROL, Opcode } from "./opcode.ts";
import { FrameError, type FrameLimits, type Violation } from "./violation.ts";

/** Who reads: a server takes masked frames only, a client frames without a mask only (5.1). */
export type Role = "server" | "client";

/** What arrived. `data` may be a view of the chunk: copy what must outlive it. */
export type FrameEvent =
  | JoinedMessage
  | { readonly type: "ping"; readonly data: Bytes }
  | { readonly type: "pong"; readonly data: Bytes }
  | { readonly type: "close" } & CloseFrame;

type State = "opcode" | "length" | "length16" | "length64" | "mask" | "payload" | "ended";

const none: Bytes = new Uint8Array(0);

/** One direction of one connection. */
export class FrameDecoder {
  readonly #masked: boolean;
  readonly #message: Joiner;
  #state: State = "opcode";

  // The chunk being read, where in it, and where in the stream it begins.
  #chunk = none;
  #at = 0;
  #start = 0;

  // The frame under way.
  #fin = false;
  #opcode = 0;
  /** The announced length; while it arrives, the digits so far. */
  #length = 0;
  /** Bytes that the state still waits for. */
  #left = 0;
  readonly #key = new Uint8Array(4);
  readonly #control = new Gather();

  constructor(role: Role, limits: FrameLimits) {
    this.#masked = role === "server";
    this.#message = new Joiner(limits);
  }

  /** Whether reading is over: after a close frame, a violation, or a loop that was left early. */
  get ended(): boolean {
    return this.#state === "ended";
  }

  /**
   * Reads a chunk and yields what became whole. Nothing happens but by iterating; leaving the loop
   * early ends the decoder. Once ended it yields nothing (7.1.1: data after close is ignored).
   *
   * The decoder owns the chunk from here on: masked payloads are unmasked in place, and a payload
   * that lies whole in one chunk is handed out as a view of it. All others are copied together.
   *
   * Throws {@linkcode FrameError}, after the events that came before the fault.
   */
  *push(chunk: Bytes): Generator<FrameEvent, void, void> {
    if (this.ended) return;
    this.#chunk = chunk;
    this.#at = 0;
    let done = false;
    try {
      while (this.#at < chunk.length && !this.ended) {
        const event = this.#step();
        if (event) yield event;
      }
      done = true;
    } finally {
      this.#start += this.#at;
      this.#chunk = none;
      if (!done || this.ended) this.#end();
    }
  }

  /** Takes at least one byte. */
  #step(): FrameEvent | undefined {
    switch (this.#state) {
      case "opcode":
        return this.#readOpcode(this.#byte());
      case "length":
        return this.#readLength(this.#byte());
      case "length16":
      case "length64":
        return this.#readDigit(this.#byte());
      case "mask":
        return this.#readMask(this.#byte());
      case "payload":
        return this.#readPayload();
      case "ended":
    }
  }

  /** FIN, RSV1–3, opcode. */
  #readOpcode(byte: number): undefined {
    if (byte & 0x70) this.#refuse("RESERVED_BITS");
    this.#fin = byte > 0x7f;
    const opcode = this.#opcode = byte & 0x0f;
    if (isControl(opcode)) {
      if (opcode > Opcode.pong) this.#refuse("UNKNOWN_OPCODE");
      if (!this.#fin) this.#refuse("CONTROL_FRAGMENTED");
    } else {
      if (opcode > Opcode.binary) this.#refuse("UNKNOWN_OPCODE");
      this.#message.begin(opcode, this.#start + this.#at - 1);
    }
    this.#state = "length";
  }

  /** MASK and the short length, or which long one follows. */
  #readLength(byte: number): FrameEvent | undefined {
    const masked = byte > 0x7f;
    if (masked !== this.#masked) this.#refuse(masked ? "MASK_UNEXPECTED" : "MASK_MISSING");
    const length = byte & 0x7f;
    if (length > MAX_CONTROL) {
      if (isControl(this.#opcode)) this.#refuse("CONTROL_TOO_LONG");
      this.#state = length === 126 ? "length16" : "length64";
      this.#left = length === 126 ? 2 : 8;
      this.#length = 0;
      return;
    }
    return this.#setLength(length);
  }

  /** One byte of a long length. Above 2^53 the sum is rounded, and over every limit anyway. */
  #readDigit(byte: number): FrameEvent | undefined {
    if (this.#left === 8 && byte > 0x7f) this.#refuse("LENGTH_TOP_BIT");
    this.#length = 256 * this.#length + byte;
    if (--this.#left > 0) return;
    const least = this.#state === "length16" ? 126 : 0x10000;
    if (this.#length < least) this.#refuse("LENGTH_NOT_MINIMAL");
    return this.#setLength(this.#length);
  }

  /** The length is known and nothing is allocated: the place to refuse it. */
  #setLength(length: number): FrameEvent | undefined {
    if (!isControl(this.#opcode)) this.#message.admit(length, this.#start + this.#at - 1);
    this.#length = length;
    if (!this.#masked) return this.#startPayload();
    this.#state = "mask";
    this.#left = 4;
  }

  #readMask(byte: number): FrameEvent | undefined {
    this.#key[4 - this.#left] = byte;
    if (--this.#left === 0) return this.#startPayload();
  }

  #startPayload(): FrameEvent | undefined {
    this.#state = "payload";
    this.#left = this.#length;
    // An empty payload is complete, and no byte may ever follow to notice that.
    if (this.#left === 0) return this.#readPayload();
  }

  /** As much of the payload as the chunk holds. */
  #readPayload(): FrameEvent | undefined {
    const until = Math.min(this.#at + this.#left, this.#chunk.length);
    const piece = this.#chunk.subarray(this.#at, until);
    if (this.#masked) applyMask(piece, this.#key, this.#length - this.#left);
    this.#at = until;
    this.#left -= piece.length;
    if (this.#left === 0) this.#state = "opcode";
    if (isControl(this.#opcode)) return this.#takeControl(piece);
    return this.#message.add(piece, this.#left, this.#fin, this.#start + this.#at - piece.length);
  }

  #takeControl(piece: Bytes): FrameEvent | undefined {
    let data = piece;
    if (piece.length < this.#length) {
      this.#control.add(piece, this.#length);
      if (this.#left > 0) return;
      data = this.#control.take();
    }
    if (this.#opcode === Opcode.ping) return { type: "ping", data };
    if (this.#opcode === Opcode.pong) return { type: "pong", data };
    const close = decodeClose(data, this.#start + this.#at - data.length);
    this.#state = "ended";
    return { type: "close", ...close };
  }

  /** The next byte; the loop has seen that there is one. */
  #byte(): number {
    return this.#chunk[this.#at++]!;
  }

  /** Ends with a violation, seen at the byte read last. */
  #refuse(code: Violation): never {
    throw new FrameError(code, this.#start + this.#at - 1);
  }

  /** Reads no more and lets go of what was gathered. */
  #end(): void {
    this.#state = "ended";
    this.#control.take();
    this.#message.clear();
  }
}
