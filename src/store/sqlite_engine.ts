/**
 * Logs in SQL: one batch of requests is one transaction. Knows nothing of threads and files.
 *
 * @module
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { type Bytes, concatAll } from "../wire/bytes.ts";
import { chainNext, chainStart } from "./chain.ts";
import { isCorrupt } from "./sqlite_errors.ts";
import { pragmaOf } from "./sqlite_file.ts";
import { type LogRow, LogRows, type Statements, statements } from "./sqlite_rows.ts";
import type { SqliteAnswer, SqliteBatch, SqliteReply, SqliteRequest } from "./sqlite_talk.ts";
import {
  ENTRY_BYTES,
  LOG_BYTES,
  type LogName,
  type LogState,
  reasonOf,
  type StoreLimits,
} from "./store.ts";

/** Entries that one answer may have, beside the bytes that were asked for. */
const MOST_ENTRIES = 16_384;
/** Entries that a sweep lets go of in one transaction, so that appends need not wait for all of them. */
const SLICE = 2_000;
/** Logs that a sweep looks at in one transaction, of each kind. */
const MOST_DUE = 64;
/** Pages that a sweep gives back to the disk at once. */
const VACUUM_PAGES = 2_000;
/** Wishes to truncate a log that are remembered at once. */
const MOST_TRUNCATIONS = 16;

export class SqliteEngine {
  readonly #sql: Statements;
  readonly #rows: LogRows;

  constructor(private readonly db: DatabaseSync, private readonly limits: StoreLimits) {
    this.#sql = statements(db);
    this.#rows = new LogRows(this.#sql, limits.logIdleMs);
  }

  /**
   * Does what a batch asks for, in one transaction. If that fails nothing is written: whoever wanted to
   * is told, and the others are answered all the same. Throws where the file itself is broken.
   */
  run(batch: SqliteBatch): SqliteAnswer {
    try {
      return this.#transaction(batch);
    } catch (error) {
      if (isCorrupt(error)) throw error;
      return this.#transaction(batch, reasonOf(error));
    }
  }

  close(): void {
    this.db.close();
  }

