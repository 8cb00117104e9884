/**
 * One device's data in a group: its records, what counts of everybody's operations, and its own
 * operations that no other device has yet. Kept in storage; knows nothing of links, logs' ids or keys.
 *
 * | key                | value                                                           |
 * | ------------------ | --------------------------------------------------------------- |
 * | `clock`            | u64 Lamport clock, u64 highest counter that came from a log     |
 * | `collections`      | which collections a selective device keeps                      |
 * | `author/` + node   | what counts of an author's operations (`author_chain.ts`)       |
 * | `queue/` + counter | an operation of ours that waits (`own_queue.ts`)                |
 * | `given`            | ids of ours that were given up or left the queue (`own_past.ts`) |
 * | `record/` + place  | one record with its stamps (`record_state.ts`)                  |
 *
 * Every call that is not awaited changes memory and the saver in one go, so that a flush saves all of
 * it or nothing; the caller puts its cursor into the same saver before it flushes.
 *
 * @module
 */
import { type Bytes, hex } from "../../../wire/bytes.ts";
import type { OperationKind } from "../../../wire/blaze/operation.ts";
import type { FieldsInput, Uuid } from "../../../wire/blaze/blaze_record.ts";
import { hashNode } from "../../blaze/node_hash.ts";
import type { Saver } from "../../blaze/storage.ts";
import { ClientError, type ClientErrorCode } from "../../client_error.ts";
import { AuthorChains } from "./author_chains.ts";
import { checkpointDigest, type Checkpointed, snapshotOf } from "./checkpoint.ts";
import { contained, KeptRecords } from "./kept_records.ts";
import type { LinkedBody, SignBody } from "./linked_body.ts";
import { includes, type LinkVector, MAX_AUTHORS } from "./link_vector.ts";
import { OwnOperations } from "./own_operations.ts";
import type { Queued } from "./own_queue.ts";
import { type Effect, type RecordState, type Replica, stamps } from "./replica.ts";

export interface LedgerOptions {
  /** Our node id, 16 bytes. */
  readonly node: Uint8Array;
  /** Operations of ours that wait one by one; beyond, only a checkpoint brings the oldest. */
  readonly most: number;
  /** Collections that this device keeps; all of them when not given. */
  readonly collections?: readonly string[] | undefined;
  /** Node id of the device that this one was before: what waits was made under that one. */
  readonly former?: Uint8Array | undefined;
}

/** What became of an operation that stands in the log. */
export type Taken =
  | {
    readonly kind: "counts";
    /** Nothing if the records do not look different, or if it was ours and is in them. */
    readonly effect: Effect;
    /** Something before it is missing, and a checkpoint has to bring it. */
    readonly gap: boolean;
    readonly own: boolean;
  }
  | { readonly kind: "repeated" }
  /** It counts for nobody: `BAD_COUNTER`, `ID_TAKEN`, `GROUP_FULL`. */
  | { readonly kind: "refused"; readonly own: boolean; readonly code: ClientErrorCode };

/** What was seen to change when a checkpoint was taken in. */
export interface RecordChange extends NonNullable<Effect> {
  readonly collection: string;
  readonly id: Uuid;
}

export interface Absorbed {
  readonly changes: readonly RecordChange[];
  /** Authors (in hex) of whom the checkpoint has another operation under an id that we know. */
  readonly differs: readonly string[];
}

export class Ledger {
  readonly #records: KeptRecords;
  readonly #authors: AuthorChains;
  readonly #own: OwnOperations;
  readonly #node: string;

