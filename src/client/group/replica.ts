/**
 * The records of a database, merged so that everybody ends with the same, in whatever order operations
 * arrive: for each field the operation with the highest stamp wins. A delete empties a record; an
 * update that did not know of the delete changes nothing that is seen, a later insert brings it back.
 *
 * @module
 */
import type { Operation } from "../../wire/blaze/operation.ts";
import type { Fields, RecordValue, Uuid } from "../../wire/blaze/blaze_record.ts";
import { nameForm } from "../../wire/blaze/record_names.ts";
import { type Vector, VectorClock } from "./vector_clock.ts";

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

/** Whether `a` wins over `b`. */
export function later(a: Stamp, b: Stamp | undefined): boolean {
  if (!b || a.counter !== b.counter) return !b || a.counter > b.counter;
  return a.node > b.node;
}

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

  /** Puts an operation in. */
  apply({ kind, collection, id, changes }: Operation, stamp: Stamp): Effect {
    const fields = new Map<string, Field>();
    for (const [name, value] of Object.entries(changes)) {
      fields.set(nameForm(name), { stamp, value });
    }
    const past = { insert: "inserted", update: "updated", delete: "deleted" } as const;
    return this.merge({ collection, id, [past[kind]]: stamp, fields });
  }

  /** Puts in what another device has of a record. */
  merge(other: RecordState): Effect {
    const { collection, id } = other;
    const state = this.#open(collection, id);
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
    const changes: Fields = {};
    for (const [name, field] of other.fields) {
      if (deleted && !later(field.stamp, deleted)) continue;
      if (!later(field.stamp, state.fields.get(name)?.stamp)) continue;
      state.fields.set(name, field);
      changes[name] = field.value;
    }
    return effect(state, wasVisible && !lost, wasVisible, changes);
  }

  /** Records in the order of collection and id, deleted ones included. */
  *all(): Generator<RecordState> {
    for (const collection of [...this.#collections.keys()].sort()) {
      const records = this.#collections.get(collection)!;
      for (const id of [...records.keys()].sort()) yield records.get(id)!;
    }
  }

  /** Records with something that `vector` does not have. */
  *beyond(vector: Vector): Generator<RecordState> {
    for (const state of this.all()) {
      if (stamps(state).some(({ node, counter }) => VectorClock.beyond(vector, node, counter))) {
        yield state;
      }
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
