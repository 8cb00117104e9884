/**
 * A queue between events and an `for await` loop, with a bound.
 *
 * @module
 */

/** The loop took too long, and items would have been lost. */
export class QueueOverflow extends Error {
  override readonly name = "QueueOverflow";
}

export class Queue<T> implements AsyncIterableIterator<T> {
  readonly #items: T[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<T>> | undefined;
  #done = false;
  #error: Error | undefined;

  /** `most`: items that may wait. `onReturn` is called when the loop is left. */
  constructor(private readonly most: number, private readonly onReturn: () => void = () => {}) {}

  push(item: T): void {
    if (this.#done) return;
    if (this.#waiting) {
      this.#waiting.resolve({ value: item, done: false });
      this.#waiting = undefined;
    } else if (this.#items.length < this.most) {
      this.#items.push(item);
    } else {
      this.end(new QueueOverflow(`${this.most} items wait and nobody takes them`));
    }
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
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve({ value: item, done: false });
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