  private constructor(
    saver: Saver,
    private readonly options: LedgerOptions,
    /** What our operations carry of our node id. */
    readonly hash: number,
  ) {
    this.#node = hex(options.node);
    this.#records = new KeptRecords(saver, options.collections);
    this.#authors = new AuthorChains(saver);
    const { most } = options;
    this.#own = new OwnOperations(
      saver,
      this.#node,
      most,
      this.whole,
      this.#records,
      this.#authors,
    );
  }

  /** A device with what was saved of it. */
  static async of(
    saver: Saver,
    saved: ReadonlyMap<string, Bytes>,
    options: LedgerOptions,
  ): Promise<Ledger> {
    const ledger = new Ledger(saver, options, await hashNode(options.node.slice()));
    ledger.#records.restore(saved);
    // What was left out before is missing now: of others everything is read anew.
    ledger.#authors.restore(saved, ledger.renewed ? ledger.#node : undefined);
    ledger.#own.restore(saved);
    if (options.former) await ledger.#own.inherit(hex(options.former));
    return ledger;
  }

  get replica(): Replica {
    return this.#records.replica;
  }

  /** Our operations that no other device is known to have, oldest first. */
  get waiting(): Iterable<Queued> {
    return this.#own.queue;
  }

  get waitingCount(): number {
    return this.#own.queue.size;
  }

  /** Nothing waits that is not in the log: our records are what the log says. */
  get settled(): boolean {
    return this.#own.queue.unlogged === 0;
  }

  /** Some author has a gap that only a checkpoint can fill. */
  get missing(): boolean {
    return this.#authors.missing;
  }

  /** Operations of ours left the queue before they were in the log: only our checkpoint brings them. */
  get owes(): boolean {
    return this.#own.past.owes;
  }

  /** How many of ours are neither in a log nor wait: nobody has them before our checkpoint. */
  get unlisted(): number {
    return this.#own.past.only;
  }

  /** Whether an operation of ours is one of those, by its counter. */
  isUnlisted(counter: bigint): boolean {
    return this.#own.past.isOnly(counter);
  }

  /** Counter of our last operation. */
  get last(): bigint {
    return this.#own.tip.counter;
  }

  /** Runs when our checkpoint has brought all that we owed. */
  set onSettled(run: () => void) {
    this.#own.past.onSettled = run;
  }

  /** The choice of collections is another one than last time: all has to be read once more. */
  get renewed(): boolean {
    return this.#records.renewed;
  }

  /**
   * What waits does not follow the log's word of our past: nobody would count it. It needs `renumber`
   * before it is appended.
   */
  get stale(): boolean {
    return this.#own.stale;
  }

  /** Something waits without a signature: it was made before this device knew that the group signs. */
  get unsigned(): boolean {
    return this.#own.unsigned;
  }

  /** This device keeps all collections. */
  get whole(): boolean {
    return this.options.collections === undefined;
  }

  /** Highest counter known: that of the next operation is above it. */
  get clock(): bigint {
    return this.#authors.clock;
  }

  keeps(collection: string): boolean {
    return this.#records.keeps(collection);
  }

  /** What counts so far, as the log says. */
  get vector(): LinkVector {
    return this.#authors.vector((chain) => chain.head);
  }

  /** What this device has without a gap, its own that wait included: what it announces. */
  get having(): LinkVector {
    const vector = this.#authors.vector((chain) => chain.whole);
    if (this.waitingCount > 0 && !this.stale) vector.set(this.#node, this.#own.tip);
    return vector;
  }

  /**
   * Makes an operation: it is in our records as soon as this resolves. Throws `TOO_LARGE`, and `QUEUE_FULL`
   * where too many wait on a device that keeps some collections only.
   */
  write(
    kind: OperationKind,
    collection: string,
    id: Uuid,
    changes: FieldsInput,
    origin?: Uint8Array,
    sign?: SignBody,
  ): Promise<Queued> {
    return this.#own.make({ kind, collection, id, node: this.hash, changes }, origin, sign);
  }

  /** Another log or ring begins: all that waits is to be appended again, as it is. */
  unlogged(): void {
    this.#own.unlog();
  }

  /** Takes the operation that stands next in the log. */
  take(author: string, body: LinkedBody): Taken {
    const { operation, previous, link } = body;
    const { counter } = operation;
    const own = author === this.#node;
    if (this.#authors.leaps(counter)) return { kind: "refused", own, code: "BAD_COUNTER" };
    if (this.#authors.tooMany([author])) {
      return { kind: "refused", own, code: "GROUP_FULL" };
    }
    const chain = this.#authors.of(author);
    const waiting = own ? this.#own.queue.get({ counter, link }) : undefined;
    const place = chain.place({ counter, link }, previous);
    if (place === "second") return { kind: "refused", own, code: "ID_TAKEN" };
    if (place === "repeated") {
      if (waiting && chain.knows(waiting)) this.#own.queue.mark(waiting, true);
      return { kind: "repeated" };
    }
    const gap = place === "gap" && !(own && this.#own.made(previous));
    if (place === "filling") chain.fill({ counter, link });
    else chain.add({ counter, link }, gap ? previous : undefined);
    this.#authors.seen(counter);
    this.#authors.save(author);
    if (waiting) this.#own.queue.mark(waiting, true);
    const effect = waiting ? undefined : this.#records.apply(operation, author);
    return { kind: "counts", effect, gap, own };
  }

  /**
   * Another device announces what it has. Drops what waits and is covered; true if our past is another
   * one than it says: then `renumber`. Throws `BAD_COUNTER`.
   */
  covered(by: string, vector: LinkVector): boolean {
    if (by === this.#node) return false;
    this.#authors.checkClaims(vector);
    const head = vector.get(this.#node);
    if (!head || this.#own.covered(head)) return false;
    // Below our head the log has spoken: whoever says otherwise has read another one.
    if (head.counter <= this.#own.chain.head.counter) return false;
    this.#own.follow(head, true);
    return true;
  }

  /**
   * Takes the log's word for our past: what is not in the log gets new counters behind it. With `sign`
   * also what was queued before there was anything to sign with.
   */
  renumber(sign?: SignBody): Promise<void> {
    return this.#own.renumber(sign);
  }

  /** Vector and records at this moment; only while `settled`, and of a device that keeps everything. */
  contents(): Checkpointed {
    if (!this.settled || this.options.collections) throw new Error("these are not all the records");
    return snapshotOf(this.vector, this.replica.all());
  }

  /** What `contents` hash to: the same for all who read the same log. */
  digest(): Promise<Bytes> {
    return checkpointDigest(this.contents());
  }

  /**
   * Takes in a checkpoint. Records are merged, and so nothing is lost; where it has another operation
   * under an id that we know as the last one, its word counts. Throws `BAD_COUNTER`, and then nothing
   * has changed. `ours`: of this device. Another one may know of an operation that is in no log, and
   * lack it all the same.
   */
  absorb(vector: LinkVector, states: readonly RecordState[], ours = false): Absorbed {
    this.#authors.checkAll(vector);
    if (this.#authors.tooMany(vector.keys())) {
      throw new ClientError("GROUP_FULL", `a group has at most ${MAX_AUTHORS} authors`);
    }
    for (const state of states) {
      for (const { counter } of stamps(state)) this.#authors.check(counter);
    }
    const changes: RecordChange[] = [];
    const within = contained(states, [...this.#own.queue], this.#node);
    for (const state of states) {
      const effect = this.#records.merge(state);
      for (const { counter } of stamps(state)) this.#authors.seen(counter);
      const { collection, id } = state;
      if (effect) changes.push({ ...effect, collection, id });
    }
    const differs: string[] = [];
    for (const [node, head] of vector) {
      const chain = this.#authors.of(node);
      if (chain.knows(head) === false && head.counter === chain.head.counter) differs.push(node);
      if (node !== this.#node) chain.reach(head);
      else if (this.#own.covered(head)) {
        chain.reach(head);
        if (ours) this.#own.past.settle(head.counter);
      } else if (head.counter >= chain.head.counter) {
        for (const one of within) this.#own.queue.drop(one.counter);
        this.#own.follow(head, false);
      }
      this.#authors.seen(head.counter);
      this.#authors.save(node);
    }
    return { changes, differs };
  }

  /** Whether somebody who has `vector` has all that we have from the log. */
  covers(vector: LinkVector): boolean {
    return includes(vector, this.vector);
  }
}
