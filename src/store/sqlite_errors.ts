/**
 * Why a file of logs cannot be used: SQLite's codes and the system's, and what to do, in words.
 *
 * @module
 */
import { statSync } from "node:fs";

/** A file of logs that cannot be used, in words for whoever starts the relay. */
export class StoreError extends Error {
  override readonly name = "StoreError";

  /** `unwritable`: the place may not be written, has no room, or is none. */
  constructor(readonly kind: "unwritable" | "taken" | "foreign" | "failed", message: string) {
    super(message);
  }
}

/** Result codes of SQLite. */
const PERM = 3;
const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const NOT_A_DATABASE = 26;
/** Extended: no lock can be had, mostly since the file could be opened for reading only. */
const NO_LOCK = 3_850;

/** SQLite's extended result code of an error, or 0 where it is none of SQLite's. */
function resultCode(error: unknown): number {
  const { errcode } = (error ?? {}) as { errcode?: unknown };
  return typeof errcode === "number" ? errcode : 0;
}

const isOneOf = (error: unknown, ...codes: readonly number[]): boolean =>
  codes.includes(resultCode(error) & 0xff);

/** Whether somebody else has the file. */
export const isBusy = (error: unknown): boolean => isOneOf(error, BUSY);

/** Whether the file itself is broken, and not just something that was asked of it. */
export const isCorrupt = (error: unknown): boolean => isOneOf(error, CORRUPT, NOT_A_DATABASE);

const ANOTHER = "name another file with --store";

/** Of a file that somebody named, and that nothing shows to be a file of logs. */
export const unknown = (path: string): StoreError =>
  new StoreError(
    "foreign",
    `${path} is no file of logs, or is too broken to tell: move it away, or ${ANOTHER}`,
  );

/** What went wrong with a file that is not broken, and what to do. */
export function inWords(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const { code = "", name = "", message: told } = error as Error & { code?: string };
  // Without the system's call and the path that it was for, which may be another one.
  const message = told.replace(/, \w+ '.*'$/s, "");
  if (isBusy(error)) {
    return new StoreError(
      "taken",
      `${path} belongs to another process that runs: stop that one, or ${ANOTHER}`,
    );
  }
  const unwritable = (why: string) =>
    new StoreError("unwritable", `${path} cannot be written: ${why}`);
  if (name === "NotCapable") {
    return unwritable(
      "Deno's tasks may write to ./state only. For another place, start main.ts by deno run with " +
        "--allow-write=FOLDER beside their other flags, or start it with Bun",
    );
  }
  if (isFolder(path)) return unwritable("it is a folder. Name a file in it with --store");
  if (isOneOf(error, FULL) || code === "ENOSPC") {
    return unwritable(`its disk is full. Make room there, or ${ANOTHER}`);
  }
  const may = `Let this program write there, or ${ANOTHER}`;
  if (resultCode(error) === NO_LOCK) return unwritable(`it can only be read. ${may}`);
  if (
    isOneOf(error, PERM, READONLY, CANNOT_OPEN) ||
    /^(E[A-Z]+|ERR_INVALID_STATE)$/.test(code) || name === "PermissionDenied" ||
    /^unable to open/.test(message)
  ) return unwritable(`${message}. ${may}`);
  return new StoreError(
    "failed",
    `${path} cannot be opened: ${message}. Look at its disk, or ${ANOTHER}`,
  );
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
