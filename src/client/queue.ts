/**
 * A queue between events and an `for await` loop, with a bound.
 *
 * @module
 */

/** The loop took too long, and items would have been lost. */
export class QueueOverflow extends Error {
  override readonly name = "QueueOverflow";
}

/** Bytes that may wait, whatever the number of items: one small frame may hold a thousand times that. */
const MOST_BYTES = 64 * 1024 * 1024;

interface Waiting<T> {
  readonly item: T;
  readonly bytes: number;
}

export class Queue<T> implements AsyncIterableIterator<T> {
  readonly #items: Waiting<T>[] = [];
  #bytes = 0;
  #waiting: PromiseWithResolvers<IteratorResult<T>> | undefined;
  #done = false;
  #error: Error | undefined;

  /** `most`, `mostBytes`: what may wait. `onReturn` is called when the loop is left. */
  constructor(
    private readonly most: number,
    private readonly onReturn: () => void = () => {},
    private readonly mostBytes: number = MOST_BYTES,
  ) {}

  push(item: T): void {
    if (this.#done) return;
    if (this.#waiting) {
      this.#waiting.resolve({ value: item, done: false });
      this.#waiting = undefined;
      return;
    }
    const bytes = weigh(item);
    if (this.#items.length >= this.most) {
      return this.end(new QueueOverflow(`${this.most} items wait and nobody takes them`));
    }
    // One alone may be of any size.
    if (this.#items.length > 0 && this.#bytes + bytes > this.mostBytes) {
      return this.end(new QueueOverflow(`${this.#bytes} bytes wait and nobody takes them`));
    }
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
  }

  /** No more items. What waits is still handed out, and then the error is thrown, if there is one. */
  end(error?: Error): void {
    if (this.#done) return;
    this.#done = true;
    this.#error = error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error) waiting?.reject(error);
    else waiting?.resolve({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<T>> {
    const next = this.#items.shift();
    if (next) {
      this.#bytes -= next.bytes;
      return Promise.resolve({ value: next.item, done: false });
    }
    if (this.#done) {
      const error = this.#error;
      this.#error = undefined;
      return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
    }
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  return(): Promise<IteratorResult<T>> {
    this.end();
    this.onReturn();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** About how many bytes of memory a decoded value takes. */
function weigh(value: unknown): number {
  if (typeof value === "string") return 2 * value.length;
  if (typeof value !== "object" || value === null) return 8;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  const parts = Array.isArray(value) ? value : Object.values(value);
  return parts.reduce((sum: number, part) => sum + 8 + weigh(part), 16);
}
