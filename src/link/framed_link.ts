/**
 * A link that carries its messages as RFC 6455 frames: the relay's end, over whatever moves bytes. What
 * every link owes its session besides frames (see `link.ts`) is kept here, once for all that have them.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import { Endpoint, type EndpointOptions } from "./endpoint.ts";
import { type Accept, closeReason, type Link, type LinkEvents, type Message } from "./link.ts";

/** The stream below. */
export interface FrameStream {
  readonly remote: string;
  /** Bytes written that have not left this process. */
  readonly buffered: number;
  /** One whole frame. Must not throw. */
  write(frame: Message): void;
  /** Our close frame was the last one; the peer's is awaited. */
  closing?(): void;
  /** A pong came. */
  pong?(data: Message): void;
  /** The conversation is over, with this close code: ends the stream once what was written has left. */
  end(code: number): void;
}

export interface FramedOptions {
  readonly limits: EndpointOptions["limits"];
  /** Silence after which the peer counts as gone, in milliseconds. Half of it brings a ping. */
  readonly idleMs: number;
  readonly clock: Clock;
}

/** Milliseconds that the answer to a close may take. */
const CLOSE_MS = 5_000;

/** Bytes of the stream come in through `receive`. */
export class FramedLink implements Link {
  readonly #endpoint: Endpoint;
  /** Missing until the session is there. */
  #events: LinkEvents | undefined;
  /** How it ended, from the moment that the session is told. */
  #closedWith: readonly [code: number, reason: string] | undefined;

  constructor(private readonly stream: FrameStream, accept: Accept, options: FramedOptions) {
    const events = (): LinkEvents | undefined => this.#closedWith ? undefined : this.#events;
    this.#endpoint = new Endpoint({ role: "server", closeMs: CLOSE_MS, ...options }, {
      write: (frame) => stream.write(frame),
      message: (data) => typeof data === "string" ? events()?.text() : events()?.message(data),
      pong: (data) => stream.pong?.(data),
      closed: (code, reason) => {
        stream.end(code);
        this.#tell(code, reason);
      },
    });
    const accepted = accept(this);
    this.#events = accepted;
    // Whoever closes while accepting hears of it as soon as there is somebody to hear.
    if (this.#closedWith) accepted.closed(...this.#closedWith);
  }

  get remote(): string {
    return this.stream.remote;
  }

  get buffered(): number {
    return this.stream.buffered;
  }

  send(message: Message): void {
    this.#endpoint.send(message);
  }

  close(code: number, reason: string): void {
    if (this.#closedWith) return;
    this.#endpoint.close(code, reason);
    this.stream.closing?.();
    this.#tell(code, closeReason(reason));
  }

  /** Bytes of the stream, cut anywhere; they are the link's from here on. */
  receive(chunk: Message): void {
    this.#endpoint.receive(chunk);
  }

  /** A sign of life that is no frame. */
  heard(): void {
    this.#endpoint.heard();
  }

  /** Asks for a sign of life, with at most 125 bytes. */
  ping(data: Uint8Array): void {
    this.#endpoint.ping(data);
  }

  /** What was written has left. */
  drained(): void {
    if (!this.#closedWith) this.#events?.drained();
  }

  /** The stream is gone. */
  lost(reason?: string, code?: number): void {
    this.#endpoint.lost(reason, code);
  }

  /** Once: the end of the closing handshake follows a close from here. */
  #tell(code: number, reason: string): void {
    if (this.#closedWith) return;
    this.#closedWith = [code, reason];
    this.#events?.closed(code, reason);
  }
}
