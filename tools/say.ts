/**
 * What tools print: what they were asked for on the standard output, anything else on the other one.
 *
 * Neither `console.log` nor the stream behind it tells on both runtimes that nobody reads any more.
 *
 * @module
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { utf8Bytes } from "../src/wire/bytes.ts";

/** The reader has gone: the end of a pipe (`| head`), or the terminal. */
const GONE = new Set(["EPIPE", "EIO", "EBADF"]);

/** Milliseconds between two attempts to write where a reader is slow. */
const SLOW_MS = 5;

/** Prints a line. Once nobody reads what is printed, the tool ends quietly. */
export function say(line = ""): void {
  try {
    writeAll(1, utf8Bytes(`${line}\n`));
  } catch (error) {
    const { code = "", message } = error as { code?: string; message: string };
    if (GONE.has(code)) process.exit(0);
    note(`Nothing can be printed: ${message}`);
    process.exit(2);
  }
}

/** Tells whoever looks on. With nobody there the work goes on. */
export function note(line: string): void {
  write(`${line}\n`);
}

/** As {@linkcode note}, without an end of the line. */
export function write(text: string): void {
  try {
    writeAll(2, utf8Bytes(text));
  } catch {
    // A terminal that was closed must not cost a recording.
  }
}

/** Writes all of it, waiting for a reader that is slow. Throws what the system says. */
export function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(file, bytes, at);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SLOW_MS);
    }
  }
}
