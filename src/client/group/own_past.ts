/**
 * Ids of ours that left the queue before anybody else had them: given up for new ones, or too many to
 * wait one by one. Our records hold what they did, whatever the log says of their ids.
 *
 * In storage, as `given`: u64 counter up to which only a checkpoint of ours brings everything (0: no need), then u64
 * counter and link of the last 64.
 *
 * @module
 */
import { type Bytes, hex, Reader, Writer } from "../../wire/bytes.ts";
import type { Saver } from "../blaze/storage.ts";
import { type ChainHead, LINK_LENGTH } from "./link_vector.ts";

const KEY = "given";
const MAX_GIVEN = 64;

export class OwnPast {
  readonly #given = new Map<string, ChainHead>();
  #owed = 0n;

  constructor(private readonly saver: Saver) {}

  /** Something of ours is in no log: only a checkpoint brings it. */
  get owes(): boolean {
    return this.#owed > 0n;
  }

  has(head: ChainHead): boolean {
    return this.#given.has(idOf(head));
  }

  /** `owed`: it has no new id either. */
  add(head: ChainHead, owed: boolean): void {
    this.#given.set(idOf(head), head);
    if (this.#given.size > MAX_GIVEN) this.#given.delete(this.#given.keys().next().value!);
    if (owed) this.#owed = head.counter;
    this.#save();
  }

  /** Somebody else has everything of ours up to this counter. */
  settle(counter: bigint): void {
    if (!this.owes || counter < this.#owed) return;
    this.#owed = 0n;
    this.#save();
  }

  /** Takes what was saved. Throws `TRUNCATED`. */
  restore(saved: ReadonlyMap<string, Bytes>): void {
    const bytes = saved.get(KEY);
    if (!bytes) return;
    const r = new Reader(bytes);
    this.#owed = r.u64();
    while (r.left > 0) {
      const head = { counter: r.u64(), link: r.bytes(LINK_LENGTH).slice() };
      this.#given.set(idOf(head), head);
    }
  }

  #save(): void {
    const w = new Writer(64).u64(this.#owed);
    for (const { counter, link } of this.#given.values()) w.u64(counter).bytes(link);
    this.saver.set(KEY, w.finish());
  }
}

const idOf = ({ counter, link }: ChainHead): string => `${counter}:${hex(link)}`;
