/**
 * Logs in a SQLite file, kept by a worker: this thread hands over what came in a turn, and the worker
 * makes one transaction of it. While that runs, what comes is gathered for the next one.
 *
 * The worker is the web's, not that of `node:worker_threads`: Deno looks at each byte of what the latter
 * is sent, which takes a second for 6 MiB.
 *
 * @module
 */
import { host } from "../host.ts";
import { log as relayLog } from "../log.ts";
import { type Bytes, concatAll } from "../wire/bytes.ts";
import { StoreError } from "./sqlite_file.ts";
import type { SqliteMessage, SqliteReply, SqliteRequest, SqliteSetup } from "./sqlite_talk.ts";
import {
  type Append,
  type Appended,
  Durability,
  type Entry,
  type LogName,
  type LogState,
  type LogStore,
} from "./store.ts";
import { News, Watchers } from "./watchers.ts";

/** Frames that may wait for the disk. Beyond that it is too slow for what comes, and appends fail. */
const MOST_WAITING_BYTES = 67_108_864;
/** What one transaction takes. */
const BATCH_BYTES = 4_194_304;
const BATCH_REQUESTS = 4_096;

/** Bundled into one file (`bun build --compile`) everything is named from the root of the project. */
const WORKER = new URL(
  import.meta.url.endsWith("/sqlite.ts") ? "./sqlite_worker.ts" : "./src/store/sqlite_worker.ts",
  import.meta.url,
);

export interface SqliteOptions extends SqliteSetup {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Pending {
  readonly request: SqliteRequest;
  readonly frame?: Bytes;
  readonly envelope?: Bytes;
  done(reply: SqliteReply, frames: Bytes): void;
  failed(error: Error): void;
}

const LOG_ID = /^[0-9a-f]{32}$/;
const NO_BYTES: Bytes = new Uint8Array();

/** Opens a file of logs, or makes it. Throws {@linkcode StoreError}. */
export async function openSqlite(options: SqliteOptions): Promise<LogStore> {
  const { now = Date.now, ...setup } = options;
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
    return new SqliteStore(worker, now);
  } catch (error) {
    worker.terminate();
    if (error instanceof StoreError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new StoreError("failed", `${setup.path} cannot be opened: ${message}`);
  }
}

/** What a worker died of. Not handled, it would end this process on one of the runtimes. */
function errorOf(event: ErrorEvent): Error {
  event.preventDefault();
  return new Error(`the store's worker has failed: ${event.message}`);
}

class SqliteStore implements LogStore {
  readonly durability = Durability.disk;
  #waiting: Pending[] = [];
  #waitingBytes = 0;
  /** What the worker has. */
  #running: Pending[] = [];
  #scheduled = false;
  readonly #watchers = new Watchers();
  /** Why nothing goes any more. */
  #over: Error | undefined;
  #closed: Promise<void> | undefined;
  #idle = () => {};

  constructor(private readonly worker: Worker, private readonly now: () => number) {
    worker.onmessage = ({ data }) => this.#hear(data);
    worker.onerror = (event) => this.#end(errorOf(event));
  }

  open(log: LogName, key: Bytes, create: boolean): Promise<LogState | undefined> {
    if (!LOG_ID.test(log.id)) return Promise.reject(new RangeError("a log id has 32 digits"));
    // A part of something longer would take all of that along.
    const request = { kind: "open", log: nameOf(log), key: key.slice(), create } as const;
    return this.#ask(request, (reply) => as(reply, "state").state);
  }

