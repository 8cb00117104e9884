/**
 * Devices that share a log, without links, keys or relays: what a session does with a `Ledger`, in the order in
 * which it does it. The log can be lost, storage can be an older copy, and one device can run twice.
 *
 * @module
 */
import { memoryStorage, Saver } from "../../src/client/blaze/storage.ts";
import {
  CheckpointAssembly,
  checkpointParts,
  decodeCheckpoint,
  snapshotOf,
} from "../../src/client/group/data/checkpoint.ts";
import { decodeLinked } from "../../src/client/group/data/linked_body.ts";
import { includes, type LinkVector } from "../../src/client/group/data/link_vector.ts";
import { Ledger, type Taken } from "../../src/client/group/data/ledger.ts";
import { type Bytes, hex, Reader, Writer } from "../../src/wire/bytes.ts";
import { type FieldsInput, Uuid } from "../../src/wire/blaze/blaze_record.ts";
import type { Operation, OperationKind } from "../../src/wire/blaze/operation.ts";
import { encodeLinks } from "./filled.ts";

export type WorldEntry =
  | { readonly kind: "operation"; readonly author: string; readonly body: Bytes }
  | { readonly kind: "announce"; readonly author: string; readonly vector: LinkVector }
  | { readonly kind: "first"; readonly upload: number }
  | { readonly kind: "checkpoint"; readonly upload: number; readonly parts: readonly Bytes[] };

/** A log that can lose its memory. */
export class WorldLog {
  ring = 1;
  first = 1;
  entries: WorldEntry[] = [];

  get last(): number {
    return this.first + this.entries.length - 1;
  }

  at(sequence: number): WorldEntry | undefined {
    return this.entries[sequence - this.first];
  }

  append(entry: WorldEntry): void {
    this.entries.push(entry);
  }

  truncate(first: number): void {
    if (first <= this.first) return;
    this.entries.splice(0, first - this.first);
    this.first = first;
  }

  lose(): void {
    this.ring++;
    this.first = 1;
    this.entries = [];
  }
}

/** Everything that a ledger must not lose over a restart. */
export const stateOf = (ledger: Ledger): unknown[] => [
  hex(snapshotOf(ledger.vector, ledger.replica.all()).bytes),
  hex(encodeLinks(ledger.having)),
  [...ledger.waiting].map(({ bytes, logged }) => `${logged} ${hex(bytes)}`),
  [ledger.clock, ledger.missing, ledger.stale, ledger.owes],
];

export interface Counted {
  readonly ring: number;
  readonly author: string;
  readonly counter: bigint;
  readonly link: string;
  readonly by: string;
}

/** One run of one device. Two of them may have one node id. */
export class WorldDevice {
  ledger!: Ledger;
  cursor = 0;
  ring = 0;
  /** What the log has since its ring began, as far as it was read. */
  known = new Map<string, { counter: bigint; link: Bytes }>();
  /** Our digest where an upload began. */
  readonly bases = new Map<number, string | undefined>();
  /** Our records have more than the last checkpoint. */
  more = false;
  /** A write of the storage fails. */
  broken = false;
  readonly node: string;
  #saver!: Saver;

  constructor(
    readonly name: string,
    readonly id: Uint8Array,
    private readonly log: WorldLog,
    readonly counted: Counted[],
    public stored: Map<string, Bytes> = new Map(),
    private readonly most = 1_000,
  ) {
    this.node = hex(id);
  }

