/**
 * The worker of the SQLite engine, from this side: it begins, ends, and has a successor where it dies or
 * has no file any more, which is tried again and again.
 *
 * The worker is the web's, not that of `node:worker_threads`: Deno looks at each byte of what the latter
 * is sent, which takes a second for 6 MiB.
 *
 * @module
 */
import { host } from "../host.ts";
import { log as relayLog } from "../log.ts";
import { StoreError } from "./sqlite_errors.ts";
import type { SqliteAnswer, SqliteBatch, SqliteMessage, SqliteSetup } from "./sqlite_talk.ts";
import { reasonOf } from "./store.ts";

/** Bundled into one file (`bun build --compile`) everything is named from the root of the project. */
const WORKER = new URL(
  import.meta.url.endsWith("/sqlite_thread.ts")
    ? "./sqlite_worker.ts"
    : "./src/store/sqlite_worker.ts",
  import.meta.url,
);

/** Longest time until a store that has failed is tried again, in milliseconds. */
const MOST_AGAIN_MS = 60_000;

/** A worker that has the file. Throws {@linkcode StoreError}. */
export async function begun(setup: SqliteSetup): Promise<Worker> {
  const worker = new Worker(WORKER, { type: "module" });
  try {
    const first = await new Promise<SqliteMessage>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(errorOf(event));
      worker.postMessage(setup);
    });
    if (first.kind === "refused") throw new StoreError(first.why, first.message);
    if (first.kind === "ready" && first.notice) {
      relayLog.error("{notice}", { notice: first.notice });
    }
    return worker;
  } catch (error) {
    worker.terminate();
    if (error instanceof StoreError) throw error;
    throw new StoreError("failed", `${setup.path} cannot be opened: ${reasonOf(error)}`);
  }
}

/** What a worker died of. Not handled, it would end this process on one of the runtimes. */
function errorOf(event: ErrorEvent): Error {
  event.preventDefault();
  return new Error(`the store's worker has failed: ${event.message}`);
}

export interface SqliteThreadEvents {
  answered(answer: SqliteAnswer): void;
  /** Whatever it was to do is not done. */
  failed(error: Error): void;
  /** It has a successor. What it did at the end was told to nobody. */
  back(): void;
}

export class SqliteThread {
  #worker: Worker | undefined;
  #down: Error | undefined;
  #pauseMs: number;
  /** Calls off the next try, or waits for the one that runs. */
  #stopTrying = (): Promise<void> | void => {};
  #closing = false;
  #closed = () => {};

  /** `againMs`: until another one is tried, at first. */
  constructor(
    worker: Worker,
    private readonly setup: SqliteSetup,
    private readonly againMs: number,
    private readonly events: SqliteThreadEvents,
  ) {
    this.#pauseMs = againMs;
    this.#employ(worker);
  }

  /** Why nothing goes until there is another worker. */
  get down(): Error | undefined {
    return this.#down;
  }

  /** Hands a batch over, with its frames. Only while it is not {@linkcode down}. */
  send(batch: SqliteBatch): void {
    this.#worker!.postMessage(batch, [batch.frames.buffer]);
  }

  /** The worker is of no use any more, and neither is what it was to do. Another one is tried. */
  fail(error: Error): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#down = error;
    this.events.failed(error);
    if (this.#closing) return this.#closed();
    relayLog.error(
      "the store of logs {path} has failed and keeps nothing until it can be opened again, which is " +
        "tried again and again: {reason}",
      { path: this.setup.path, reason: error.message },
    );
    this.#later();
  }

  /** When there is nothing to do any more. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#stopTrying();
    if (!this.#worker) return;
    await new Promise<void>((resolve) => {
      this.#closed = resolve;
      this.#worker!.postMessage("close");
    });
    this.#worker?.terminate();
  }

  #employ(worker: Worker): void {
    this.#worker = worker;
    worker.onmessage = ({ data }: { data: SqliteMessage }) => {
      if (data.kind === "closed") this.#closed();
      if (data.kind !== "answer") return;
      if (data.over === undefined) this.#pauseMs = this.againMs;
      this.events.answered(data);
    };
    worker.onerror = (event) => this.fail(errorOf(event));
  }

  #later(): void {
    const stop = host.after(this.#pauseMs, () => {
      const trying = this.#again();
      this.#stopTrying = () => trying;
    });
    this.#stopTrying = stop;
    this.#pauseMs = Math.min(2 * this.#pauseMs, MOST_AGAIN_MS);
  }

  async #again(): Promise<void> {
    try {
      this.#employ(await begun({ ...this.setup, ours: true }));
    } catch (error) {
      this.#down = error as Error;
      if (!this.#closing) this.#later();
      return;
    }
    this.#down = undefined;
    this.#stopTrying = () => {};
    if (this.#closing) return;
    relayLog.warn("the store of logs {path} is open again", { path: this.setup.path });
    this.events.back();
  }
}