  append(log: LogName, { frame, at, closing, envelope }: Append): Promise<Appended> {
    const { length } = frame;
    const request = { kind: "append", log: nameOf(log), length, at: cut(at), closing } as const;
    return this.#ask(request, (reply) => {
      if (reply.kind === "moved") return { kind: "moved", last: BigInt(reply.last) };
      if (reply.kind === "full") return { kind: "full" };
      return { kind: "appended", sequence: BigInt(as(reply, "appended").sequence) };
    }, { frame, ...(envelope && { envelope }) });
  }

  read(log: LogName, after: bigint, most: number): Promise<Entry[]> {
    const request = { kind: "read", log: nameOf(log), after: cut(after), most } as const;
    return this.#ask(request, (reply, frames) => {
      const { sequences, lengths } = as(reply, "entries");
      let at = 0;
      return sequences.map((sequence, i) => ({
        sequence: BigInt(sequence),
        frame: frames.subarray(at, at += lengths[i]!),
      }));
    });
  }

  hashAt(log: LogName, sequence: bigint): Promise<Bytes | undefined> {
    const request = { kind: "hashAt", log: nameOf(log), sequence: cut(sequence) } as const;
    return this.#ask(request, (reply) => as(reply, "hash").hash);
  }

  truncate(log: LogName, before: bigint): Promise<void> {
    const request = { kind: "truncate", log: nameOf(log), before: cut(before) } as const;
    return this.#ask(request, () => {});
  }

  watch(log: LogName, heard: (entries: readonly Entry[]) => void): () => void {
    return this.#watchers.add(log, heard);
  }

  async sweep(): Promise<void> {
    const swept = () =>
      this.#ask(
        { kind: "sweep", watched: this.#watchers.logs },
        (reply) => as(reply, "done").more,
      );
    while (await swept());
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const closed = new Error("the store is closed");
    this.#over ??= closed;
    const until = (begin: () => void) =>
      new Promise<void>((resolve) => {
        this.#idle = resolve;
        begin();
      });
    // What was asked for before is done.
    if (this.#running.length + this.#waiting.length > 0) await until(() => {});
    if (this.#over === closed) await until(() => this.worker.postMessage("close"));
    this.worker.terminate();
  }

  #ask<T>(
    request: SqliteRequest,
    read: (reply: SqliteReply, frames: Bytes) => T,
    append?: Pick<Append, "frame" | "envelope">,
  ): Promise<T> {
    if (this.#over) return Promise.reject(this.#over);
    const bytes = append?.frame.length ?? 0;
    if (this.#waitingBytes + bytes > MOST_WAITING_BYTES) {
      return Promise.reject(new Error("the disk is too slow for what comes"));
    }
    this.#waitingBytes += bytes;
    return new Promise((resolve, failed) => {
      const done = (reply: SqliteReply, frames: Bytes) => {
        if (reply.kind === "failed") return failed(new Error(`the store: ${reply.message}`));
        try {
          resolve(read(reply, frames));
        } catch (error) {
          failed(error as Error);
        }
      };
      this.#waiting.push({ request, done, failed, ...append });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#running.length > 0) return;
    this.#scheduled = true;
    host.afterTurn(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  /** Hands over what waits, as much as one transaction takes. */
  #send(): void {
    let [count, bytes] = [0, 0];
    while (count < this.#waiting.length && count < BATCH_REQUESTS && bytes < BATCH_BYTES) {
      bytes += this.#waiting[count++]!.frame?.length ?? 0;
    }
    if (count === 0) return;
    this.#running = this.#waiting.splice(0, count);
    this.#waitingBytes -= bytes;
    const frames = concatAll(this.#running.flatMap(({ frame }) => frame ?? []));
    const requests = this.#running.map(({ request }) => request);
    this.worker.postMessage({ requests, frames, now: this.now() }, [frames.buffer]);
  }

  #hear(message: SqliteMessage): void {
    if (message.kind === "closed") return this.#idle();
    if (message.kind !== "answer") return;
    const { replies, frames, notice } = message;
    if (notice) relayLog.error("{notice}", { notice });
    const run = this.#running;
    this.#running = [];
    this.#tell(run, replies);
    let at = 0;
    run.forEach(({ done }, i) => {
      const reply = replies[i]!;
      const length = reply.kind === "entries" ? sum(reply.lengths) : 0;
      done(reply, length ? frames.subarray(at, at += length) : NO_BYTES);
    });
    if (this.#waiting.length > 0) this.#send();
    else if (this.#over) this.#idle();
  }

  /** What was appended, to those who watch: before anybody hears that it was. */
  #tell(run: readonly Pending[], replies: readonly SqliteReply[]): void {
    const news = new News(this.#watchers);
    run.forEach(({ request, frame, envelope }, i) => {
      const reply = replies[i]!;
      if (reply.kind !== "appended" || request.kind !== "append") return;
      const entry = { sequence: BigInt(reply.sequence), frame: frame! };
      news.add(request.log, envelope ? { ...entry, envelope } : entry);
    });
    news.tell();
  }

  /** The worker is gone, and with it everything that it was to do. */
  #end(error: Error): void {
    if (!this.#closed) relayLog.error("the store has failed: {error}", { error });
    this.#over = error;
    const left = [...this.#running, ...this.#waiting];
    this.#running = [];
    this.#waiting = [];
    for (const { failed } of left) failed(error);
    this.#idle();
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const nameOf = ({ tenant, id }: LogName): LogName => ({ tenant, id });

/** No log gets so far: beyond it every number is the same. */
const FAR = BigInt(Number.MAX_SAFE_INTEGER);
const cut = (sequence: bigint): number => Number(sequence > FAR ? FAR : sequence);

function as<Kind extends SqliteReply["kind"]>(
  reply: SqliteReply,
  kind: Kind,
): SqliteReply & { kind: Kind } {
  if (reply.kind !== kind) throw new Error(`the store answered ${reply.kind}, not ${kind}`);
  return reply as SqliteReply & { kind: Kind };
}
