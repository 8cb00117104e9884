/**
 * A record with its stamps as bytes, for storage, checkpoints and answers. Equal states have equal bytes:
 *
 * | bytes  | field                                                                |
 * | ------ | -------------------------------------------------------------------- |
 * | 1 + n  | length and name of the collection                                    |
 * | 16     | id                                                                   |
 * | 2      | number of stamps                                                     |
 * | 24 × s | stamps: u64 counter, node id 16, in the order of both                |
 * | 6      | stamps of insert, update and delete: u16 each, 0 none, else 1 + index |
 * | 2      | number of fields                                                     |
 * | 2 × f  | stamp of each field in the order of names: u16 index                 |
 * | rest   | the fields: one BlazeBinary record, in its one encoding              |
 *
 * @module
 */
import { type Bytes, fromHex, hex, Reader, WireError, Writer } from "../../../wire/bytes.ts";
import { utf8Bytes } from "../../../wire/bytes.ts";
import { decodeRecord, encodeRecord, Uuid } from "../../../wire/blaze/blaze_record.ts";
import { nameForm, sortedNames } from "../../../wire/blaze/record_names.ts";
import type { Field, RecordState, Stamp } from "./replica.ts";
import { later, stamps } from "./replica.ts";

/** Bytes of a collection's name, as in operations. */
const MAX_COLLECTION = 127;

export function encodeState(state: RecordState): Bytes {
  // Most stamps are one object already; equal ones of different objects come together by the order.
  const ordered: Stamp[] = [];
  const indexes = new Map<Stamp, number>();
  for (const stamp of [...new Set(stamps(state))].sort((a, b) => later(a, b) ? 1 : -1)) {
    const last = ordered.at(-1);
    if (!last || last.counter !== stamp.counter || last.node !== stamp.node) ordered.push(stamp);
    indexes.set(stamp, ordered.length - 1);
  }
  const collection = utf8Bytes(state.collection);
  const w = new Writer(256).u8(collection.length).bytes(collection);
  w.u64(state.id.high).u64(state.id.low).u16(ordered.length);
  for (const { counter, node } of ordered) w.u64(counter).bytes(fromHex(node));
  for (const stamp of [state.inserted, state.updated, state.deleted]) {
    w.u16(stamp ? 1 + indexes.get(stamp)! : 0);
  }
  const names = [...state.fields.keys()];
  sortedNames(names);
  w.u16(names.length);
  for (const name of names) w.u16(indexes.get(state.fields.get(name)!.stamp)!);
  const values = names.map((name) => [name, state.fields.get(name)!.value] as const);
  return w.bytes(encodeRecord(Object.fromEntries(values))).finish();
}

/** Throws `TRUNCATED`, `BAD_STAMP`, `NAME_LENGTH`, and the codes of records. */
export function decodeState(bytes: Uint8Array): RecordState {
  const r = new Reader(bytes);
  const length = r.u8();
  if (length === 0 || length > MAX_COLLECTION) throw new WireError("NAME_LENGTH", 0);
  const collection = r.text(length);
  const id = new Uuid(r.u64(), r.u64());
  const known: Stamp[] = [];
  for (let left = r.u16(); left > 0; left--) {
    known.push({ counter: r.u64(), node: hex(r.bytes(16)) });
  }
  const stamp = (index: number): Stamp => {
    const found = known[index];
    if (!found) throw new WireError("BAD_STAMP", r.offset);
    return found;
  };
  const [inserted, updated, deleted] = [r.u16(), r.u16(), r.u16()]
    .map((index) => index === 0 ? undefined : stamp(index - 1));
  const count = r.u16();
  if (2 * count > r.left) throw new WireError("TRUNCATED", r.offset);
  const order = Array.from({ length: count }, () => stamp(r.u16()));
  const values = decodeRecord(bytes, r.offset);
  const names = Object.keys(values);
  sortedNames(names);
  if (names.length !== order.length) throw new WireError("BAD_STAMP", r.offset);
  const fields = new Map<string, Field>();
  for (const [i, name] of names.entries()) {
    const field = { stamp: order[i]!, value: values[name]! };
    // What a delete took is not there: a record that still has it would differ from ours for ever.
    if (!deleted || later(field.stamp, deleted)) fields.set(nameForm(name), field);
  }
  return { collection, id, inserted, updated, deleted, fields };
}
