/**
 * The records that a device keeps, each saved when it changes: `record/` + collection + `/` + id.
 * `collections` says which it kept last time.
 *
 * @module
 */
import { type Bytes, sameBytes } from "../../../wire/bytes.ts";
import type { Operation } from "../../../wire/blaze/operation.ts";
import { encodeRecord, type Uuid } from "../../../wire/blaze/blaze_record.ts";
import type { Saver } from "../../blaze/storage.ts";
import { faultOf } from "../../client_error.ts";
import type { Queued } from "./own_queue.ts";
import { decodeState, encodeState } from "./record_state.ts";
import { type Effect, holdsOperation, type RecordState, Replica } from "./replica.ts";

const RECORD = "record/";

export class KeptRecords {
  readonly replica = new Replica();
  #renewed = false;

  /** `collections`: those that are kept; all of them when not given. */
  constructor(
    private readonly saver: Saver,
    private readonly collections: readonly string[] | undefined,
  ) {}

  /** Whether the choice of collections is another one than last time. */
  get renewed(): boolean {
    return this.#renewed;
  }

  keeps(collection: string): boolean {
    return this.collections?.includes(collection) ?? true;
  }

  /** Puts in an operation of ours. Throws `COUNT_LIMIT`, and then nothing has changed. */
  put(operation: Operation, node: string): Effect {
    if (!this.keeps(operation.collection)) return undefined;
    const { collection, id, counter } = operation;
    const effect = this.replica.apply(operation, { counter, node });
    this.#save(collection, id);
    return effect;
  }

  /**
   * Puts in an operation that counts. One that would give a record more fields than it can have changes
   * nothing, at any device.
   */
  apply(operation: Operation, node: string): Effect {
    try {
      return this.put(operation, node);
    } catch (error) {
      if (faultOf(error).code === "COUNT_LIMIT") return undefined;
      throw error;
    }
  }

  /** Puts in what another device has of a record; as above, one with too many fields changes nothing. */
  merge(state: RecordState): Effect {
    if (!this.keeps(state.collection)) return undefined;
    try {
      const effect = this.replica.merge(state);
      this.#save(state.collection, state.id);
      return effect;
    } catch (error) {
      if (faultOf(error).code === "COUNT_LIMIT") return undefined;
      throw error;
    }
  }

  #save(collection: string, id: Uuid): void {
    const state = this.replica.state(collection, id)!;
    this.saver.set(`${RECORD}${collection}/${id}`, encodeState(state));
  }

  /** Takes what was saved. Throws as `decodeState`. */
  restore(saved: ReadonlyMap<string, Bytes>): void {
    const choice = encodeRecord({ names: this.collections ?? null });
    const before = saved.get("collections");
    this.#renewed = before !== undefined && !sameBytes(before, choice);
    this.saver.set("collections", choice);
    for (const [key, bytes] of saved) {
      if (!key.startsWith(RECORD)) continue;
      const state = decodeState(bytes);
      if (this.keeps(state.collection)) this.replica.merge(state);
    }
  }
}

/** Which of these operations of ours are in these records, as their own or below what came later. */
export function contained(
  states: readonly RecordState[],
  queue: readonly Queued[],
  node: string,
): Queued[] {
  if (queue.length === 0) return [];
  const of = (collection: string, id: Uuid) => `${collection}/${id}`;
  const wanted = new Set(queue.map(({ operation: { collection, id } }) => of(collection, id)));
  const found = new Map<string, RecordState>();
  for (const state of states) {
    const key = of(state.collection, state.id);
    if (wanted.has(key)) found.set(key, state);
  }
  return queue.filter(({ operation, counter }) => {
    const state = found.get(of(operation.collection, operation.id));
    return state && holdsOperation(state, operation, { counter, node });
  });
}
