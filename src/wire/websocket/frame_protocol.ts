/**
 * What an RFC 6455 endpoint owes its peer between frames: a pong for every ping (5.5.2), a close for
 * a close (5.5.1), a close code for a violation (7.1.7), and silence after its own close (5.5.1).
 *
 * It holds no socket. Chunks go in, events come out, frames leave through `send`.
 *
 * @module
 */
import { type Bytes, utf8Bytes } from "../bytes.ts";
import { encodeClose, NO_CODE } from "./close_frame.ts";
import { FrameDecoder, type FrameEvent } from "./frame_decoder.ts";
import { encodeFrame } from "./frame_encoder.ts";
import { Opcode } from "./opcode.ts";
import { FrameError, type FrameLimits } from "./violation.ts";

/** Which side this is, what it may be made to keep, and where its frames go. */
export type FrameProtocolOptions =
  & {
    readonly limits: FrameLimits;
    /** Called with one whole frame, masked if need be. Must not throw. */
    readonly send: (frame: Bytes) => void;
  }
  & (
    | { readonly role: "server" }
    /** `key` draws a fresh masking key of four unpredictable bytes for every frame (5.3). */
    | { readonly role: "client"; readonly key: () => Uint8Array }
  );

/**
 * `open`: both may send. `closing`: our close is sent, the peer's is awaited. `closed`: nothing more
 * is sent or read; the stream below may end once the last frame has left.
 */
export type FrameProtocolState = "open" | "closing" | "closed";

/** One end of a WebSocket connection after its handshake. */
export class FrameProtocol {
  readonly #decoder: FrameDecoder;
  readonly #send: (frame: Bytes) => void;
  readonly #key: (() => Uint8Array) | undefined;
  #state: FrameProtocolState = "open";

  constructor(options: FrameProtocolOptions) {
    this.#decoder = new FrameDecoder(options.role, options.limits);
    this.#send = options.send;
    this.#key = options.role === "client" ? options.key : undefined;
  }

  /** How far the closing handshake (7.1) has come. */
  get state(): FrameProtocolState {
    return this.#state;
  }

  /**
   * Reads a chunk as {@linkcode FrameDecoder.push} does. A ping is answered before it is yielded, a close
   * too: with its own code, or 1000 when it had none. While closing only the close is yielded, as a
   * browser's WebSocket does it.
   *
   * A violation is answered with its close code and then thrown on as {@linkcode FrameError}.
   */
  *receive(chunk: Bytes): Generator<FrameEvent, void, void> {
    try {
      for (const event of this.#decoder.push(chunk)) {
        if (event.type === "close") {
          this.close(event.code === NO_CODE ? 1000 : event.code);
          this.#state = "closed";
        } else if (this.#state !== "open") {
          continue;
        } else if (event.type === "ping") {
          this.#write(Opcode.pong, event.data);
        }
        yield event;
      }
    } catch (error) {
      if (error instanceof FrameError) {
        this.close(error.closeCode, error.code);
        this.#state = "closed";
      }
      throw error;
    }
  }

  /** Sends a message in one frame: text for a string, else binary. Does nothing unless open. */
  send(data: string | Uint8Array): void {
    if (typeof data === "string") this.#write(Opcode.text, utf8Bytes(data));
    else this.#write(Opcode.binary, data);
  }

  /** Sends a ping. Does nothing unless open. Throws `RangeError` for more than 125 bytes. */
  ping(data: Uint8Array): void {
    this.#write(Opcode.ping, data);
  }

  /**
   * Sends a close frame and waits for the peer's. Does nothing unless open.
   *
   * Throws `RangeError` as {@linkcode encodeClose} does.
   */
  close(code: number, reason = ""): void {
    if (this.#state !== "open") return;
    this.#write(Opcode.close, encodeClose(code, reason));
    this.#state = "closing";
  }

  #write(opcode: Opcode, payload: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#send(encodeFrame(opcode, payload, { mask: this.#key?.() }));
  }
}
