/**
 * The protocols that the analyzer knows, those that are surest of themselves first. A message goes to
 * the first one that takes it for its own.
 *
 * @module
 */
import { blaze } from "./dissect_blaze.ts";
import { bmp } from "./dissect_bmp.ts";
import { type Dissector, type Row, shortHex } from "./dissector.ts";
import { ecg } from "./dissect_ecg.ts";
import { operation, record } from "./dissect_record.ts";
import { uint32, websocket } from "./dissect_websocket.ts";

export const dissectors: readonly Dissector[] = [
  ...[blaze, record, ecg],
  ...[uint32, websocket, bmp, operation],
];

/** The first that knows these bytes, or the one of this name. */
export const dissectorFor = (bytes: Uint8Array, name?: string): Dissector | undefined =>
  dissectors.find((one) => name === undefined ? one.detect(bytes) : one.name === name);

/** Rows for a message of any protocol; one row for bytes that nobody knows. */
export function dissect(bytes: Uint8Array, name?: string): { protocol: string; rows: Row[] } {
  const found = dissectorFor(bytes, name);
  if (found) {
    const rows = found.dissect(bytes);
    // Its offsets count in what the words hold.
    const within = found === uint32 ? rows.map((row) => ({ ...row, within: "unpacked" })) : rows;
    return { protocol: found.name, rows: within };
  }
  const row = { offset: 0, length: bytes.length, name: "bytes", value: shortHex(bytes) };
  return { protocol: "unknown", rows: [row] };
}