  /** Begins from what is stored. */
  async start(): Promise<this> {
    this.#saver = new Saver({
      load: () => Promise.resolve(new Map(this.stored)),
      save: (changes) => {
        if (this.broken) return Promise.reject(new Error("the disk is full"));
        const next = new Map(this.stored);
        for (const [key, value] of changes) {
          if (value) next.set(key, value.slice());
          else next.delete(key);
        }
        this.stored = next;
        return Promise.resolve();
      },
    });
    const saved = new Map(this.stored);
    this.ledger = await Ledger.of(this.#saver, saved, { node: this.id, most: this.most });
    const at = saved.get("cursor");
    const r = at && new Reader(at);
    this.ring = r ? r.u32() : 0;
    this.cursor = r ? r.u32() : 0;
    this.known = new Map();
    this.bases.clear();
    this.more = this.ring !== 0;
    return this;
  }

  async save(): Promise<void> {
    this.#saver.set("cursor", new Writer(8).u32(this.ring).u32(this.cursor).finish());
    await this.#saver.flush().catch(() => {});
  }

  /** What there would be after a restart, without one: records, vectors and what waits. */
  async asStored(): Promise<unknown[]> {
    const saver = new Saver(memoryStorage());
    const options = { node: this.id, most: this.most };
    return stateOf(await Ledger.of(saver, new Map(this.stored), options));
  }

  async write(kind: OperationKind, record: number, changes: FieldsInput): Promise<Operation> {
    const id = new Uuid(0n, BigInt(record));
    const { operation } = await this.ledger.write(kind, "bugs", id, changes);
    await this.save();
    return operation;
  }

  /** Connects: finds out what has become of the log. */
  #open(): void {
    const gap = this.ring !== this.log.ring || this.cursor > this.log.last;
    if (!gap) {
      if (this.cursor < this.log.first - 1) this.cursor = this.log.first - 1;
      return;
    }
    if (this.ring !== 0) this.more = true;
    this.ring = this.log.ring;
    this.cursor = this.log.first - 1;
    this.known = new Map();
    this.bases.clear();
    this.ledger.unlogged();
  }

  /** Reads on, at most so many entries. */
  async read(most = Infinity): Promise<void> {
    this.#open();
    for (; most > 0 && this.cursor < this.log.last; most--) {
      const entry = this.log.at(this.cursor + 1)!;
      await this.#take(entry);
      this.cursor++;
    }
    await this.save();
  }

  async #take(entry: WorldEntry): Promise<void> {
    if (entry.kind === "operation") {
      const body = await decodeLinked(entry.body);
      const taken: Taken = this.ledger.take(entry.author, body);
      const { counter } = body.operation;
      if (taken.kind !== "counts") return;
      this.known.set(entry.author, { counter, link: body.link });
      const { ring, name: by } = this;
      this.counted.push({ ring, author: entry.author, counter, link: hex(body.link), by });
    } else if (entry.kind === "announce") {
      if (this.ledger.covered(entry.author, entry.vector)) await this.ledger.renumber();
    } else if (entry.kind === "first") {
      const comparable = this.ledger.settled && !this.ledger.missing;
      this.bases.set(entry.upload, comparable ? hex(await this.ledger.digest()) : undefined);
    } else await this.#absorb(entry.upload, entry.parts);
  }

  async #absorb(upload: number, parts: readonly Bytes[]): Promise<void> {
    const assembly = new CheckpointAssembly(1 << 24);
    let whole: Bytes | undefined;
    for (const part of parts) whole = assembly.take("somebody", part);
    const checkpoint = await decodeCheckpoint(whole!);
    const before = this.bases.get(upload);
    if (before === undefined) this.more = true;
    else this.more = before !== hex(checkpoint.digest);
    this.ledger.absorb(checkpoint.vector, checkpoint.states);
    for (const [node, head] of checkpoint.vector) {
      if (head.counter >= (this.known.get(node)?.counter ?? 0n)) this.known.set(node, head);
    }
  }

  get caughtUp(): boolean {
    return this.ring === this.log.ring && this.cursor === this.log.last;
  }

  /** Appends what waits; only at the head, so many at most. `false`: nothing does. */
  async append(most = Infinity): Promise<boolean> {
    this.#open();
    if (this.ledger.stale) {
      await this.ledger.renumber();
      await this.save();
    }
    const waiting = [...this.ledger.waiting].filter(({ logged }) => !logged).slice(0, most);
    for (const { bytes } of waiting) {
      this.log.append({ kind: "operation", author: this.node, body: bytes });
    }
    return waiting.length > 0;
  }

  announce(): void {
    this.#open();
    this.log.append({ kind: "announce", author: this.node, vector: this.ledger.having });
  }

  /** Whether the log has all that we have. */
  get logCovers(): boolean {
    return includes(this.known, this.ledger.vector);
  }

  /** What an upload consists of, from here; nothing if it is not the time. */
  async upload(number: number, evenIfMissing = false): Promise<WorldEntry | undefined> {
    const { ledger } = this;
    if (!this.caughtUp || !ledger.settled || (ledger.missing && !evenIfMissing)) return undefined;
    const base = {
      ring: new Uint8Array(8).fill(this.ring),
      sequence: BigInt(this.cursor),
      hash: new Uint8Array(32),
      instances: [],
    };
    const contents = ledger.contents();
    this.log.append({ kind: "first", upload: number });
    const parts = await checkpointParts(base, contents, () => Promise.resolve(new Uint8Array(64)));
    return { kind: "checkpoint", upload: number, parts };
  }
}
