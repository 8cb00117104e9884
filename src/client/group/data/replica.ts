/**
 * The records of a database, merged so that everybody ends with the same, in whatever order operations
 * arrive: for each field the operation with the highest stamp wins, between equal ones (two operations
 * under one id) the value with the higher bytes. A delete empties a record; an update that did not know of the delete changes nothing that is seen, a later insert brings it back.
 *
 * @module
 */
import { compareBytes, utf8Bytes, WireError } from "../../../wire/bytes.ts";
import type { Operation } from "../../../wire/blaze/operation.ts";
import {
  encodeRecord,
  type Fields,
  type RecordValue,
  type Uuid,
} from "../../../wire/blaze/blaze_record.ts";
import { nameForm } from "../../../wire/blaze/record_names.ts";

/** Orders operations: Lamport counter first, node id (in hex) between equal ones. */
export interface Stamp {
  readonly counter: bigint;
  readonly node: string;
}

export interface Field {
  readonly stamp: Stamp;
  readonly value: RecordValue;
}

/** One record with the stamps that merging needs. */
export interface RecordState {
  readonly collection: string;
  readonly id: Uuid;
  inserted?: Stamp | undefined;
  updated?: Stamp | undefined;
  deleted?: Stamp | undefined;
  readonly fields: Map<string, Field>;
}

/**
 * What a merge changed for whoever looks at the record; nothing if nothing is seen of it. After an insert the
 * record is exactly this, whether it was there or not.
 */
export type Effect = Pick<Operation, "kind" | "changes"> | undefined;

/** Fields of one record: fewer than the format has, so that stamps can be counted as well. */
const MAX_FIELDS = 60_000;

/** Whether `a` wins over `b`. */
export function later(a: Stamp, b: Stamp | undefined): boolean {
  if (!b || a.counter !== b.counter) return !b || a.counter > b.counter;
  return a.node > b.node;
}

/** Whether a value wins over another one of the same field. */
function wins(a: Field, b: Field | undefined): boolean {
  if (!b || a.stamp.counter !== b.stamp.counter || a.stamp.node !== b.stamp.node) {
    return later(a.stamp, b?.stamp);
  }
  const bytes = ({ value }: Field) => encodeRecord({ value });
  return compareBytes(bytes(a), bytes(b)) > 0;
}

/** Whether an operation would change nothing of a record: it is in there, or overwritten. */
export function holdsOperation(state: RecordState, operation: Operation, stamp: Stamp): boolean {
  const past = state[PAST[operation.kind]];
  if (!past || later(stamp, past)) return false;
  return Object.entries(operation.changes).every(([name, value]) =>
    (state.deleted && !later(stamp, state.deleted)) ||
    !wins({ stamp, value }, state.fields.get(nameForm(name)))
  );
}

const PAST = { insert: "inserted", update: "updated", delete: "deleted" } as const;

export const visible = ({ inserted, updated, deleted }: RecordState): boolean =>
  deleted ? inserted !== undefined && later(inserted, deleted) : !!inserted || !!updated;

/** What people see of a record. */
export function seen(state: RecordState): Fields | undefined {
  if (!visible(state)) return undefined;
  return Object.fromEntries([...state.fields].map(([name, { value }]) => [name, value]));
}

export class Replica {
  /** By collection, then by id as text. */
  readonly #collections = new Map<string, Map<string, RecordState>>();
  #size = 0;

  /** Records, deleted ones included. */
  get size(): number {
    return this.#size;
  }

  state(collection: string, id: Uuid): RecordState | undefined {
    return this.#collections.get(collection)?.get(id.toString());
  }

  get(collection: string, id: Uuid): Fields | undefined {
    const state = this.state(collection, id);
    return state && seen(state);
  }

  /** Records of a collection that are there, in no order. */
  list(collection: string): { id: Uuid; fields: Fields }[] {
    const records = this.#collections.get(collection)?.values() ?? [];
    return [...records].flatMap((state) => {
      const fields = seen(state);
      return fields ? [{ id: state.id, fields }] : [];
    });
  }

  /** Puts an operation in. Throws `COUNT_LIMIT`, and then nothing has changed. */
  apply({ kind, collection, id, changes }: Operation, stamp: Stamp): Effect {
    const fields = new Map<string, Field>();
    for (const [name, value] of Object.entries(changes)) {
      fields.set(nameForm(name), { stamp, value });
    }
    return this.merge({ collection, id, [PAST[kind]]: stamp, fields });
  }

  /** Puts in what another device has of a record. Throws `COUNT_LIMIT`, and then nothing has changed. */
  merge(other: RecordState): Effect {
    const { collection, id } = other;
    if (other.fields.size > MAX_FIELDS) throw new WireError("COUNT_LIMIT", 0);
    const state = this.#open(collection, id);
    checkSize(state, other);
    const wasVisible = visible(state);
    const before = state.deleted;
    let lost = false;
    for (const key of ["inserted", "updated", "deleted"] as const) {
      if (other[key] && later(other[key], state[key])) state[key] = other[key];
    }
    const { deleted } = state;
    if (deleted && deleted !== before) {
      for (const [name, { stamp }] of state.fields) {
        if (!later(stamp, deleted)) lost = state.fields.delete(name);
      }
    }
    const changes: [string, RecordValue][] = [];
    for (const [name, field] of other.fields) {
      if (deleted && !later(field.stamp, deleted)) continue;
      if (!wins(field, state.fields.get(name))) continue;
      state.fields.set(name, field);
      changes.push([name, field.value]);
    }
    return effect(state, wasVisible && !lost, wasVisible, Object.fromEntries(changes));
  }

  /** Records in the order of collection (its UTF-8) and id, deleted ones included. */
  *all(): Generator<RecordState> {
    for (const collection of [...this.#collections.keys()].sort(byBytes)) {
      const records = this.#collections.get(collection)!;
      for (const id of [...records.keys()].sort()) yield records.get(id)!;
    }
  }

  #open(collection: string, id: Uuid): RecordState {
    const records = this.#collections.get(collection) ?? new Map<string, RecordState>();
    this.#collections.set(collection, records);
    const key = id.toString();
    let state = records.get(key);
    if (!state) {
      state = { collection, id, fields: new Map() };
      records.set(key, state);
      this.#size++;
    }
    return state;
  }
}

/** Throws `COUNT_LIMIT` if both together have more fields than a record can. */
function checkSize(state: RecordState, { fields }: RecordState): void {
  if (state.fields.size + fields.size <= MAX_FIELDS) return;
  const added = [...fields.keys()].filter((name) => !state.fields.has(name));
  if (state.fields.size + added.length > MAX_FIELDS) throw new WireError("COUNT_LIMIT", 0);
}

const byBytes = (a: string, b: string): number => compareBytes(utf8Bytes(a), utf8Bytes(b));

function effect(
  state: RecordState,
  canUpdate: boolean,
  wasVisible: boolean,
  changes: Fields,
): Effect {
  if (!visible(state)) return wasVisible ? { kind: "delete", changes: {} } : undefined;
  if (!canUpdate) return { kind: "insert", changes: seen(state)! };
  return Object.keys(changes).length > 0 ? { kind: "update", changes } : undefined;
}

/** Every stamp of a record. */
export function stamps({ inserted, updated, deleted, fields }: RecordState): Stamp[] {
  const own = [inserted, updated, deleted].filter((stamp) => stamp !== undefined);
  return [...own, ...[...fields.values()].map(({ stamp }) => stamp)];
}