  #transaction({ requests, frames, now }: SqliteBatch, failed?: string): SqliteAnswer {
    let at = 0;
    const read: Uint8Array[] = [];
    this.db.exec("BEGIN");
    try {
      const replies = requests.map((request): SqliteReply => {
        const before = at;
        if (request.kind === "append") { for (const length of request.lengths) at += length; }
        if (failed !== undefined && this.#writes(request)) {
          return { kind: "failed", message: failed };
        }
        return this.#answer(request, frames.subarray(before, at), now, read);
      });
      if (failed === undefined) this.#rows.write();
      this.db.exec("COMMIT");
      this.#rows.settle();
      return { replies, frames: concatAll(read) };
    } catch (error) {
      this.#rows.forget();
      try {
        this.db.exec("ROLLBACK");
      } catch {
        // SQLite has done that itself.
      }
      throw error;
    }
  }

  #writes(request: SqliteRequest): boolean {
    if (request.kind === "open") return request.create && this.#rows.get(request.log) === undefined;
    return ["append", "truncate", "sweep"].includes(request.kind);
  }

  #answer(
    request: SqliteRequest,
    frames: Uint8Array,
    now: number,
    read: Uint8Array[],
  ): SqliteReply {
    if (request.kind === "sweep") return this.#sweep(request.watched, now);
    if (request.kind === "open") return { kind: "state", state: this.#open(request, now) };
    const row = this.#rows.get(request.log);
    if (!row) return { kind: "failed", message: "no such log: it was let go of, or never opened" };
    switch (request.kind) {
      case "append":
        return this.#append(row, frames, request, now);
      case "read":
        return this.#read(row, request.after, request.most, read);
      case "hashAt":
        return { kind: "hash", hash: this.#hashAt(row, request.sequence) };
      case "truncate":
        this.#truncate(row, request.before, now);
        return { kind: "done", more: false };
    }
  }

  #open(
    { log, key, create }: SqliteRequest & { kind: "open" },
    now: number,
  ): LogState | undefined {
    const there = this.#rows.get(log);
    if (there) {
      const fits = key.length === there.key.length && timingSafeEqual(key, there.key);
      if (!fits) return undefined;
      this.#rows.use(there, now);
      return stateOf(there);
    }
    const room = this.limits.tenantLogBytes - this.#rows.costOf(log.tenant);
    if (!create || room < LOG_BYTES) return undefined;
    this.#rows.begun(log.tenant);
    const start = chainStart(log.id);
    this.#sql.createLog.run(
      ...[log.tenant, log.id, key, randomBytes(8), 1, start, 0, start, 0, now],
    );
    return stateOf(this.#rows.get(log)!);
  }

  #append(
    row: LogRow,
    frames: Uint8Array,
    { at, closing, lengths }: SqliteRequest & { kind: "append" },
    now: number,
  ): SqliteReply {
    if (at !== 0 && at !== row.last + 1) return { kind: "moved", last: row.last };
    const { logBytes, tenantLogBytes } = this.limits;
    const kept = row.bytes + ENTRY_BYTES * (row.last - row.first + 1);
    const ends = closing && row.closing === null;
    const roomHere = ends ? Infinity : logBytes - kept;
    let room = Math.min(roomHere, tenantLogBytes - this.#rows.costOf(row.tenant));
    const first = row.last + 1;
    const full: number[] = [];
    let [start, bytes] = [0, 0];
    for (const [i, length] of lengths.entries()) {
      const frame = frames.subarray(start, start += length);
      const cost = length + ENTRY_BYTES;
      if (cost > room) {
        full.push(i);
        continue;
      }
      room -= cost;
      bytes += length;
      row.hash = chainNext(row.hash, frame);
      this.#sql.insertEntry.run(row.number, ++row.last, frame, row.hash);
    }
    const count = lengths.length - full.length;
    if (count > 0) {
      row.used = now;
      this.#rows.weigh(row, count, bytes);
    }
    if (count > 0 && closing && row.closing === null) {
      row.closing = row.last;
      row.closed_at = now;
    }
    return { kind: "appended", first, full };
  }

  #read(row: LogRow, after: number, most: number, read: Uint8Array[]): SqliteReply {
    const sizes = this.#sql.sizes.all(row.number, after, MOST_ENTRIES) as unknown as {
      sequence: number;
      size: number;
    }[];
    let bytes = 0;
    const count = sizes.findIndex(({ size }, i) => (bytes += size) > most && i > 0);
    const taken = count < 0 ? sizes : sizes.slice(0, count);
    const last = taken.at(-1)?.sequence ?? after;
    for (const { frame } of this.#sql.frames.all(row.number, after, last)) {
      read.push(frame as Uint8Array);
    }
    return {
      kind: "entries",
      sequences: taken.map(({ sequence }) => sequence),
      lengths: taken.map(({ size }) => size),
    };
  }

  #hashAt(row: LogRow, sequence: number): Bytes | undefined {
    if (sequence === row.last) return row.hash;
    if (sequence === row.first - 1) return row.before;
    const found = this.#sql.hash.get(row.number, sequence) as { hash: Bytes } | undefined;
    return found?.hash;
  }

  #truncate(row: LogRow, wanted: number, now: number): void {
    const before = Math.min(wanted, row.closing ?? Infinity, row.last + 1);
    if (before <= row.first) return;
    const pending = this.#sql.truncations.all(row.number) as unknown as { before: number }[];
    const newest = pending.at(-1)?.before ?? 0;
    if (before <= newest) return;
    // However many wishes come, a few are remembered: the newest waits longer for it, the others do not.
    if (pending.length >= MOST_TRUNCATIONS) this.#sql.dropTruncation.run(row.number, newest);
    this.#sql.createTruncation.run(row.number, before, now);
  }

  #sweep(watched: readonly LogName[], now: number): SqliteReply {
    const { logGraceMs, logClosedMs, logIdleMs } = this.limits;
    for (const log of watched) {
      const row = this.#rows.get(log);
      if (row) this.#rows.use(row, now);
    }
    this.#rows.write();
    let left = SLICE;
    const cut = this.#sql.dueTruncations.all(now - logGraceMs, MOST_DUE) as unknown as {
      log: number;
      before: number;
    }[];
    for (const { log, before } of cut) {
      const row = this.#rows.numbered(log);
      left -= row ? this.#dropBelow(row, before, left) : 0;
      if (!row || row.first >= before) this.#sql.dropTruncations.run(log, before);
    }
    const closed = this.#found(this.#sql.dueClosed.all(now - logClosedMs, MOST_DUE));
    for (const row of closed) {
      left -= this.#dropBelow(row, row.closing!, left);
    }
    const idle = this.#found(this.#sql.dueIdle.all(now - logIdleMs, MOST_DUE));
    for (const row of idle) {
      left -= this.#dropBelow(row, row.last + 1, left);
      if (row.first > row.last) this.#rows.drop(row);
    }
    const due = Math.max(cut.length, closed.length, idle.length) === MOST_DUE;
    return { kind: "done", more: left <= 0 || due };
  }

  /** Gives pages that are free back to the disk. Answers whether there is more to give. */
  vacuum(): boolean {
    const free = () => Number(pragmaOf(this.db, "freelist_count"));
    const before = free();
    pragmaOf(this.db, `incremental_vacuum(${VACUUM_PAGES})`);
    const after = free();
    return after > 0 && after < before;
  }

  /** Lets go of entries below a number, `most` at the most. Answers of how many. */
  #dropBelow(row: LogRow, before: number, most: number): number {
    const to = Math.min(before, row.last + 1, row.first + most);
    if (to <= row.first) return 0;
    const count = to - row.first;
    const hash = this.#hashAt(row, to - 1)!;
    const { bytes } = this.#sql.weight.get(row.number, row.first, to - 1) as { bytes: number };
    this.#sql.dropEntries.run(row.number, row.first, to - 1);
    this.#rows.weigh(row, -count, -bytes);
    row.first = to;
    row.before = hash;
    return count;
  }

  #found(found: unknown[]): LogRow[] {
    return (found as { number: number }[]).flatMap(({ number }) =>
      this.#rows.numbered(number) ?? []
    );
  }
}

const stateOf = (row: LogRow): LogState => ({
  ring: row.ring,
  first: BigInt(row.first),
  last: BigInt(row.last),
  before: row.before,
  bytes: row.bytes,
  closed: row.closing !== null,
});
