/**
 * Chain hashes of a log: what two readers compare to know that they were shown one past.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Bytes, fromHex, utf8Bytes } from "../wire/bytes.ts";

const LABEL = utf8Bytes("BX2 log");

/** SHA-256 of parts, one behind the other: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Bytes {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** Chain hash before the first entry: SHA-256(`BX2 log` ‖ log id 16). `id` in hexadecimal. */
export const chainStart = (id: string): Bytes => sha256(LABEL, fromHex(id));

/** Chain hash after a frame: SHA-256(hash before 32 ‖ frame). */
export const chainNext = (before: Uint8Array, frame: Uint8Array): Bytes => sha256(before, frame);
