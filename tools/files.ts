/**
 * Files that tools read and write; whatever is wrong with one ends the tool in a sentence. Those to be
 * written are opened before the work begins, so that hours of it are not lost to a name.
 *
 * @module
 */
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync } from "node:fs";
import process from "node:process";
import { utf8Bytes } from "../src/wire/bytes.ts";
import { fail } from "./args.ts";
import { writeAll } from "./say.ts";

/** Everything in a file; 0 is the standard input. */
export function readOrFail(path: string | 0): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    return fail(`${path || "The input"} cannot be read: ${systemWords(error)}.`);
  }
}

/** Opens a file to append to, and answers how. */
export function appendTo(path: string): (text: string) => void {
  const file = attempt(path, () => openSync(path, "a"));
  return (text) => attempt(path, () => writeAll(file, utf8Bytes(text)));
}

/**
 * A file that gets its contents all at once, at the end. If it gets none, it is as it was before: what
 * was there is untouched, and where nothing was, nothing stays.
 */
export class OutputFile {
  readonly #file: number;
  readonly #forget: (() => void) | undefined;

  /** Opens it. A file that is there is replaced only if `overwrite`. */
  constructor(private readonly path: string, overwrite: boolean) {
    const made = attempt(path, () => create(path));
    if (made === undefined && !overwrite) {
      fail(`${path} is there already: choose another name, or --overwrite.`);
    }
    this.#file = made ?? attempt(path, () => openSync(path, "r+"));
    if (made === undefined) return;
    this.#forget = () => rmSync(path, { force: true });
    process.once("exit", this.#forget);
  }

  /** Writes it. */
  finish(contents: Uint8Array | string): void {
    const bytes = typeof contents === "string" ? utf8Bytes(contents) : contents;
    attempt(this.path, () => {
      writeAll(this.#file, bytes);
      ftruncateSync(this.#file, bytes.length);
      closeSync(this.#file);
    });
    if (this.#forget) process.off("exit", this.#forget);
  }
}

/** A new file; undefined where there is one. */
function create(path: string): number | undefined {
  try {
    return openSync(path, "wx");
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
    return undefined;
  }
}

function attempt<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    return fail(`${path} cannot be written: ${systemWords(error)}.`);
  }
}

/** What the system says of a file, without the call and the path: `ENOENT: no such file or directory`. */
export const systemWords = (error: unknown): string =>
  (error as Error).message.replace(/, \w+(?: '.*')?$/s, "");
