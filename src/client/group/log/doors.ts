/**
 * Doors: small logs in which somebody asks to be let in, and is answered. A visit reads one to its end.
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { decodeExtension, Subtype } from "../../../wire/blaze/extension.ts";
import { decodeFrame, FrameType } from "../../../wire/blaze/blaze_frame.ts";
import { digest } from "../e2e/derive.ts";
import { deviceFrame } from "./log_entries.ts";
import { chained } from "./epoch_log.ts";
import {
  type Cursor,
  goesOn,
  type LogLink,
  type LogListener,
  NO_RING,
  type Opened,
} from "./log_link.ts";
import type { DoorWelcome, GroupDoor } from "../mls/door.ts";
import { referenceOf } from "../mls/key_package.ts";

/** Knocks of one door that are kept, the newest. */
const MOST_KNOCKS = 64;

/** What somebody who reads a door hears. */
export interface DoorEvents {
  /** MLSMessage of a key package, and its reference in hex. */
  knock(keyPackage: Bytes, reference: string): void | Promise<void>;
  welcome(
    welcome: DoorWelcome,
    reference: string,
    frame: Bytes,
    sequence: bigint,
  ): void | Promise<void>;
}

/** Where a door's log begins. */
export async function doorStart(door: GroupDoor): Promise<Cursor> {
  return { ring: NO_RING, sequence: 0n, hash: await digest("BX2 log", door.logId) };
}

/**
 * Reads a door, however much stands there: whoever held its keys once can fill it with what is nobody's,
 * and what is asked and answered may come behind that.
 */
export class DoorReader implements LogListener {
  constructor(
    private readonly door: GroupDoor,
    private readonly events: DoorEvents,
    /** Hears why a welcome is left out. Junk in a door harms nobody, and is told to nobody. */
    private readonly refused: (error: unknown) => void = () => {},
  ) {}

  opened(): void {}

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    const tell = await this.#read(sequence, frame).catch(() => undefined);
    try {
      await tell?.();
    } catch (error) {
      this.refused(error);
    }
  }

  live(): void {}

  /** What is to be told of an entry, if it is sealed for this door. */
  async #read(sequence: bigint, frame: Bytes): Promise<(() => void | Promise<void>) | undefined> {
    const { type, payload } = decodeFrame(frame);
    const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
    if (extension?.subtype !== "device") return undefined;
    const { code, body } = extension;
    if (code === Subtype.knock) {
      const keyPackage = await this.door.openKnock(body);
      const reference = hex(await referenceOf(keyPackage));
      return () => this.events.knock(keyPackage, reference);
    }
    if (code !== Subtype.welcome) return undefined;
    const welcome = await this.door.openWelcome(body);
    return () => this.events.welcome(welcome, hex(welcome.reference), frame, sequence);
  }
}

/**
 * Somebody who looks into a door now and then: each entry is read once.
 *
 * What is answered there is not asked of it: whoever holds the text could write answers that are none.
 * Who is let in is a member, and that is seen there.
 */
export class DoorWatch implements LogListener {
  #cursor: Cursor | undefined;
  /** Key packages that were brought, by reference in hex, oldest first. */
  readonly #knocks = new Map<string, Bytes>();
  /** Of these, those that are being answered. */
  readonly #taken = new Set<Bytes>();
  /** More were brought than are kept. */
  #crowded = false;
  readonly #reader: DoorReader;

  /** `keeps`: whether a key package may be one to let in; others crowd out none that is. */
  constructor(
    readonly door: GroupDoor,
    keeps: (keyPackage: Bytes) => boolean | Promise<boolean> = () => true,
  ) {
    this.#reader = new DoorReader(door, {
      knock: async (keyPackage, reference) => {
        if (this.#knocks.has(reference) || !await keeps(keyPackage)) return;
        this.#knocks.set(reference, keyPackage);
        if (this.#knocks.size <= MOST_KNOCKS) return;
        this.#crowded = true;
        this.#knocks.delete(this.#knocks.keys().next().value!);
      },
      welcome: () => {},
    });
  }

  /** Those that were crowded out are to be read now: all others are served. */
  get crowded(): boolean {
    return this.#crowded && this.#knocks.size === 0;
  }

  /** Reads what has come since the last visit. Rejects as `LogLink.open` does. */
  async look(log: LogLink): Promise<readonly Bytes[]> {
    if (this.crowded || !this.#cursor) this.#cursor = await doorStart(this.door);
    if (this.#knocks.size === 0) this.#crowded = false;
    await log.open({ id: this.door.logId, key: this.door.logKey }, this.#cursor, this);
    return [...this.#knocks.values()];
  }

  /** Those to be answered next, the newest first: with what was taken before, so many at a time. */
  take(most: number): Bytes[] {
    const waiting = [...this.#knocks.values()].filter((one) => !this.#taken.has(one)).reverse();
    const next = waiting.slice(0, Math.max(0, most - this.#taken.size));
    for (const one of next) this.#taken.add(one);
    return next;
  }

  /** This one was taken, and may be once more. */
  release(keyPackage: Bytes): void {
    this.#taken.delete(keyPackage);
  }

  /** This one came to nothing, or is let in. */
  done(keyPackage: Bytes): void {
    this.release(keyPackage);
    for (const [reference, one] of this.#knocks) {
      if (sameBytes(one, keyPackage)) this.#knocks.delete(reference);
    }
  }

  opened(answer: Opened): void {
    const ring = answer.ring.slice();
    if (goesOn(this.#cursor!, answer)) this.#cursor = { ...this.#cursor!, ring };
    else this.#cursor = { ring, sequence: answer.first - 1n, hash: answer.hash.slice() };
  }

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    const { ring, hash } = this.#cursor!;
    this.#cursor = { ring, sequence, hash: await chained(hash, frame) };
    await this.#reader.entry(sequence, frame);
  }

  live(): void {}
}

/** Which of these very welcomes do not stand in a door, which stays open. Rejects as `LogLink.open` does. */
export async function lacking(
  door: GroupDoor,
  log: LogLink,
  welcomes: readonly Bytes[],
): Promise<readonly Bytes[]> {
  const left = new Map(welcomes.map((welcome) => [hex(welcome), welcome]));
  const reader = new DoorReader(door, {
    knock: () => {},
    welcome: (_, __, frame) => void left.delete(hex(frame)),
  });
  await log.open({ id: door.logId, key: door.logKey }, await doorStart(door), reader);
  return [...left.values()];
}

export const knockFrame = async (door: GroupDoor, keyPackage: Uint8Array): Promise<Bytes> =>
  deviceFrame(Subtype.knock, await door.sealKnock(keyPackage));
