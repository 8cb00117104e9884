/**
 * A recording from a path: the ending of the name says which format it is.
 *
 * @module
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail } from "../args.ts";
import { systemWords } from "../files.ts";
import { readCsv } from "./csv.ts";
import { readEdf } from "./edf.ts";
import { readNative } from "./native.ts";
import { FormatError, type Recording, refuse } from "./recording.ts";
import { readWfdb } from "./wfdb.ts";

/** A file is read whole: 30 hours of two leads at 360 Hz. */
const MAX_BYTES = 256 * 1024 * 1024;

export const ENDINGS = ".hea (WFDB), .edf, .csv, .json (with .i16 beside it)";

/**
 * Reads a recording. `rate` is for CSV files that have no time column.
 *
 * Throws what the readers throw, `MISSING_FILE`, `UNREADABLE`, and `UNSUPPORTED` for another ending.
 */
export function openRecording(path: string, rate?: number): Recording {
  const ending = /\.(\w+)$/.exec(path)?.[1]?.toLowerCase();
  switch (ending) {
    case "hea":
      return readWfdb(
        text(path),
        (name) =>
          existsSync(join(dirname(path), name)) ? read(join(dirname(path), name)) : undefined,
      );
    case "edf":
      return readEdf(read(path), path);
    case "csv":
    case "tsv":
    case "txt":
      return readCsv(text(path), path, rate);
    case "json":
      return readNative(text(path), read(path.replace(/json$/i, "i16")));
  }
  // WFDB names records without their ending.
  if (existsSync(`${path}.hea`)) return openRecording(`${path}.hea`, rate);
  return refuse("UNSUPPORTED", 0, `want ${ENDINGS}`);
}

const text = (path: string): string => new TextDecoder().decode(read(path));

function read(path: string): Uint8Array {
  if (!existsSync(path)) refuse("MISSING_FILE", 0, `there is no ${path}`);
  const stat = statSync(path);
  if (stat.isDirectory()) refuse("UNREADABLE", 0, `${path} is a folder`);
  if (stat.size > MAX_BYTES) {
    refuse("TOO_MANY", 0, `${path} has ${stat.size} bytes; at most ${MAX_BYTES}`);
  }
  try {
    return readFileSync(path);
  } catch (error) {
    return refuse("UNREADABLE", 0, `${path}: ${systemWords(error)}`);
  }
}

/** For a tool: reads a recording, or ends with a sentence of what is wrong, and where. */
export function loadRecording(path: string, rate?: number): Recording {
  try {
    return openRecording(path, rate);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const { code, offset, detail } = error;
    const where = offset > 0 ? `, ${/\.edf$/i.test(path) ? "byte" : "line"} ${offset}` : "";
    return fail(`${path}: ${detail} (${code}${where}).`);
  }
}
