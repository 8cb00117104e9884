/**
 * The statements of the SQLite engine, and its table of logs: rows that are in use stay here, and are
 * written once in a transaction, however much came for them.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { Bytes } from "../wire/bytes.ts";
import { ENTRY_BYTES, LOG_BYTES, type LogName } from "./store.ts";

/** A log, as `sqlite_file.ts` describes its columns. */
export interface LogRow extends LogName {
  readonly number: number;
  readonly key: Bytes;
  readonly ring: Bytes;
  first: number;
  before: Bytes;
  last: number;
  hash: Bytes;
  bytes: number;
  used: number;
  closing: number | null;
  closed_at: number | null;
}

/** Everything that is asked of the file, prepared once. */
export const statements = (db: DatabaseSync) => ({
  log: db.prepare("SELECT * FROM log WHERE tenant = ? AND id = ?"),
  logOf: db.prepare("SELECT tenant, id FROM log WHERE number = ?"),
  createLog: db.prepare(
    `INSERT INTO log (tenant, id, key, ring, first, before, last, hash, bytes, used)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ),
  updateLog: db.prepare(
    `UPDATE log SET first = ?, before = ?, last = ?, hash = ?, bytes = ?, used = ?,
     closing = ?, closed_at = ? WHERE number = ?`,
  ),
  dropLog: db.prepare("DELETE FROM log WHERE number = ?"),
  tenantCost: db.prepare(
    `SELECT count(*) AS logs, total(bytes) AS bytes, total(last - first + 1) AS entries
     FROM log WHERE tenant = ?`,
  ),
  insertEntry: db.prepare("INSERT INTO entry (log, sequence, frame, hash) VALUES (?, ?, ?, ?)"),
  sizes: db.prepare(
    `SELECT sequence, length(frame) AS size FROM entry WHERE log = ? AND sequence > ?
     ORDER BY sequence LIMIT ?`,
  ),
  frames: db.prepare(
    `SELECT frame FROM entry WHERE log = ? AND sequence > ? AND sequence <= ? ORDER BY sequence`,
  ),
  hash: db.prepare("SELECT hash FROM entry WHERE log = ? AND sequence = ?"),
  weight: db.prepare(
    `SELECT coalesce(sum(length(frame)), 0) AS bytes FROM entry
     WHERE log = ? AND sequence BETWEEN ? AND ?`,
  ),
  dropEntries: db.prepare("DELETE FROM entry WHERE log = ? AND sequence BETWEEN ? AND ?"),
  truncations: db.prepare("SELECT before FROM truncation WHERE log = ? ORDER BY before"),
  createTruncation: db.prepare("INSERT INTO truncation (log, before, at) VALUES (?, ?, ?)"),
  dropTruncation: db.prepare("DELETE FROM truncation WHERE log = ? AND before = ?"),
  dropTruncations: db.prepare("DELETE FROM truncation WHERE log = ? AND before <= ?"),
  dueTruncations: db.prepare(
    `SELECT log, max(before) AS before FROM truncation WHERE at <= ? GROUP BY log LIMIT ?`,
  ),
  dueClosed: db.prepare(
    "SELECT number FROM log WHERE first < closing AND closed_at <= ? LIMIT ?",
  ),
  dueIdle: db.prepare("SELECT number FROM log WHERE closing IS NULL AND used <= ? LIMIT ?"),
});

export type Statements = ReturnType<typeof statements>;

/** Logs that are remembered between transactions. */
const MOST_ROWS = 10_000;
/** Time since its last use that is not worth a write, as a part of the time after which a log goes. */
const USED_PART = 64;

const keyOf = ({ tenant, id }: LogName): string => `${id} ${tenant}`;

export class LogRows {
  #rows = new Map<string, LogRow>();
  #changed = new Set<LogRow>();
  /** What each tenant's logs cost. */
  #tenants = new Map<string, number>();

  constructor(private readonly sql: Statements, private readonly idleMs: number) {}

  get(log: LogName): LogRow | undefined {
    const key = keyOf(log);
    const known = this.#rows.get(key);
    if (known) return known;
    const row = this.sql.log.get(log.tenant, log.id) as unknown as LogRow | undefined;
    if (row) this.#rows.set(key, row);
    return row;
  }

  numbered(number: number): LogRow | undefined {
    const name = this.sql.logOf.get(number) as unknown as LogName | undefined;
    return name && this.get(name);
  }

  /** Somebody has it open. */
  use(row: LogRow, now: number): void {
    if (now - row.used < this.idleMs / USED_PART) return;
    row.used = now;
    this.#changed.add(row);
  }

  /** Another log of this tenant; it is read from the file when somebody asks for it. */
  begun(tenant: string): void {
    this.#tenants.set(tenant, this.costOf(tenant) + LOG_BYTES);
  }

  /** Entries were added or, with numbers below zero, let go of. */
  weigh(row: LogRow, entries: number, bytes: number): void {
    this.#tenants.set(row.tenant, this.costOf(row.tenant) + ENTRY_BYTES * entries + bytes);
    row.bytes += bytes;
    this.#changed.add(row);
  }

  /** What the logs of a tenant cost. */
  costOf(tenant: string): number {
    const known = this.#tenants.get(tenant);
    if (known !== undefined) return known;
    const { logs, bytes, entries } = this.sql.tenantCost.get(tenant) as Record<string, number>;
    const cost = LOG_BYTES * logs! + bytes! + ENTRY_BYTES * entries!;
    this.#tenants.set(tenant, cost);
    return cost;
  }

  /** The log is gone, and its entries went before it. */
  drop(row: LogRow): void {
    this.#tenants.set(row.tenant, this.costOf(row.tenant) - LOG_BYTES);
    this.sql.dropTruncations.run(row.number, row.last + 1);
    this.sql.dropLog.run(row.number);
    this.#rows.delete(keyOf(row));
    this.#changed.delete(row);
  }

  /** Writes what has changed. */
  write(): void {
    for (const row of this.#changed) {
      const { first, before, last, hash, bytes, used, closing, closed_at } = row;
      this.sql.updateLog.run(
        ...[first, before, last, hash, bytes, used, closing, closed_at, row.number],
      );
    }
    this.#changed.clear();
  }

  /** The transaction is over, and what is here is so. */
  settle(): void {
    this.#changed.clear();
    if (this.#rows.size > MOST_ROWS) this.#rows.clear();
    if (this.#tenants.size > MOST_ROWS) this.#tenants.clear();
  }

  /** The transaction has failed, and what is here is not so. */
  forget(): void {
    this.#rows.clear();
    this.#tenants.clear();
    this.#changed.clear();
  }
}
