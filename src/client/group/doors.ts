/**
 * Doors: small logs in which somebody asks to be let in, and is answered. A visit reads one to its end.
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../wire/bytes.ts";
import { decodeExtension, Subtype } from "../../wire/blaze/extension.ts";
import { decodeFrame, FrameType } from "../../wire/blaze/blaze_frame.ts";
import { digest } from "./e2e/derive.ts";
import { deviceFrame } from "./log_entries.ts";
import { type Cursor, type LogLink, type LogListener, NO_RING } from "./log_link.ts";
import type { DoorWelcome, GroupDoor } from "./mls/door.ts";
import { referenceOf } from "./mls/key_package.ts";

/** Entries of one door that are looked at: whoever holds the text can write into it. */
const MOST_ENTRIES = 4_096;

/** What somebody who reads a door hears. */
export interface DoorEvents {
  /** MLSMessage of a key package, and its reference in hex. */
  knock(keyPackage: Bytes, reference: string): void;
  welcome(welcome: DoorWelcome, reference: string, frame: Bytes): void | Promise<void>;
}

/** Where a door's log begins. */
export async function doorStart(door: GroupDoor): Promise<Cursor> {
  return { ring: NO_RING, sequence: 0n, hash: await digest("BX2 log", door.logId) };
}

/** Reads a door. What is not sealed for it is nobody's. */
export class DoorReader implements LogListener {
  #entries = 0;

  constructor(
    private readonly door: GroupDoor,
    private readonly events: DoorEvents,
    /** Hears why an entry is left out. Junk in a door harms nobody. */
    private readonly refused: (error: unknown) => void = () => {},
  ) {}

  opened(): void {}

  async entry(_sequence: bigint, frame: Bytes): Promise<void> {
    if (++this.#entries > MOST_ENTRIES) return;
    try {
      await this.#take(frame);
    } catch (error) {
      this.refused(error);
    }
  }

  live(): void {}

  async #take(frame: Bytes): Promise<void> {
    const { type, payload } = decodeFrame(frame);
    const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
    if (extension?.subtype !== "device") return;
    const { code, body } = extension;
    if (code === Subtype.knock) {
      const keyPackage = await this.door.openKnock(body);
      this.events.knock(keyPackage, hex(await referenceOf(keyPackage)));
    } else if (code === Subtype.welcome) {
      const welcome = await this.door.openWelcome(body);
      await this.events.welcome(welcome, hex(welcome.reference), frame);
    }
  }
}

/** What stands in a door. */
export interface DoorContents {
  /** Key packages that nobody has answered, oldest first. */
  readonly knocks: readonly Bytes[];
  /** Whether the welcome that was looked for stands there. */
  readonly found: boolean;
}

/** Reads a door to its end, also for this `welcome` frame. Rejects as `LogLink.open` does. */
export async function look(
  door: GroupDoor,
  log: LogLink,
  welcome?: Uint8Array,
): Promise<DoorContents> {
  const knocks = new Map<string, Bytes>();
  let found = false;
  const reader = new DoorReader(door, {
    knock: (keyPackage, reference) => void knocks.set(reference, keyPackage),
    welcome: (_, reference, frame) => {
      knocks.delete(reference);
      found ||= welcome !== undefined && sameBytes(frame, welcome);
    },
  });
  await log.open({ id: door.logId, key: door.logKey }, await doorStart(door), reader);
  return { knocks: [...knocks.values()], found };
}

export const knockFrame = async (door: GroupDoor, keyPackage: Uint8Array): Promise<Bytes> =>
  deviceFrame(Subtype.knock, await door.sealKnock(keyPackage));
