/**
 * Logs in a SQLite file, kept by a worker: this thread hands over what came in a turn, and the worker
 * makes one transaction of it. While that runs, what comes is gathered for the next one.
 *
 * @module
 */
import { resolve as absolute } from "node:path";
import { host } from "../host.ts";
import { log as relayLog } from "../log.ts";
import { type Bytes, concatAll } from "../wire/bytes.ts";
import { SqliteAppends } from "./sqlite_appends.ts";
import type { SqliteAnswer, SqliteReply, SqliteRequest, SqliteSetup } from "./sqlite_talk.ts";
import { begun, SqliteThread } from "./sqlite_thread.ts";
import {
  type Append,
  type Appended,
  Durability,
  type Entry,
  type LogName,
  type LogState,
  type LogStore,
} from "./store.ts";
import { Watchers } from "./watchers.ts";

/** Frames that may wait for the disk. Beyond that it is too slow for what comes, and appends fail. */
const MOST_WAITING_BYTES = 67_108_864;
/** What one transaction takes. */
const BATCH_BYTES = 4_194_304;
const BATCH_STEPS = 4_096;

export interface SqliteOptions extends SqliteSetup {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds until a store that has failed is tried again, at first. */
  readonly againMs?: number;
}

/** Something that was asked for, and is not answered yet. */
interface Question {
  readonly request: SqliteRequest;
  done(reply: SqliteReply, frames: Bytes): void;
  failed(error: Error): void;
}

type Pending = Question | SqliteAppends;

const LOG_ID = /^[0-9a-f]{32}$/;
const NO_BYTES: Bytes = new Uint8Array();

/** Milliseconds until a store that has failed is tried again, at first. */
const AGAIN_MS = 1_000;

/** Opens a file of logs, or makes it. Throws {@linkcode StoreError}. */
export async function openSqlite(options: SqliteOptions): Promise<LogStore> {
  const { now = Date.now, againMs = AGAIN_MS, ...rest } = options;
  const setup = { ...rest, path: absolute(rest.path) };
  return new SqliteStore(await begun(setup), setup, now, againMs);
}

class SqliteStore implements LogStore {
  readonly durability = Durability.disk;
  #waiting: Pending[] = [];
  #waitingBytes = 0;
  /** What the worker has. */
  #running: Pending[] = [];
  #scheduled = false;
  readonly #watchers = new Watchers();
  readonly #thread: SqliteThread;
  /** The file has lost its name. */
  #gone = false;
  /** Why nothing goes any more. */
  #over: Error | undefined;
  #closed: Promise<void> | undefined;
  #idle = () => {};

