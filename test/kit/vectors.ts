/**
 * Reads the byte vectors of `test/vectors/`.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** One vector file, parsed. The caller names its shape. */
export function vectors<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), "utf8")) as T;
}
