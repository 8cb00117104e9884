/**
 * Catching up: a device asks another for the records that it lacks, and gets them in parts.
 *
 * Request (Extension 0x15, sealed for one device; Query has the same plaintext):
 *
 * | bytes | field                                                                 |
 * | ----- | --------------------------------------------------------------------- |
 * | 8     | id, random: answers to other requests are not taken                   |
 * | 2 + n | length and text of the place after which to go on; none at first       |
 * | n     | vector of the device that asks: it has all of this (`history.ts`)     |
 * | 1     | number of collections asked for, 0 for all; then u8 length and name each |
 *
 * Answer (Extension 0x14, sealed for one device; QueryResult has the same plaintext):
 *
 * | bytes | field                                                                 |
 * | ----- | --------------------------------------------------------------------- |
 * | 8     | id of the request                                                     |
 * | 1     | 1 if this is the last part                                            |
 * | 4     | records that are left, those in this part included                    |
 * | n     | vector of the device that answers                                     |
 * | rest  | records: u32 length and bytes each (`record_state.ts`)                |
 *
 * The device that answers keeps nothing between the parts. What changes meanwhile arrives by itself.
 *
 * @module
 */
import { type Bytes, hex, Reader, utf8Bytes, Writer } from "../../wire/bytes.ts";
import { readVector, type Vector, writeVector } from "./vector_clock.ts";
import { decodeState, encodeState } from "./record_state.ts";
import type { RecordState, Replica } from "./replica.ts";

export const REQUEST_ID_LENGTH = 8;
/** Bytes of records in one part, unless a single one has more. */
const PART = 256 * 1024;

export interface Request {
  /** In hex. */
  readonly id: string;
  readonly after: string;
  readonly vector: Vector;
  readonly collections: readonly string[];
}

export interface Part {
  readonly id: string;
  readonly last: boolean;
  readonly left: number;
  readonly vector: Vector;
  readonly states: readonly RecordState[];
}

export function encodeRequest(id: Uint8Array, request: Omit<Request, "id">): Bytes {
  const after = utf8Bytes(request.after);
  const w = new Writer(256).bytes(id).u16(after.length).bytes(after);
  writeVector(w, request.vector).u8(request.collections.length);
  for (const name of request.collections.map(utf8Bytes)) w.u8(name.length).bytes(name);
  return w.finish();
}

export function decodeRequest(bytes: Uint8Array): Request {
  const r = new Reader(bytes);
  const id = hex(r.bytes(REQUEST_ID_LENGTH));
  const after = r.text(r.u16());
  const vector = readVector(r);
  const collections = Array.from({ length: r.u8() }, () => r.text(r.u8()));
  r.end();
  return { id, after, vector, collections };
}

/** Where a record stands in the order in which they are sent. */
export const placeOf = ({ collection, id }: RecordState): string => `${collection}\n${id}`;

/** The next part of what a request asks for. */
export function answer(replica: Replica, own: Vector, request: Request): Bytes {
  const wanted = new Set(request.collections);
  const w = new Writer(1024);
  let left = 0;
  let full = false;
  for (const state of replica.beyond(request.vector)) {
    if (wanted.size > 0 && !wanted.has(state.collection)) continue;
    if (request.after !== "" && !isAfter(state, request.after)) continue;
    left++;
    if (full) continue;
    const bytes = encodeState(state);
    if (w.length > 0 && w.length + bytes.length > PART) full = true;
    else w.u32(bytes.length).bytes(bytes);
  }
  const id = Uint8Array.from(request.id.match(/../g)!, (pair) => parseInt(pair, 16));
  const head = new Writer(64).bytes(id).u8(full ? 0 : 1).u32(left);
  return writeVector(head, own).bytes(w.finish()).finish();
}

function isAfter({ collection, id }: RecordState, after: string): boolean {
  const cut = after.lastIndexOf("\n");
  const other = after.slice(0, cut);
  return collection === other ? id.toString() > after.slice(cut + 1) : collection > other;
}

export function decodePart(bytes: Uint8Array): Part {
  const r = new Reader(bytes);
  const id = hex(r.bytes(REQUEST_ID_LENGTH));
  const last = r.u8() === 1;
  const left = r.u32();
  const vector = readVector(r);
  const states: RecordState[] = [];
  while (r.left > 0) states.push(decodeState(r.bytes(r.u32())));
  return { id, last, left, vector, states };
}
