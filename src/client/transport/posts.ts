/**
 * Upstream bytes in numbered requests. A request that fails is made again with its number, so the
 * other end takes it once; while requests are under way, what comes to send gathers into the next.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";

/** Requests under way at once. Browsers keep six connections to a relay, and other pages want some. */
const AT_ONCE = 2;

/** Makes one request, again and again until it is answered. Rejects when the stream is lost. */
export type SendPost = (number: number, piece: Bytes) => Promise<void>;

export class Posts {
  #waiting: Bytes[] = [];
  #waitingBytes = 0;
  #flyingBytes = 0;
  #flying = 0;
  #number = 0;
  #scheduled = false;
  #idle: (() => void) | undefined;
  #stopped = false;

  /** `most`: bytes of one request, 1 or more. `failed`: a request has failed for good. */
  constructor(
    private readonly most: number,
    private readonly post: SendPost,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Bytes that were not answered yet. */
  get buffered(): number {
    return this.#waitingBytes + this.#flyingBytes;
  }

  get flying(): number {
    return this.#flying;
  }

  write(bytes: Bytes): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#scheduled) return;
    // What is sent in one go travels in one request.
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** Resolves once everything was answered. */
  async idle(): Promise<void> {
    if (this.buffered > 0) await new Promise<void>((resolve) => this.#idle = resolve);
  }

  /** Nobody takes anything any more: what waits is dropped, and nothing is idle later than now. */
  stop(): void {
    this.#stopped = true;
    this.#waiting = [];
    this.#waitingBytes = this.#flyingBytes = 0;
    this.#idle?.();
  }

  #pump(): void {
    if (this.#stopped) return;
    while (this.#flying < AT_ONCE && this.#waitingBytes > 0) void this.#fly(this.#take());
  }

  async #fly(piece: Bytes): Promise<void> {
    this.#flying++;
    this.#flyingBytes += piece.length;
    try {
      await this.post(this.#number++, piece);
      this.#flying--;
      if (this.#stopped) return;
      this.#flyingBytes -= piece.length;
      if (this.buffered === 0) this.#idle?.();
      this.#pump();
    } catch (error) {
      this.failed(error);
    }
  }

  /** The oldest bytes, as many as one request takes. */
  #take(): Bytes {
    const piece = new Uint8Array(Math.min(this.most, this.#waitingBytes));
    let at = 0;
    let used = 0;
    while (at < piece.length) {
      const part = this.#waiting[used]!;
      const fits = part.subarray(0, piece.length - at);
      piece.set(fits, at);
      at += fits.length;
      if (fits.length < part.length) this.#waiting[used] = part.subarray(fits.length);
      else used++;
    }
    this.#waiting = this.#waiting.slice(used);
    this.#waitingBytes -= piece.length;
    return piece;
  }
}
