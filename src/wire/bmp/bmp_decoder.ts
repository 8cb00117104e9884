/**
 * Bytes to frames, however the bytes were cut.
 *
 * @module
 */
import { binaryForm, readBinaryHead } from "./binary_form.ts";
import { fault, octets } from "./field.ts";
import { carriesPayload, type Form, type Head } from "./bmp_frame.ts";
import { BMP_LIMITS, type BmpLimits, headerBytes } from "./bmp_limits.ts";
import { readTextHead } from "./text_form.ts";

/**
 * Some or all of one frame. The pieces of a frame follow each other, and no piece of another frame
 * comes between them.
 */
export interface Piece {
  /** The frame's header: one object for all its pieces. */
  readonly head: Head;
  /**
   * Payload, a view of the chunk it came in. Empty if the frame has none, and on `ack`, `eof` and
   * `close`, whose payload is read here and comes as a single piece.
   */
  readonly bytes: Uint8Array;
  /** Payload bytes of this frame before this piece; 0 marks the frame's first piece. */
  readonly offset: number;
  /** Whether the frame has arrived as a whole: now it may be acked. */
  readonly last: boolean;
}

/** BmpLimits that differ from {@linkcode BMP_LIMITS}, and the form if it is known beforehand. */
export interface BmpDecoderOptions extends Partial<BmpLimits> {
  /** A client knows what its server speaks. Without it the first bytes of the peer decide. */
  readonly form?: Form;
}

const NOTHING = new Uint8Array(0);

/** Reads one direction of one connection. Holds at most one unfinished header. */
export class BmpDecoder {
  readonly #limits: BmpLimits;
  #form: Form | undefined;
  /** The start of a header that was cut, in a buffer for the longest one. */
  #cut: Uint8Array | undefined;
  #held = 0;
  /** The frame whose payload is under way, and how much of that has passed. */
  #head: Head | undefined;
  #passed = 0;
  /** What an ack of binary4 has told of its sid. */
  #acked = "";
  #error: unknown;

  constructor({ form, ...limits }: BmpDecoderOptions = {}) {
    this.#form = form;
    this.#limits = { ...BMP_LIMITS, ...limits };
  }

  /** How the peer writes frames; `undefined` until its first header is there. */
  get form(): Form | undefined {
    return this.#form;
  }

  /** Bytes kept for later: never more than one header, whatever the peer sends. */
  get held(): number {
    return this.#held + this.#acked.length;
  }

  /** Whether the bytes so far end between two frames. If not, an end of input cuts a frame. */
  get idle(): boolean {
    return this.#held === 0 && this.#head === undefined;
  }

  /**
   * Takes the next bytes of the connection and yields what they complete, nothing empty but the
   * pieces of frames without payload. Iterate to the end before the next chunk: a chunk that is left
   * half read is lost. Keep the chunk unchanged for as long as a piece of it is in use.
   *
   * Throws `WireError` with a `BmpErrorCode` at a broken header, after yielding what came before it,
   * and the same error ever after: the connection is beyond repair.
   */
  *feed(chunk: Uint8Array): Generator<Piece, void, undefined> {
    if (this.#error !== undefined) throw this.#error;
    let at = 0;
    while (at < chunk.length) {
      if (this.#head === undefined) {
        at = this.#readHead(chunk, at);
        if (this.#head === undefined) return;
      }
      const head: Head = this.#head;
      const offset = this.#passed;
      const end = Math.min(chunk.length, at + head.length - offset);
      const last = offset + end - at === head.length;
      if (carriesPayload(head.kind)) {
        const bytes = end === at ? NOTHING : chunk.subarray(at, end);
        this.#advance(end - at, last);
        if (last || bytes.length > 0) yield { head, bytes, offset, last };
      } else {
        if (head.kind === "ack" && this.#form === "binary4") {
          this.#acked += octets(chunk, at, end);
        }
        const sid = this.#acked;
        this.#advance(end - at, last);
        if (last) yield { head: sid ? { ...head, sid } : head, bytes: NOTHING, offset: 0, last };
      }
      at = end;
    }
  }

  #advance(bytes: number, last: boolean): void {
    this.#passed = last ? 0 : this.#passed + bytes;
    if (last) {
      this.#head = undefined;
      this.#acked = "";
    }
  }

  /** Reads a header from `at`, or keeps what there is of it, and answers where that ends. */
  #readHead(chunk: Uint8Array, at: number): number {
    if (this.#held === 0) {
      const head = this.#parse(chunk, at, chunk.length);
      this.#head = head;
      if (head) return at + head.size;
    }
    // A header is decided, one way or the other, by the time that it fills this buffer.
    const cut = this.#cut ??= new Uint8Array(headerBytes(this.#limits));
    const more = chunk.subarray(at, at + cut.length - this.#held);
    cut.set(more, this.#held);
    const head = this.#held === 0 ? undefined : this.#parse(cut, 0, this.#held + more.length);
    this.#head = head;
    if (head === undefined) {
      this.#held += more.length;
      return at + more.length;
    }
    const taken = head.size - this.#held;
    this.#held = 0;
    return at + taken;
  }

  #parse(bytes: Uint8Array, start: number, end: number): Head | undefined {
    try {
      const form = this.#form ??= this.#detect(bytes, start, end);
      if (form === undefined) return;
      const head = form === "text"
        ? readTextHead(bytes, start, end, this.#limits)
        : readBinaryHead(bytes, start, end, this.#limits, form);
      if (head?.kind === "ack" && form === "binary4" && head.length > this.#limits.sidBytes) {
        throw fault("SID_TOO_LONG", head.size);
      }
      return head;
    } catch (error) {
      this.#error = error;
      throw error;
    }
  }

  #detect(bytes: Uint8Array, start: number, end: number): Form | undefined {
    const first = bytes[start];
    if (first === 0x3c) return "text";
    if (first === 0x00) return binaryForm(bytes, start, end, this.#limits);
    throw fault("UNKNOWN_FORM", 0);
  }
}
