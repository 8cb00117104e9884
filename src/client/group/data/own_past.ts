/**
 * Ids of ours that left the queue before anybody else had them: given up for new ones, or too many to
 * wait one by one. Our records hold what they did, whatever the log says of their ids.
 *
 * In storage, as `given`: u64 counter up to which only a checkpoint of ours brings everything (0: no
 * need), u64 counters of the first and the last one that is in no log and u32 how many there are, then
 * u64 counter and link of the last 64.
 *
 * @module
 */
import { type Bytes, hex, Reader, Writer } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { type ChainHead, LINK_LENGTH } from "./link_vector.ts";

const KEY = "given";
const MAX_GIVEN = 64;

export class OwnPast {
  readonly #given = new Map<string, ChainHead>();
  #owed = 0n;
  /** Those that no log ever had: only here, until a checkpoint of ours stands. */
  #first = 0n;
  #last = 0n;
  #only = 0;
  /** Runs when nothing is owed any more. */
  onSettled: () => void = () => {};

  constructor(private readonly saver: Saver) {}

  /** Something of ours is in no log: only a checkpoint brings it. */
  get owes(): boolean {
    return this.#owed > 0n;
  }

  /** How many are in no log. */
  get only(): number {
    return this.#only;
  }

  /** Whether it is one of them, or was made between the first and the last of them. */
  isOnly(counter: bigint): boolean {
    return this.#only > 0 && counter >= this.#first && counter <= this.#last;
  }

  has(head: ChainHead): boolean {
    return this.#given.has(idOf(head));
  }

  /** `owed`: it has no new id either; `logged`: the present log has it. */
  add(head: ChainHead, owed: boolean, logged = false): void {
    this.#given.set(idOf(head), head);
    if (this.#given.size > MAX_GIVEN) this.#given.delete(this.#given.keys().next().value!);
    if (owed) this.#owed = head.counter;
    if (owed && !logged) {
      if (this.#only++ === 0) this.#first = head.counter;
      this.#last = head.counter;
    }
    this.#save();
  }

  /** A checkpoint of ours has everything of ours up to this counter. */
  settle(counter: bigint): void {
    if (!this.owes || counter < this.#owed) return;
    this.#owed = 0n;
    this.#only = 0;
    this.#save();
    this.onSettled();
  }

  /** Takes what was saved. Throws `TRUNCATED`. */
  restore(saved: ReadonlyMap<string, Bytes>): void {
    const bytes = saved.get(KEY);
    if (!bytes) return;
    const r = new Reader(bytes);
    this.#owed = r.u64();
    this.#first = r.u64();
    this.#last = r.u64();
    this.#only = r.u32();
    while (r.left > 0) {
      const head = { counter: r.u64(), link: r.bytes(LINK_LENGTH).slice() };
      this.#given.set(idOf(head), head);
    }
  }

  #save(): void {
    const w = new Writer(64).u64(this.#owed).u64(this.#first).u64(this.#last).u32(this.#only);
    for (const { counter, link } of this.#given.values()) w.u64(counter).bytes(link);
    this.saver.set(KEY, w.finish());
  }
}

const idOf = ({ counter, link }: ChainHead): string => `${counter}:${hex(link)}`;