  constructor(
    worker: Worker,
    private readonly setup: SqliteSetup,
    private readonly now: () => number,
    againMs: number,
  ) {
    this.#thread = new SqliteThread(worker, setup, againMs, {
      answered: (answer) => this.#hear(answer),
      failed: (error) => this.#fail(error),
      back: () => this.#watchers.lose(),
    });
  }

  get trouble(): string | undefined {
    // Anybody may read this: where the file is on this machine is for its log.
    const { down } = this.#thread;
    if (down) return down.message.replaceAll(this.setup.path, "the file of logs");
    return this.#gone ? "the file of logs was deleted: restart the relay" : undefined;
  }

  open(log: LogName, key: Bytes, create: boolean): Promise<LogState | undefined> {
    if (!LOG_ID.test(log.id)) return Promise.reject(new RangeError("a log id has 32 digits"));
    // A part of something longer would take all of that along.
    const request = { kind: "open", log: nameOf(log), key: key.slice(), create } as const;
    return this.#ask(request, (reply) => as(reply, "state").state);
  }

  append(log: LogName, append: Append): Promise<Appended> {
    const refused = this.#refused(append.frame.length);
    if (refused) return Promise.reject(refused);
    this.#waitingBytes += append.frame.length;
    this.#schedule();
    const newest = this.#waiting.at(-1);
    if (newest instanceof SqliteAppends && newest.takes(log, append)) return newest.add(append);
    const appends = new SqliteAppends(log, cut(append.at), append.closing);
    this.#waiting.push(appends);
    return appends.add(append);
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

  watch(log: LogName, heard: (entries: readonly Entry[]) => void, lost?: () => void): () => void {
    return this.#watchers.add(log, heard, lost);
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
    this.#over = new Error("the store is closed");
    // What was asked for before is done.
    if (this.#running.length + this.#waiting.length > 0) {
      await new Promise<void>((resolve) => this.#idle = resolve);
    }
    await this.#thread.close();
  }

  /** Why no more can be asked for. */
  #refused(bytes: number): Error | undefined {
    const none = this.#over ?? this.#thread.down;
    if (none) return none;
    if (this.#waitingBytes + bytes <= MOST_WAITING_BYTES) return undefined;
    return new Error("the disk is too slow for what comes");
  }

  #ask<T>(
    request: SqliteRequest,
    read: (reply: SqliteReply, frames: Bytes) => T,
  ): Promise<T> {
    const refused = this.#refused(0);
    if (refused) return Promise.reject(refused);
    return new Promise((resolve, failed) => {
      const done = (reply: SqliteReply, frames: Bytes) => {
        if (reply.kind === "failed") return failed(new Error(reply.message));
        try {
          resolve(read(reply, frames));
        } catch (error) {
          failed(error as Error);
        }
      };
      this.#waiting.push({ request, done, failed });
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
    let [count, steps, bytes] = [0, 0, 0];
    const frames: Bytes[] = [];
    while (count < this.#waiting.length && steps < BATCH_STEPS && bytes < BATCH_BYTES) {
      const next = this.#waiting[count++]!;
      steps++;
      if (!(next instanceof SqliteAppends)) continue;
      steps += next.length;
      bytes += next.bytes;
      for (const frame of next.frames) frames.push(frame);
    }
    if (count === 0) return;
    this.#running = this.#waiting.splice(0, count);
    this.#waitingBytes -= bytes;
    const requests = this.#running.map(({ request }) => request);
    this.#thread.send({ requests, frames: concatAll(frames), now: this.now() });
  }

  #hear({ replies, frames, notice, anew, over, gone }: SqliteAnswer): void {
    if (notice) relayLog.error("{notice}", { notice });
    if (gone !== undefined) this.#named(!gone);
    const run = this.#running;
    this.#running = [];
    // Before anybody asks for anything else of what is not there.
    if (over !== undefined) this.#thread.fail(new Error(`the file of logs is broken: ${over}`));
    if (anew) this.#watchers.lose();
    // First, so that the worker does the next while this thread tells of these.
    this.#send();
    // To those who watch, before anybody hears that it was appended.
    run.forEach((one, i) => {
      if (!(one instanceof SqliteAppends)) return;
      const entries = one.entries(replies[i]!);
      if (entries.length > 0) this.#watchers.tell(one.log, entries);
    });
    let at = 0;
    run.forEach((one, i) => {
      const reply = replies[i]!;
      const length = reply.kind === "entries" ? sum(reply.lengths) : 0;
      one.done(reply, length ? frames.subarray(at, at += length) : NO_BYTES);
    });
    if (this.#over && this.#running.length === 0) this.#idle();
  }

  /** The file has its name, or has lost it: said once. */
  #named(named: boolean): void {
    if (!named && !this.#gone) {
      relayLog.error(
        "the file of logs {path} was deleted, or another is in its place: what is kept ends with this " +
          "process. Restart the relay",
        { path: this.setup.path },
      );
    }
    this.#gone = !named;
  }

  /** Of what was asked for nothing is done. */
  #fail(error: Error): void {
    const left = [...this.#running, ...this.#waiting];
    this.#running = [];
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const one of left) one.failed(error);
    if (this.#over) this.#idle();
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
