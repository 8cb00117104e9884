/**
 * Chain hashes of a log: what two readers compare to know that they were shown one past.
 *
 * @module
 */
import { createHash, hash } from "node:crypto";
import { type Bytes, fromHex, utf8Bytes } from "../wire/bytes.ts";

const LABEL = utf8Bytes("BX2 log");

const LENGTH = 32;
/** Longest frame that is copied behind what is before it, to be hashed in one call. */
const SHORT = 4_096;
const joined: Bytes = new Uint8Array(LENGTH + SHORT);

/** SHA-256 of parts, one behind the other: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Bytes {
  const all = createHash("sha256");
  for (const part of parts) all.update(part);
  return new Uint8Array(all.digest());
}

/** Chain hash before the first entry: SHA-256(`BX2 log` ‖ log id 16). `id` in hexadecimal. */
export const chainStart = (id: string): Bytes => sha256(LABEL, fromHex(id));

/** Chain hash after a frame: SHA-256(hash before 32 ‖ frame). */
export function chainNext(before: Uint8Array, frame: Uint8Array): Bytes {
  if (frame.length > SHORT) return sha256(before, frame);
  joined.set(before);
  joined.set(frame, LENGTH);
  // As text, from which the bytes are read here: one of the runtimes takes thrice as long for a buffer.
  const digits = hash("sha256", joined.subarray(0, LENGTH + frame.length), "hex");
  const after = new Uint8Array(LENGTH);
  for (let i = 0; i < LENGTH; i++) {
    after[i] = nibble(digits.charCodeAt(2 * i)) << 4 | nibble(digits.charCodeAt(2 * i + 1));
  }
  return after;
}

/** The value of a hexadecimal digit, `0` to `9` or `a` to `f`. */
const nibble = (code: number): number => code < 0x3a ? code - 0x30 : code - 0x57;
