/**
 * A device's own operations: those that wait, what the log says of those before, and how both are
 * brought together when they differ.
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { ClientError } from "../../client_error.ts";
import type { AuthorChain } from "./author_chain.ts";
import type { AuthorChains } from "./author_chains.ts";
import type { KeptRecords } from "./kept_records.ts";
import {
  type BodyDraft,
  decodeLinked,
  encodeLinked,
  type LinkedBody,
  type SignBody,
} from "./linked_body.ts";
import { type ChainHead, sameHead } from "./link_vector.ts";
import { OwnPast } from "./own_past.ts";
import { OwnQueue, type Queued } from "./own_queue.ts";

/** Largest operation, so that it fits a frame once it is sealed and padded. */
const MAX_OPERATION = 900_000;

export class OwnOperations {
  readonly queue: OwnQueue;
  readonly past: OwnPast;
  /** Making one takes time; one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  /** `most`: operations that wait one by one; `whole`: a checkpoint of ours can bring the others. */
  constructor(
    saver: Saver,
    private readonly node: string,
    private readonly most: number,
    private readonly whole: boolean,
    private readonly records: KeptRecords,
    private readonly authors: AuthorChains,
  ) {
    this.queue = new OwnQueue(saver);
    this.past = new OwnPast(saver);
  }

  /** Takes what was saved. Throws as `parseLinked`. */
  restore(saved: ReadonlyMap<string, Bytes>): void {
    this.queue.restore(saved);
    this.past.restore(saved);
  }

  /** What counts of ours, as the log says. */
  get chain(): AuthorChain {
    return this.authors.of(this.node);
  }

  /** What our next operation follows. */
  get tip(): ChainHead {
    const { newest } = this.queue;
    return !newest || newest.logged || this.chain.knows(newest) ? this.chain.head : newest;
  }

  /** Whether something waits that nobody would count where the log is now. */
  get stale(): boolean {
    const { chain } = this;
    // What counted once is a repetition at worst.
    const lost = (one: Queued) => !chain.knows(one) && !chain.follows(one.previous);
    for (const one of this.queue) if (!one.logged && lost(one)) return true;
    return false;
  }

  /** Whether something waits that is not signed. */
  get unsigned(): boolean {
    for (const one of this.queue) if (!one.logged && !one.signature) return true;
    return false;
  }

  /** Makes what another device wrote our own, unless the log had it: we were that one. */
  async inherit(former: string): Promise<void> {
    const chain = this.authors.of(former);
    for (const one of [...this.queue]) if (chain.knows(one) !== false) this.queue.drop(one.counter);
    this.queue.markAll(false);
    await this.renumber();
  }

  /** Makes an operation. Throws `TOO_LARGE`, `QUEUE_FULL`, and what records throw; then nothing has changed. */
  make(
    draft: Omit<BodyDraft["operation"], "counter">,
    origin?: Uint8Array,
    sign?: SignBody,
  ): Promise<Queued> {
    return this.#inTurn(async () => {
      for (;;) {
        const previous = this.tip;
        const counter = this.authors.clock + 1n;
        const operation = { ...draft, counter };
        const bytes = await encodeLinked({ operation, previous, origin }, sign);
        if (bytes.length > MAX_OPERATION) {
          throw new ClientError("TOO_LARGE", `an operation has at most ${MAX_OPERATION} bytes`);
        }
        const body = await decodeLinked(bytes);
        // The log has said more of our past meanwhile, or of what is known.
        if (!sameHead(previous, this.tip)) continue;
        const [oldest] = this.queue;
        if (!this.whole && this.queue.size >= this.most && !oldest?.logged) {
          throw new ClientError("QUEUE_FULL", `${this.most} operations wait for the relay`);
        }
        this.records.put(body.operation, this.node);
        this.#add(body);
        return this.queue.newest!;
      }
    });
  }

  /**
   * Gives what is not in the log new counters behind the log's word of our past, signed where there is
   * something to sign with.
   */
  renumber(sign?: SignBody): Promise<void> {
    return this.#inTurn(async () => {
      for (;;) {
        const old = this.#unlogged;
        const { head } = this.chain;
        const bodies: LinkedBody[] = [];
        let previous = head;
        let counter = this.authors.clock;
        for (const { operation, origin } of old) {
          const draft = { operation: { ...operation, counter: ++counter }, previous, origin };
          const body = await decodeLinked(await encodeLinked(draft, sign));
          previous = { counter, link: body.link };
          bodies.push(body);
        }
        // What was read meanwhile may have moved our head, or shown that something waits no more.
        const now = this.#unlogged;
        const same = now.length === old.length && now.every((one, i) => one === old[i]);
        if (!same || !sameHead(head, this.chain.head)) continue;
        for (const one of old) this.#giveUp(one, false);
        for (const body of bodies) {
          this.records.apply(body.operation, this.node);
          this.#add(body);
        }
        return;
      }
    });
  }

  get #unlogged(): Queued[] {
    return [...this.queue].filter(({ logged }) => !logged);
  }

  /** Another log begins, and is asked for our past: what others have of it is below what waits. */
  unlog(): void {
    const { chain } = this;
    for (;;) {
      const last = this.queue.get(chain.head);
      if (!last?.logged) break;
      chain.back(last.previous);
      this.queue.mark(last, false);
    }
    this.queue.markAll(false);
    this.authors.save(this.node);
  }

  /** Whether we made this one ourselves, counted or not: it is in our records. */
  made(head: ChainHead): boolean {
    return this.queue.get(head) !== undefined || this.past.has(head);
  }

  /** Somebody has this operation and all before it: drops what waits of that. False if it is not ours. */
  covered(head: ChainHead): boolean {
    const { chain, queue } = this;
    const known = chain.knows(head);
    if (known) {
      for (const one of [...queue]) {
        const below = one.counter <= head.counter;
        if (below && (one.logged || chain.knows(one))) queue.drop(one.counter);
      }
    } else if (queue.get(head)) {
      for (let one = queue.get(head); one; one = queue.get(one.previous)) queue.drop(one.counter);
      chain.reach(head);
      this.authors.save(this.node);
    } else return known === undefined;
    return true;
  }

  /** Our past is another one than we knew, up to this operation. What waits is not in it. */
  follow(head: ChainHead, missing: boolean): void {
    this.chain.turn(head, missing && !this.past.has(head));
    this.authors.tick(head.counter);
    this.authors.save(this.node);
    this.queue.markAll(false);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(run);
    this.#turn = done.catch(() => {});
    return done;
  }

  #add(body: LinkedBody): void {
    this.queue.add(body);
    const [oldest] = this.queue;
    // The last one stays: a checkpoint settles what is below it.
    const full = this.queue.size > Math.max(1, this.most);
    if (full && (this.whole || oldest!.logged)) this.#giveUp(oldest!, true);
    this.authors.tick(body.operation.counter);
  }

  #giveUp(one: Queued, owed: boolean): void {
    this.queue.drop(one.counter);
    this.past.add(one, owed, one.logged);
  }
}
