/**
 * One device's data: its records, what it has of everybody's operations, and its own operations that no
 * other device has yet. Kept in storage; knows nothing of links.
 *
 * | key                      | value                                            |
 * | ------------------------ | ------------------------------------------------ |
 * | `identity`               | private keys and card (`e2e/identity.ts`)        |
 * | `group`                  | chain, epochs, admissions (`group.ts`)           |
 * | `clock`                  | u64 Lamport clock, then the vector               |
 * | `collections`            | which collections a selective device keeps       |
 * | `queue/` + counter       | one operation (`e2e/operation_body.ts`), unsigned          |
 * | `record/` + place        | one record with its stamps (`record_state.ts`)   |
 *
 * @module
 */
import { type Bytes, hex, Reader, Writer } from "../../wire/bytes.ts";
import type { Operation, OperationKind } from "../../wire/blaze/operation.ts";
import type { FieldsInput, Uuid } from "../../wire/blaze/blaze_record.ts";
import { decodeBody, encodeBody } from "./e2e/operation_body.ts";
import { encodeRecord } from "../../wire/blaze/blaze_record.ts";
import { ClientError } from "../client_error.ts";
import type { Body } from "./e2e/operation_body.ts";
import { hashNode } from "../blaze/node_hash.ts";
import type { Saver } from "../blaze/storage.ts";
import type { Group } from "./group_state.ts";
import { readVector, type Vector, VectorClock, writeVector } from "./vector_clock.ts";
import { decodeState, encodeState } from "./record_state.ts";
import { type Effect, type RecordState, Replica, stamps } from "./replica.ts";

/** Largest operation, so that it fits a frame once it is sealed, padded and in an envelope. */
const MAX_OPERATION = 900_000;

/** An operation of ours that no other device is known to have. */
export interface Pending {
  readonly operation: Operation;
  readonly previous: bigint;
  readonly origin?: Bytes | undefined;
}

export interface DeviceOptions {
  /** Operations kept for delivery one by one; beyond, the oldest arrive merged into records. */
  readonly most: number;
  /** Collections that this device keeps; all of them when not given. */
  readonly collections?: readonly string[] | undefined;
}

export class Device {
  readonly replica = new Replica();
  readonly history = new VectorClock();
  readonly #pending = new Map<bigint, Pending>();
  readonly node: string;
  #hash = 0;
  /** After a restore: up to here we know our own operations; beyond, others have them. */
  #forgotten: bigint | undefined;

  private constructor(
    readonly group: Group,
    readonly saver: Saver,
    private readonly options: DeviceOptions,
  ) {
    this.node = hex(group.identity.card.node);
  }

  /** A device with what was saved of it. */
  static async of(
    group: Group,
    saver: Saver,
    saved: ReadonlyMap<string, Bytes>,
    options: DeviceOptions,
  ): Promise<Device> {
    const device = new Device(group, saver, options);
    device.#hash = await hashNode(group.identity.card.node);
    device.#restore(saved);
    return device;
  }

  /** What our operations carry of our node id. */
  get hash(): number {
    return this.#hash;
  }

