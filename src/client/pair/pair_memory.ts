/**
 * What a device of a pair keeps: who it is, how far its clock has come, and whom its people confirmed.
 *
 * In the storage: `node`, 16 bytes; `clock`, u64 that no counter has reached yet; `partner/` and a node
 * id in hex: u8 1 once the partner said yes too, then the bond.
 *
 * @module
 */
import { type Bytes, concat, hex, Reader, Writer } from "../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../wire/blaze/handshake.ts";
import { type DeviceStorage, Saver } from "../blaze/storage.ts";
import { BOND_LENGTH } from "./bond.ts";
import type { Bond } from "./partner.ts";

/** Partners remembered; the oldest is forgotten beyond. */
const MOST_PARTNERS = 16;
/** Counters are reserved in steps, so that not each operation has to be stored. */
const CLOCK_STEP = 1024n;
const PARTNER = "partner/";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

export class PairMemory {
  readonly #bonds = new Map<string, Bond>();
  #counter = 0n;
  #reserved = 0n;

  private constructor(
    /** 16 bytes. */
    readonly node: Bytes,
    readonly saver: Saver,
  ) {}

  /** Reads a storage. `node`: who the device is, instead of what is stored. */
  static async load(storage: DeviceStorage, node?: Bytes): Promise<PairMemory> {
    const saved = await storage.load();
    const kept = node ?? saved.get("node") ?? random(NODE_ID_LENGTH);
    const own = new Reader(kept).bytes(NODE_ID_LENGTH).slice();
    const memory = new PairMemory(own, new Saver(storage));
    memory.saver.set("node", memory.node);
    const clock = saved.get("clock");
    if (clock) memory.#counter = memory.#reserved = new Reader(clock).u64();
    for (const [key, bytes] of saved) {
      if (!key.startsWith(PARTNER)) continue;
      const r = new Reader(bytes);
      const settled = r.u8() === 1;
      const of = key.slice(PARTNER.length);
      memory.#bonds.set(of, {
        node: of,
        settled,
        secret: r.bytes(BOND_LENGTH).slice(),
      });
    }
    await memory.saver.flush();
    return memory;
  }

  /** The next counter: above all that were used or seen. */
  async tick(): Promise<bigint> {
    const counter = ++this.#counter;
    this.#reserve();
    await this.saver.flush();
    return counter;
  }

  /** Lamport: what we do next comes after everything we have seen. */
  seen(counter: bigint): void {
    if (counter > this.#counter) this.#counter = counter;
    this.#reserve();
  }

  /** The bond of the partner with this node id, or all, since it may have had to take another id. */
  bonds(node: Uint8Array): readonly Bond[] {
    const bond = this.#bonds.get(hex(node));
    return bond ? [bond] : [...this.#bonds.values()];
  }

  /** Whether a partner is remembered that remembers this device, too. */
  get settled(): boolean {
    return [...this.#bonds.values()].some(({ settled }) => settled);
  }

  /** Remembers a partner, in place of what was known of it. */
  keep(node: Uint8Array, secret: Bytes, settled = false): void {
    const key = hex(node);
    this.#bonds.delete(key);
    this.#bonds.set(key, { node: key, secret, settled });
    this.saver.set(PARTNER + key, concat(Uint8Array.of(settled ? 1 : 0), secret));
    if (this.#bonds.size > MOST_PARTNERS) this.#drop(this.#bonds.keys().next().value!);
  }

  /** The partner remembers this device, too, and has this node id now. */
  settle(node: Uint8Array, secret: Bytes): void {
    const before = [...this.#bonds.values()].find((bond) => bond.secret === secret);
    if (before?.node === hex(node) && before.settled) return;
    if (before) this.#drop(before.node);
    this.keep(node, secret, true);
  }

  /** Forgets every partner. */
  forget(): void {
    for (const key of [...this.#bonds.keys()]) this.#drop(key);
  }

  #drop(key: string): void {
    this.#bonds.delete(key);
    this.saver.set(PARTNER + key, undefined);
  }

  #reserve(): void {
    if (this.#counter <= this.#reserved) return;
    this.#reserved = this.#counter + CLOCK_STEP;
    this.saver.set("clock", new Writer(8).u64(this.#reserved).finish());
  }
}
