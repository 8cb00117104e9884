/**
 * A link that carries its messages as RFC 6455 frames over one stream of bytes.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import { Endpoint } from "./endpoint.ts";
import type { Accept, Link, LinkEvents, Message } from "./link.ts";

/** The stream below. */
export interface ByteStream {
  readonly remote: string;
  /** Bytes written that have not left this process. */
  readonly buffered: number;
  write(bytes: Message): void;
  /** Ends the stream once what was written has left. */
  end(): void;
}

/** As with the runtimes' own sockets: above the relay's limit, so that its answer is heard. */
const MAX_MESSAGE = 4 * 1024 * 1024;
const LIMITS = { maxFrame: MAX_MESSAGE, maxMessage: MAX_MESSAGE, maxFragments: 65_536 };
/** Milliseconds that the answer to a close may take. */
const CLOSE_MS = 5_000;

/** The relay's end. Bytes of the stream come in through `receive`. */
export class FramedLink implements Link {
  readonly #endpoint: Endpoint;
  readonly #events: LinkEvents;

  /** `idleMs`: silence after which the peer counts as gone. Half of it brings a ping. */
  constructor(private readonly stream: ByteStream, accept: Accept, idleMs: number, clock: Clock) {
    this.#endpoint = new Endpoint(
      { role: "server", limits: LIMITS, idleMs, closeMs: CLOSE_MS, clock },
      {
        write: (frame) => stream.write(frame),
        message: (data) =>
          typeof data === "string" ? this.#events.text() : this.#events.message(data),
        closed: (code, reason) => {
          stream.end();
          this.#events.closed(code, reason);
        },
      },
    );
    this.#events = accept(this);
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
    this.#endpoint.close(code, reason);
  }

  /** Bytes of the stream, cut anywhere; they are the link's from here on. */
  receive(chunk: Message): void {
    this.#endpoint.receive(chunk);
  }

  /** What was written has left. */
  drained(): void {
    if (this.#endpoint.state !== "closed") this.#events.drained();
  }

  /** The stream is gone. */
  lost(): void {
    this.#endpoint.lost();
  }
}
