/**
 * Server to client: one stream of bytes, carried by one HTTP response after the other.
 *
 * Bytes are kept until the client says how many it has, so a response that breaks costs nothing: the
 * next one begins where the client says. A response takes bytes only as fast as its connection does.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { ByteRing } from "./byte_ring.ts";

/** The most bytes that are handed to a response at once. */
const CHUNK = 65_536;

/** A response under way. */
interface Reader {
  at: number;
  /** Lets the response go on: there are bytes, or it shall end. */
  wake: (() => void) | undefined;
}

export class Downstream {
  readonly #ring = new ByteRing();
  #reader: Reader | undefined;
  /** The furthest that any response has come. Nobody can have received more. */
  #sent = 0;
  #ended = false;

  /** `detached`: a response ended, whoever ended it, and none has taken its place. */
  constructor(private readonly detached: () => void) {}

  /** Bytes that the client has not acknowledged. */
  get buffered(): number {
    return this.#ring.length;
  }

  /** The client has everything, and nothing more will come. */
  get done(): boolean {
    return this.#ended && this.#ring.length === 0;
  }

  append(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#ring.append(bytes);
    this.#wake();
  }

  /** The client has everything before `position`. Answers false when that cannot be. */
  acknowledge(position: number): boolean {
    if (position > this.#sent) return false;
    if (position > this.#ring.start) this.#ring.drop(position);
    return true;
  }

  /**
   * A response that begins at `position` and replaces the one before it. `poll`: it ends after the
   * first bytes, for proxies that hand a response on only once it is whole.
   *
   * Answers `undefined` for a position whose bytes are gone, or that was never reached, and once the
   * client has everything.
   */
  attach(position: number, poll: boolean): ReadableStream<Bytes> | undefined {
    if (position < this.#ring.start || !this.acknowledge(position) || this.done) return undefined;
    const reader: Reader = { at: position, wake: undefined };
    const older = this.#reader;
    this.#reader = reader;
    older?.wake?.();
    return new ReadableStream<Bytes>({
      pull: async (controller) => {
        while (this.#reader === reader && reader.at === this.#ring.end && !this.#ended) {
          await new Promise<void>((resolve) => reader.wake = resolve);
          reader.wake = undefined;
        }
        if (this.#reader !== reader) return controller.close();
        if (reader.at < this.#ring.end) {
          const chunk = this.#ring.read(reader.at, CHUNK);
          reader.at += chunk.length;
          this.#sent = Math.max(this.#sent, reader.at);
          controller.enqueue(chunk);
        }
        if (poll || (this.#ended && reader.at === this.#ring.end)) {
          controller.close();
          this.#detach(reader);
        }
      },
      cancel: () => this.#detach(reader),
    }, { highWaterMark: 0 });
  }

  /** Nothing more will be appended: responses end once they have handed on what there is. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Ends the response that is under way, whatever it still had to hand on. */
  cut(): void {
    const reader = this.#reader;
    if (!reader) return;
    this.#detach(reader);
    reader.wake?.();
  }

  #wake(): void {
    this.#reader?.wake?.();
  }

  #detach(reader: Reader): void {
    if (this.#reader !== reader) return;
    this.#reader = undefined;
    this.detached();
  }
}
