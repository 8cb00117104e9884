/**
 * Appends to one log that go to the worker as one request.
 *
 * @module
 */
import type { Bytes } from "../wire/bytes.ts";
import type { SqliteReply, SqliteRequest } from "./sqlite_talk.ts";
import type { Append, Appended, Entry, LogName } from "./store.ts";

/** What one request takes; what comes then is another one. */
const MOST_ENTRIES = 1_024;
const MOST_BYTES = 1_048_576;

interface One {
  readonly append: Append;
  resolve(appended: Appended): void;
  reject(error: Error): void;
}

const FULL: Appended = { kind: "full" };

export class SqliteAppends {
  readonly request: SqliteRequest & { readonly kind: "append" };
  readonly #lengths: number[] = [];
  readonly #all: One[] = [];
  bytes = 0;

  /** `at`: the number that the only entry must get, or 0. */
  constructor(readonly log: LogName, at: number, closing: boolean) {
    const { tenant, id } = log;
    const lengths = this.#lengths;
    this.request = { kind: "append", log: { tenant, id }, lengths, at, closing };
  }

  /** Whether this may be one of them. */
  takes(log: LogName, { at, closing }: Append): boolean {
    const { request } = this;
    if (at !== 0n || closing || request.at !== 0 || request.closing) return false;
    const full = this.#all.length >= MOST_ENTRIES || this.bytes >= MOST_BYTES;
    return !full && log.id === this.log.id && log.tenant === this.log.tenant;
  }

  add(append: Append): Promise<Appended> {
    this.#lengths.push(append.frame.length);
    this.bytes += append.frame.length;
    return new Promise((resolve, reject) => this.#all.push({ append, resolve, reject }));
  }

  get length(): number {
    return this.#all.length;
  }

  get frames(): Bytes[] {
    return this.#all.map(({ append }) => append.frame);
  }

  /** What was appended, for those who watch. */
  entries(reply: SqliteReply): Entry[] {
    const entries: Entry[] = [];
    this.#each(reply, ({ append: { frame, envelope } }, sequence) => {
      if (sequence === undefined) return;
      entries.push(envelope ? { sequence, frame, envelope } : { sequence, frame });
    });
    return entries;
  }

  done(reply: SqliteReply): void {
    if (reply.kind === "moved") {
      const moved: Appended = { kind: "moved", last: BigInt(reply.last) };
      for (const { resolve } of this.#all) resolve(moved);
    } else if (reply.kind === "appended") {
      this.#each(reply, ({ resolve }, sequence) => {
        resolve(sequence === undefined ? FULL : { kind: "appended", sequence });
      });
    } else {
      const why = reply.kind === "failed" ? reply.message : `the answer is ${reply.kind}`;
      this.failed(new Error(why));
    }
  }

  failed(error: Error): void {
    for (const { reject } of this.#all) reject(error);
  }

  /** Each with its number; with none where there was no room for it. */
  #each(reply: SqliteReply, run: (one: One, sequence: bigint | undefined) => void): void {
    if (reply.kind !== "appended") return;
    const full = reply.full.length > 0 ? new Set(reply.full) : undefined;
    let next = reply.first;
    for (const [i, one] of this.#all.entries()) {
      run(one, full?.has(i) ? undefined : BigInt(next++));
    }
  }
}