  /** Our operations that no other device is known to have, oldest first. */
  get pending(): Iterable<Pending> {
    return this.#pending.values();
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  get selective(): boolean {
    return this.options.collections !== undefined;
  }

  keeps(collection: string): boolean {
    return this.options.collections?.includes(collection) ?? true;
  }

  /** What to tell others that we have. A selective device speaks for its own operations only. */
  get vector(): Vector {
    if (!this.selective) return this.history.vector;
    return new Map([[this.node, this.history.have(this.node)]]);
  }

  /** What to tell a device that is asked for the rest. */
  get known(): Vector {
    const known = this.history.vector;
    return this.#forgotten === undefined ? known : new Map(known).set(this.node, this.#forgotten);
  }

  /** Whether somebody who has `theirs` could give us anything. */
  lacks(theirs: Vector): boolean {
    return this.#forgotten !== undefined || this.history.lacks(theirs);
  }

  /** Makes an operation: it is in our records at once. */
  async write(
    kind: OperationKind,
    collection: string,
    id: Uuid,
    changes: FieldsInput,
    origin?: Bytes,
  ): Promise<Pending & { readonly length: number }> {
    const clock = this.history.clock;
    const draft = { kind, collection, id, counter: clock + 1n, node: this.#hash, changes };
    // Refuses what the format cannot carry, before anything is changed.
    const bytes = await encodeBody({ operation: draft, previous: 0n, origin }, this.group.id);
    if (bytes.length > MAX_OPERATION) {
      throw new ClientError("TOO_LARGE", `an operation has at most ${MAX_OPERATION} bytes`);
    }
    const { operation } = decodeBody(bytes);
    const stamp = this.history.next(this.node);
    const pending = { operation: { ...operation, counter: stamp.counter }, origin, ...stamp };
    this.#put(pending);
    await this.#queue(pending);
    return { ...pending, length: bytes.length };
  }

  /** Takes an operation of another device. Throws `BAD_COUNTER`. */
  take(node: string, { operation, previous }: Body): { effect: Effect; gap: boolean } {
    const { fresh, gap } = this.history.note(node, operation.counter, previous);
    if (!fresh || !this.keeps(operation.collection)) return { effect: undefined, gap };
    const effect = this.replica.apply(operation, { counter: operation.counter, node });
    this.#saveRecord(operation.collection, operation.id);
    this.#saveClock();
    return { effect, gap: gap && !this.selective };
  }

  /** Takes what another device has of a record. */
  merge(state: RecordState): Effect {
    if (!this.keeps(state.collection)) return undefined;
    const effect = this.replica.merge(state);
    for (const { counter } of stamps(state)) this.history.tick(counter);
    this.#saveRecord(state.collection, state.id);
    return effect;
  }

  /** After all records of a device were merged: we have what it has. */
  caughtUp(vector: Vector): void {
    this.history.merge(vector);
    this.#forgotten = undefined;
    this.#saveClock();
  }

  /** Another device has our operations up to this one. */
  acknowledged(counter: bigint): void {
    for (const one of this.#pending.keys()) if (one <= counter) this.#drop(one);
  }

  /**
   * Somebody has operations of ours that we do not know: this device was restored from an older copy.
   * What it did since gets new numbers, or others would take it for what they have.
   */
  async renumber(counter: bigint): Promise<void> {
    const [oldest] = this.#pending.keys();
    this.#forgotten ??= oldest === undefined ? this.history.have(this.node) : oldest - 1n;
    this.history.merge(new Map([[this.node, counter]]));
    const waiting = [...this.#pending.values()];
    for (const { operation } of waiting) this.#drop(operation.counter);
    for (const { operation, origin } of waiting) {
      const stamp = this.history.next(this.node);
      const pending = { operation: { ...operation, counter: stamp.counter }, origin, ...stamp };
      this.#put(pending);
      await this.#queue(pending);
    }
  }

  #put({ operation }: Pending): void {
    const { collection, id, counter } = operation;
    this.replica.apply(operation, { counter, node: this.node });
    this.#saveRecord(collection, id);
    this.#saveClock();
  }

  async #queue(pending: Pending): Promise<void> {
    const { counter } = pending.operation;
    this.#pending.set(counter, pending);
    if (this.#pending.size > this.options.most) this.#drop(this.#pending.keys().next().value!);
    this.saver.set(queueKey(counter), await encodeBody(pending, this.group.id));
    // It may have been acknowledged meanwhile.
    if (!this.#pending.has(counter)) this.saver.set(queueKey(counter), undefined);
  }

  #drop(counter: bigint): void {
    if (this.#pending.delete(counter)) this.saver.set(queueKey(counter), undefined);
  }

  #saveRecord(collection: string, id: Uuid): void {
    const state = this.replica.state(collection, id)!;
    this.saver.set(`record/${collection}/${id}`, encodeState(state));
  }

  #saveClock(): void {
    const w = new Writer(64).u64(this.history.clock);
    this.saver.set("clock", writeVector(w, this.history.vector).finish());
  }

  #restore(saved: ReadonlyMap<string, Bytes>): void {
    const kept = encodeRecord({ names: this.options.collections ?? null });
    const before = saved.get("collections");
    const sameChoice = before === undefined || hex(before) === hex(kept);
    this.saver.set("collections", kept);
    const clock = saved.get("clock");
    if (clock) {
      const r = new Reader(clock);
      this.history.tick(r.u64());
      const vector = readVector(r);
      // What was left out before is missing now: begin again, but for what we did ourselves.
      this.history.merge(
        sameChoice ? vector : new Map([[this.node, vector.get(this.node) ?? 0n]]),
      );
    }
    for (const [key, bytes] of saved) {
      if (key.startsWith("record/")) this.merge(decodeState(bytes));
    }
    const queue = [...saved.keys()].filter((key) => key.startsWith("queue/")).sort();
    for (const key of queue) {
      const body = decodeBody(saved.get(key)!);
      this.#pending.set(body.operation.counter, body);
    }
  }
}

const queueKey = (counter: bigint): string => `queue/${String(counter).padStart(20, "0")}`;
