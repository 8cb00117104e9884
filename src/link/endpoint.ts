/**
 * One end of a WebSocket over any pair of byte streams: RFC 6455 frames, and what time adds to them,
 * which is keeping quiet connections alive, giving up on dead ones, and not waiting for ever for an
 * answer to a close.
 *
 * Both ends are this class. It holds no stream: bytes come in through `receive` and leave through
 * `write`.
 *
 * @module
 */
import type { Bytes } from "../wire/bytes.ts";
import { FrameProtocol, type FrameProtocolState } from "../wire/websocket/frame_protocol.ts";
import { FrameError, type FrameLimits } from "../wire/websocket/violation.ts";
import type { Clock } from "./clock.ts";
import { closeReason } from "./link.ts";

/** The close code of a connection that ended without a closing handshake (7.1.5). It never travels. */
export const LOST = 1006;

export interface EndpointOptions {
  readonly role: "server" | "client";
  readonly limits: FrameLimits;
  /**
   * Silence of the peer, in milliseconds, after which it counts as gone. Half of it brings a ping; 0
   * means that silence is no fault.
   */
  readonly idleMs: number;
  /** How long an answer to a close may take, in milliseconds. */
  readonly closeMs: number;
  readonly clock: Clock;
}

export interface EndpointEvents {
  /** One whole frame wants to leave. Must not throw. */
  write(frame: Bytes): void;
  message(data: string | Bytes): void;
  pong?(data: Bytes): void;
  /** Exactly once, and nothing after it. `clean`: both sides have said close. */
  closed(code: number, reason: string, clean: boolean): void;
}

export class Endpoint {
  readonly #connection: FrameProtocol;
  #heard: number;
  #stopTimer: () => void;
  #over = false;

  constructor(private readonly options: EndpointOptions, private readonly events: EndpointEvents) {
    const { role, limits, clock } = options;
    const send = (frame: Bytes) => events.write(frame);
    this.#connection = new FrameProtocol(
      role === "server"
        ? { role, limits, send }
        : { role, limits, send, key: keys((length) => clock.random(length)) },
    );
    this.#heard = clock.now();
    this.#stopTimer = this.#watch();
  }

  /** `closed` once the conversation is over, also for a peer that is lost. */
  get state(): FrameProtocolState {
    return this.#over ? "closed" : this.#connection.state;
  }

  /** Bytes of the peer, cut anywhere. They belong to the endpoint from here on. */
  receive(chunk: Bytes): void {
    if (this.#over) return;
    this.#heard = this.options.clock.now();
    try {
      for (const event of this.#connection.receive(chunk)) {
        if (event.type === "message") this.events.message(event.data);
        else if (event.type === "pong") this.events.pong?.(event.data);
        else if (event.type === "close") this.#end(event.code, event.reason, true);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#end(error.closeCode, error.code, false);
    }
  }

  /** A sign of life that is no frame, such as an acknowledgement. */
  heard(): void {
    this.#heard = this.options.clock.now();
  }

  /** Text for a string, else binary. Does nothing unless open. */
  send(data: string | Uint8Array): void {
    if (!this.#over) this.#connection.send(data);
  }

  /** At most 125 bytes. Does nothing unless open. */
  ping(data: Uint8Array): void {
    if (!this.#over) this.#connection.ping(data);
  }

  /** Starts the closing handshake. */
  close(code: number, reason = ""): void {
    if (this.state !== "open") return;
    // The timer first: where both ends share a process, the answer comes within this very call.
    this.#stopTimer();
    this.#stopTimer = this.options.clock.after(
      this.options.closeMs,
      () => this.lost("no answer to the close"),
    );
    this.#connection.close(code, closeReason(reason));
  }

  /** The streams below are gone for good; `code` says more where more is known. */
  lost(reason = "", code = LOST): void {
    this.#end(code, reason, false);
  }

  #end(code: number, reason: string, clean: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopTimer();
    this.events.closed(code, reason, clean);
  }

  /** Looks four times per idle time, so that a ping has half of it to be answered. */
  #watch(): () => void {
    const { idleMs, clock } = this.options;
    if (idleMs === 0) return () => {};
    return clock.after(idleMs / 4, () => {
      const silent = clock.now() - this.#heard;
      if (silent >= idleMs) return this.lost(`nothing heard for ${Math.round(silent)} ms`);
      this.#stopTimer = this.#watch();
      if (silent >= idleMs / 2) this.ping(new Uint8Array(0));
    });
  }
}

/** Draws masking keys, a thousand at a time: a call into the system for each would cost more. */
function keys(random: (length: number) => Bytes): () => Uint8Array {
  let drawn = new Uint8Array(0);
  let at = 0;
  return () => {
    if (at === drawn.length) [drawn, at] = [random(4096), 0];
    return drawn.subarray(at, at += 4);
  };
}
