/**
 * A record with its stamps as bytes, for storage and for snapshots:
 *
 * | bytes  | field                                                                |
 * | ------ | -------------------------------------------------------------------- |
 * | 1 + n  | length and name of the collection                                    |
 * | 16     | id                                                                   |
 * | 2      | number of stamps                                                     |
 * | 24 × s | stamps: u64 counter, node id 16                                      |
 * | 6      | stamps of insert, update and delete: u16 each, 0 none, else 1 + index |
 * | 2 × f  | stamp of each field in the order of the record: u16 index            |
 * | rest   | the fields: one BlazeBinary record                                   |
 *
 * The stamps of the fields come after the record's length is known: u16 count of fields before them.
 *
 * @module
 */
import { type Bytes, concat, fromHex, hex, Reader, WireError, Writer } from "../../wire/bytes.ts";
import { utf8Bytes } from "../../wire/bytes.ts";
import { decodeRecord, encodeRecord, Uuid } from "../../wire/blaze/blaze_record.ts";
import type { Field, RecordState, Stamp } from "./replica.ts";
import { stamps } from "./replica.ts";

export function encodeState(state: RecordState): Bytes {
  const indexes = new Map<string, number>();
  const distinct: Stamp[] = [];
  const key = ({ counter, node }: Stamp) => `${node}${counter}`;
  for (const stamp of stamps(state)) {
    if (indexes.has(key(stamp))) continue;
    indexes.set(key(stamp), distinct.length);
    distinct.push(stamp);
  }
  const collection = utf8Bytes(state.collection);
  const w = new Writer(256).u8(collection.length).bytes(collection);
  w.u64(state.id.high).u64(state.id.low).u16(distinct.length);
  for (const { counter, node } of distinct) w.u64(counter).bytes(fromHex(node));
  for (const stamp of [state.inserted, state.updated, state.deleted]) {
    w.u16(stamp ? 1 + indexes.get(key(stamp))! : 0);
  }
  const values = Object.fromEntries([...state.fields].map(([name, { value }]) => [name, value]));
  const record = encodeRecord(values);
  const order = Object.keys(decodeRecord(record));
  w.u16(order.length);
  for (const name of order) w.u16(indexes.get(key(state.fields.get(name)!.stamp))!);
  return concat(w.finish(), record);
}

/** Throws `TRUNCATED`, `BAD_STAMP`, and the codes of records. */
export function decodeState(bytes: Uint8Array): RecordState {
  const r = new Reader(bytes);
  const collection = r.text(r.u8());
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
  const order = Array.from({ length: r.u16() }, () => stamp(r.u16()));
  const values = Object.entries(decodeRecord(r.rest().slice()));
  if (values.length !== order.length) throw new WireError("BAD_STAMP", r.offset);
  const fields = new Map<string, Field>(
    values.map(([name, value], i) => [name, { stamp: order[i]!, value }]),
  );
  return { collection, id, inserted, updated, deleted, fields };
}
