/**
 * What a device of a pair keeps: who it is, how far its clock has come, and whom its people confirmed.
 *
 * In the storage: `node`, 16 bytes; `clock`, u64 that no counter has reached yet; `bond/` and a node id
 * in hex, or `half/` before the partner said yes too: u8 side, then the bond's 32 bytes.
 *
 * @module
 */
import { type Bytes, concat, hex, Reader, Writer } from "../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../wire/blaze/handshake.ts";
import { type DeviceStorage, Saver } from "../blaze/storage.ts";
import { BOND_LENGTH } from "./bond.ts";
import type { Bond } from "./partner.ts";

/** Partners remembered of each kind, settled and not; the oldest is forgotten beyond. */
const MOST_PARTNERS = 16;
/** Counters are reserved in steps, so that not each operation has to be stored. */
const CLOCK_STEP = 1024n;

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

export class PairMemory {
  readonly #settled: Bonds;
  /** Our side said yes, and nothing shows yet that the partner's did. */
  readonly #halves: Bonds;
  #counter = 0n;
  #reserved = 0n;

  private constructor(
    /** 16 bytes. */
    readonly node: Bytes,
    readonly saver: Saver,
  ) {
    this.#settled = new Bonds("bond/", saver);
    this.#halves = new Bonds("half/", saver);
  }

  /** Reads a storage. `node`: who the device is, instead of what is stored. */
  static async load(storage: DeviceStorage, node?: Bytes): Promise<PairMemory> {
    const saved = await storage.load();
    const kept = node ?? saved.get("node") ?? random(NODE_ID_LENGTH);
    const own = new Reader(kept).bytes(NODE_ID_LENGTH).slice();
    const memory = new PairMemory(own, new Saver(storage));
    memory.saver.set("node", memory.node);
    const clock = saved.get("clock");
    if (clock) memory.#counter = memory.#reserved = new Reader(clock).u64();
    memory.#settled.load(saved, true);
    memory.#halves.load(saved, false);
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

  /**
   * The settled bond of the partner with this node id, or all of them, since it may have had to take
   * another id. One that is not settled shows the node id that it was made with, and no other.
   */
  bonds(node: Uint8Array): readonly Bond[] {
    const [settled, half] = [this.#settled.of(node), this.#halves.of(node)];
    return [...settled ? [settled] : this.#settled.all(), ...half ? [half] : []];
  }

  /** Whether a partner is remembered that remembers this device, too. */
  get settled(): boolean {
    return this.#settled.all().length > 0;
  }

  /** Remembers a partner that our side said yes to, beside what is settled with it. */
  keep(bond: Bond): void {
    this.#halves.add(bond);
  }

  /**
   * The partner remembers this device, too, and has this node id now. Whoever was said yes to and did
   * not come to its own yes is nobody any more. A bond that was forgotten stays so.
   */
  settle(node: Uint8Array, bond: Bond): void {
    const held = bond.settled ? this.#settled : this.#halves;
    if (held.all().includes(bond)) {
      const settled = { ...bond, node: hex(node), settled: true };
      if (!bond.settled || bond.node !== settled.node) {
        held.drop(bond.node);
        this.#settled.add(settled);
      }
      this.#halves.clear();
    }
  }

  /** Forgets what is not settled with this node id. */
  decline(node: Uint8Array): void {
    this.#halves.drop(hex(node));
  }

  /** Forgets every partner. */
  forget(): void {
    this.#settled.clear();
    this.#halves.clear();
  }

  #reserve(): void {
    if (this.#counter <= this.#reserved) return;
    this.#reserved = this.#counter + CLOCK_STEP;
    this.saver.set("clock", new Writer(8).u64(this.#reserved).finish());
  }
}

/** Bonds by node id in hex, and where the storage has them. */
class Bonds {
  readonly #bonds = new Map<string, Bond>();

  constructor(private readonly prefix: string, private readonly saver: Saver) {}

  load(saved: ReadonlyMap<string, Bytes>, settled: boolean): void {
    for (const [key, bytes] of saved) {
      if (!key.startsWith(this.prefix)) continue;
      const r = new Reader(bytes);
      const side = r.u8() === 0 ? 0 : 1;
      const node = key.slice(this.prefix.length);
      this.#bonds.set(node, { node, side, secret: r.bytes(BOND_LENGTH).slice(), settled });
    }
  }

  of(node: Uint8Array): Bond | undefined {
    return this.#bonds.get(hex(node));
  }

  all(): Bond[] {
    return [...this.#bonds.values()];
  }

  /** In place of what was there of its node id. */
  add(bond: Bond): void {
    const { node, side, secret } = bond;
    this.#bonds.delete(node);
    this.#bonds.set(node, bond);
    this.saver.set(this.prefix + node, concat(Uint8Array.of(side), secret));
    if (this.#bonds.size > MOST_PARTNERS) this.drop(this.#bonds.keys().next().value!);
  }

  drop(node: string): void {
    if (this.#bonds.delete(node)) this.saver.set(this.prefix + node, undefined);
  }

  clear(): void {
    for (const node of [...this.#bonds.keys()]) this.drop(node);
  }
}
