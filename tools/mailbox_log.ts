/**
 * One log after the other out of a file: as text, and whether it is what it says it is.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { chainNext } from "../src/store/chain.ts";
import type { LogRow } from "../src/store/sqlite_rows.ts";
import { type Bytes, hex, sameBytes } from "../src/wire/bytes.ts";

interface StoredEntry {
  readonly sequence: number;
  readonly frame: Bytes;
  readonly hash: Bytes;
}

/** Entries that are in memory at once. */
const PAGE = 256;

function* entries(db: DatabaseSync, log: LogRow): Generator<StoredEntry> {
  const page = db.prepare(
    `SELECT sequence, frame, hash FROM entry WHERE log = ? AND sequence > ?
     ORDER BY sequence LIMIT ${PAGE}`,
  );
  let after = -1;
  for (;;) {
    const found = page.all(log.number, after) as unknown as StoredEntry[];
    yield* found;
    if (found.length < PAGE) return;
    after = found.at(-1)!.sequence;
  }
}

/**
 * A log as a capture: comments with what the log is, then a line for each entry: `<`, its frame in
 * hexadecimal, `#`, its number, the chain hash after it.
 */
export function exported(db: DatabaseSync, log: LogRow): string {
  const lines = [
    `# log ${log.id} of ${log.tenant}, ring ${hex(log.ring)}`,
    `# entries ${log.first} to ${log.last}, chain hash before them ${hex(log.before)}`,
  ];
  if (log.closing !== null) lines.push(`# closed by entry ${log.closing}`);
  for (const { sequence, frame, hash } of entries(db, log)) {
    lines.push(`< ${hex(frame)} # ${sequence} ${hex(hash)}`);
  }
  return lines.join("\n") + "\n";
}

/** Everything that is not as it should be, in a line each. */
export function troubles(db: DatabaseSync, logs: readonly LogRow[]): string[] {
  const pages = (db.prepare("PRAGMA integrity_check").all() as { integrity_check: string }[])
    .map((row) => row.integrity_check).filter((text) => text !== "ok");
  const stray = db.prepare(
    "SELECT count(*) AS n FROM entry WHERE log NOT IN (SELECT number FROM log)",
  ).get() as { n: number };
  return [
    ...pages.map((text) => `pages: ${text}`),
    ...(stray.n > 0 ? [`${stray.n} entries belong to no log`] : []),
    ...logs.flatMap((log) => troublesOf(db, log).map((text) => `${log.tenant} ${log.id}: ${text}`)),
  ];
}

function troublesOf(db: DatabaseSync, log: LogRow): string[] {
  const found: string[] = [];
  let hash = log.before;
  let expected = log.first;
  let bytes = 0;
  for (const entry of entries(db, log)) {
    if (entry.sequence !== expected) {
      found.push(`entry ${expected} is missing`);
      expected = entry.sequence;
    }
    hash = chainNext(hash, entry.frame);
    if (!sameBytes(hash, entry.hash)) found.push(`entry ${entry.sequence}: wrong chain hash`);
    // One wrong hash is one fault, and not as many as entries follow.
    hash = entry.hash;
    bytes += entry.frame.length;
    expected++;
  }
  if (expected !== log.last + 1) found.push(`ends at entry ${expected - 1}, not ${log.last}`);
  if (!sameBytes(hash, log.hash)) found.push("its last chain hash is not that of its last entry");
  if (bytes !== log.bytes) found.push(`has ${bytes} bytes, not ${log.bytes}`);
  const closing = log.closing ?? log.last;
  if (log.closing !== null && (closing < log.first || closing > log.last)) {
    found.push(`its closing entry ${closing} is gone`);
  }
  return found;
}

/**
 * Gives every log another ring, and answers how many there are. After a backup was put back: a device that
 * knew no more than the backup would not notice that the others do.
 */
export const beginAnother = (db: DatabaseSync): number =>
  Number(db.prepare("UPDATE log SET ring = randomblob(8)").run().changes);
