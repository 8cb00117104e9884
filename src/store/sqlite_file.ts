/**
 * The file of logs: how it is opened, whose it is, and what is in it. What it holds of a person's data
 * is ids, hashes of keys, and frames that nobody here can read.
 *
 * @module
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { inWords, isBusy, isCorrupt, StoreError } from "./sqlite_errors.ts";

/** `BX2L`: tells our files from other programs'. */
const APPLICATION = 0x4258324c;

/** Of `auto_vacuum`: pages that are free go back to the disk when they are told to. */
const INCREMENTAL = 2;

/** How long another process may take to let go of the file. */
const PATIENCE_MS = 1_000;

/**
 * What brings a file from each version to the next one; the first makes it. `user_version` counts them.
 * Steps are added at the end and never changed.
 *
 * - `log`: `id` in hexadecimal, `key` SHA-256 of what the owners show, `hash` after `last`, `before` before
 *   `first`; `used` and `closed_at` in milliseconds since 1970; `closing`: its first closing entry.
 * - `entry`: `hash` is the chain's after it.
 * - `truncation`: entries below `before` may go since `at`, plus the grace time.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE log (
     number INTEGER PRIMARY KEY,
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     key BLOB NOT NULL,
     ring BLOB NOT NULL,
     first INTEGER NOT NULL,
     before BLOB NOT NULL,
     last INTEGER NOT NULL,
     hash BLOB NOT NULL,
     bytes INTEGER NOT NULL,
     used INTEGER NOT NULL,
     closing INTEGER,
     closed_at INTEGER,
     UNIQUE (tenant, id)
   ) STRICT;
   CREATE INDEX idle ON log (used) WHERE closing IS NULL;
   CREATE INDEX closed ON log (closed_at) WHERE first < closing;
   CREATE TABLE entry (
     log INTEGER NOT NULL,
     sequence INTEGER NOT NULL,
     frame BLOB NOT NULL,
     hash BLOB NOT NULL,
     PRIMARY KEY (log, sequence)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE truncation (
     log INTEGER NOT NULL,
     before INTEGER NOT NULL,
     at INTEGER NOT NULL,
     PRIMARY KEY (log, before)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX due ON truncation (at);`,
];

/**
 * Opens a file of logs for this process alone, makes it where there is none, and brings it to the newest
 * version. The lock ends with the process, however that ends. Throws {@linkcode StoreError}, and what
 * SQLite throws of a file that is broken ({@linkcode isCorrupt}).
 */
export function openFile(named: string, create = true): DatabaseSync {
  // SQLite has names that are none of files, such as `:memory:`. None of them begins with a slash.
  const path = resolve(named);
  if (create) touch(path);
  let db: DatabaseSync | undefined;
  try {
    look(path, create);
    db = new DatabaseSync(path);
    prepare(db, path, create);
    return db;
  } catch (error) {
    db?.close();
    throw isCorrupt(error) ? error : inWords(error, path);
  }
}

/** Looks whose the file is, in a way that writes nothing to it. */
function look(path: string, create: boolean): void {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true });
    pragmaOf(db, `busy_timeout = ${PATIENCE_MS}`);
    claim(db, path, create);
  } catch (error) {
    const told = error instanceof StoreError || isBusy(error) || isCorrupt(error);
    // Else it cannot be read so: a process that was killed left something for the next writer to take back.
    if (told) throw error;
  } finally {
    db?.close();
  }
}

/** Throws unless the file is a file of logs, or, to make one, an empty one. */
function claim(db: DatabaseSync, path: string, create: boolean): void {
  const application = Number(pragmaOf(db, "application_id"));
  if (application === APPLICATION) return;
  const tables = db.prepare("SELECT count(*) AS n FROM sqlite_schema").get() as { n: number };
  if (application !== 0 || tables.n > 0) {
    throw new StoreError("foreign", `${path} is another program's file: name another with --store`);
  }
  if (!create) throw new StoreError("foreign", `${path} is empty: no relay has kept logs in it`);
}

function prepare(db: DatabaseSync, path: string, create: boolean): void {
  pragmaOf(db, `busy_timeout = ${PATIENCE_MS}`);
  pragmaOf(db, "locking_mode = EXCLUSIVE");
  claim(db, path, create);
  // The order matters: the first write fixes `auto_vacuum`, and WAL without shared memory wants the lock.
  // Saying `auto_vacuum` once more would be a write, for which a full disk has no room.
  if (pragmaOf(db, "auto_vacuum") !== INCREMENTAL) pragmaOf(db, `auto_vacuum = ${INCREMENTAL}`);
  for (
    const pragma of [
      "journal_mode = WAL",
      "synchronous = FULL",
      "trusted_schema = OFF",
      "temp_store = MEMORY",
      "cache_size = -16384",
      "journal_size_limit = 16777216",
    ]
  ) pragmaOf(db, pragma);
  migrate(db, MIGRATIONS, path);
  // With the lock nobody shares memory. The one who only looked may have left it behind.
  rmSync(`${path}-shm`, { force: true });
}

/** What a pragma answers, if anything. `exec` runs some of them only in part on one of the runtimes. */
export function pragmaOf(db: DatabaseSync, pragma: string): unknown {
  const [row] = db.prepare(`PRAGMA ${pragma}`).all() as Record<string, unknown>[];
  return row && Object.values(row)[0];
}

/** Takes the steps that a file has not taken yet, all or none. Throws {@linkcode StoreError}. */
export function migrate(db: DatabaseSync, steps: readonly string[], path: string): void {
  const version = Number(pragmaOf(db, "user_version"));
  if (version > steps.length) {
    throw new StoreError(
      "foreign",
      `${path} was written by a newer version of the relay: start that one, or name another file with --store`,
    );
  }
  // Also where there is nothing to do: it takes the lock. It writes nothing then, as on a full disk.
  db.exec("BEGIN IMMEDIATE");
  try {
    for (const step of steps.slice(version)) db.exec(step);
    if (version < steps.length) {
      db.exec(`PRAGMA application_id = ${APPLICATION}`);
      db.exec(`PRAGMA user_version = ${steps.length}`);
    }
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

/** Makes folder and file for their owner alone. An existing file is not opened: that would end its lock. */
function touch(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw inWords(error, path);
    // A link to what is not there yet: SQLite would make that for everybody to read.
    const target = existsSync(path) ? undefined : targetOf(path);
    if (target !== undefined) touch(target);
  }
}

/** What a symbolic link names; nothing of what is no link. */
function targetOf(path: string): string | undefined {
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return undefined;
  }
}

/** Where SQLite has the number of the application, in the first bytes of each file: 4 bytes, big-endian. */
const APPLICATION_AT = 68;

/** Whether a file too broken to be opened says all the same that it is a file of logs. */
export function showsOurs(path: string): boolean {
  const head = new Uint8Array(APPLICATION_AT + 4);
  const file = openSync(path, "r");
  try {
    if (readSync(file, head, 0, head.length, 0) < head.length) return false;
  } finally {
    closeSync(file);
  }
  return new DataView(head.buffer).getUint32(APPLICATION_AT) === APPLICATION;
}

/** Puts a broken file out of the way, with what belongs to it. Answers its new name. */
export function moveAside(path: string, time: Date): string {
  const to = `${path}.corrupt-${time.toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
  // What SQLite makes of the others in memory that it shares: worth nothing.
  rmSync(`${path}-shm`, { force: true });
  for (const part of ["", "-wal"]) {
    try {
      renameSync(path + part, to + part);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw inWords(error, path);
    }
  }
  return to;
}
