/**
 * Devices that keep a log at a relay, over memory links with time that stands still.
 *
 * @module
 */
import type { Host } from "../../src/host.ts";
import type { Limits } from "../../src/limits.ts";
import { chainNext, chainStart } from "../../src/store/chain.ts";
import { MemoryStore } from "../../src/store/memory_store.ts";
import type { Append, LogStore } from "../../src/store/store.ts";
import { decodeFrame, encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { decodeFault } from "../../src/wire/blaze/control.ts";
import { decodeExtension, encodeExtension, Subtype } from "../../src/wire/blaze/extension.ts";
import { type Bytes, hex } from "../../src/wire/bytes.ts";
import { type Device, type JoinOptions, Lab, PROFILE } from "./blaze.ts";

/** A log of a number. */
export const logId = (n: number): Bytes => new Uint8Array(16).fill(n);
export const logKey = (n: number): Bytes => new Uint8Array(32).fill(n);

/** A sealed Operation that can be told from others. */
export const operation = (n: number, bytes = 4): Bytes => {
  const payload = new Uint8Array(Math.max(4, bytes));
  new DataView(payload.buffer).setUint32(0, n);
  return encodeFrame({ type: FrameType.operation, encrypted: true, payload });
};

/** A commit, which closes a log when its number is asked for. */
export const commit = (n: number): Bytes =>
  encodeFrame({
    type: FrameType.extension,
    payload: encodeExtension({
      subtype: "device",
      code: Subtype.commit,
      body: Uint8Array.of(n),
    }),
  });

/** A place in a log. */
export interface Cursor {
  readonly ring: Uint8Array;
  readonly sequence: bigint;
  readonly check: Uint8Array;
}

export const NOWHERE: Cursor = {
  ring: new Uint8Array(8),
  sequence: 0n,
  check: new Uint8Array(8),
};

/** Chain hashes of log `id` after each of its frames; the first is that of no frame. */
export function chain(id: Uint8Array, frames: readonly Uint8Array[]): Bytes[] {
  const hashes = [chainStart(hex(id))];
  for (const frame of frames) hashes.push(chainNext(hashes.at(-1)!, frame));
  return hashes;
}

/** What comes, in words: `recovered 1..3`, `gap 2..3`, `#1`, `live 3`, `accepted 2 to 3`, `error 4406`. */
export function said(message: Uint8Array): string {
  const { type, payload } = decodeFrame(message);
  if (type === FrameType.error) return `error ${decodeFault(payload).code}`;
  if (type !== FrameType.extension) return `type ${type}`;
  const one = decodeExtension(payload);
  switch (one.subtype) {
    case "recovered":
      return `${one.complete ? "recovered" : "gap"} ${one.first}..${one.last}`;
    case "sequenced":
      return `#${one.sequence}`;
    case "live":
      return `live ${one.sequence}`;
    case "accepted":
      return one.count === 0 ? `moved ${one.sequence}` : `accepted ${one.count} to ${one.sequence}`;
    default:
      return one.subtype;
  }
}

/** Says what one link says about logs. */
export function about(device: { send(message: Bytes): void }) {
  const extension = (payload: Uint8Array) =>
    device.send(encodeFrame({ type: FrameType.extension, payload }));
  return {
    open(n: number, from: Cursor = NOWHERE, key = logKey(n)): void {
      extension(encodeExtension({ subtype: "open", log: logId(n), key, ...from }));
    },
    append(frame: Uint8Array, sequence = 0n): void {
      extension(encodeExtension({ subtype: "sequenced", sequence, frame }));
    },
    truncate(sequence: bigint): void {
      extension(encodeExtension({ subtype: "truncate", sequence }));
    },
  };
}

/** A relay that keeps logs. */
export class LogLab extends Lab {
  readonly store: LogStore;

  constructor(
    changes: Partial<Limits> = {},
    make: (host: Host, limits: Limits) => LogStore = (host, limits) =>
      new MemoryStore(host, limits),
  ) {
    let made!: LogStore;
    super(changes, (host, limits) => made = make(host, limits));
    this.store = made;
  }

  /** A member of the profile that has said nothing yet. */
  member(node: number, options: JoinOptions = {}): Device {
    return this.join(node, PROFILE, options).forget();
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let i = 0; i < 30; i++) {
      for (let j = 0; j < 10; j++) await Promise.resolve();
      this.host.pass(0);
    }
  }
}

const INTRODUCTIONS = ["type 0", "joined", "left"];

/** Takes everything that came, in words; nothing of who comes and goes. */
export const heard = (device: Device): string[] =>
  device.received.splice(0).map(said).filter((one) => !INTRODUCTIONS.includes(one));

/** A store whose answers a test can hold back, or make fail. */
export class SlowStore extends MemoryStore {
  failing = false;
  #held: (() => void)[] | undefined;

  /** From now on nothing is answered until {@linkcode release}. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const run of held) run();
  }

  override async open(...args: Parameters<LogStore["open"]>) {
    await this.#turn();
    return await super.open(...args);
  }

  override async append(...args: [name: Parameters<LogStore["append"]>[0], append: Append]) {
    await this.#turn();
    return await super.append(...args);
  }

  override async read(...args: Parameters<LogStore["read"]>) {
    await this.#turn();
    return await super.read(...args);
  }

  async #turn(): Promise<void> {
    const held = this.#held;
    if (held) await new Promise<void>((resolve) => held.push(resolve));
    if (this.failing) throw new Error("no disk");
  }
}
