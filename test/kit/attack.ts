/**
 * Groups whose relay is hostile: what every attack needs.
 *
 * @module
 */
import {
  decodeExtension,
  encodeExtension,
  type Extension,
  framesIn,
} from "../../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import {
  converged,
  type DeviceKit,
  eventually,
  group,
  insert,
  stillWork,
  type Told,
  withDevices,
} from "./group.ts";
import type { NewGroupOptions } from "../../src/client/mod.ts";
import { type Hostile, type Victim, withHostile } from "./hostile.ts";
import { withRelay } from "./relay.ts";

type Message = Uint8Array<ArrayBuffer>;

/** Who takes part. */
export interface Attack {
  readonly relay: { readonly url: string };
  readonly hostile: Hostile;
  readonly kit: DeviceKit;
  readonly invitation: string;
  readonly a: Told;
  readonly b: Told;
  readonly toA: Victim;
  readonly toB: Victim;
}

/** Two devices that know each other, through a hostile relay that is still quiet. */
export const attack = (
  run: (parts: Attack) => Promise<void>,
  options: Partial<NewGroupOptions> = {},
) =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices, invitation } = await group(kit, hostile.url, 2, options);
        const [a, b] = devices as [Told, Told];
        await insert(a, "before");
        await converged([a, b], 1);
        await eventually(() => a.client.pending === 0, "all is quiet");
        const toA = hostile.victim(await a.client.node());
        const toB = hostile.victim(await b.client.node());
        await run({ relay, hostile, kit, invitation, a, b, toA, toB });
      }))
  );

export const word = (extension: Extension): Message =>
  encodeFrame({ type: FrameType.extension, payload: encodeExtension(extension) });

/** Replaces entries on their way to a victim; nothing for one that is to be dropped. */
export const entries = (
  hostile: Hostile,
  victim: Victim,
  change: (sequence: bigint, frame: Message) => Message[] | undefined,
) => {
  hostile.down = (message, to) => {
    if (to !== victim) return;
    let touched = false;
    const out = [...framesIn(message)].flatMap((one) => {
      const whole = one.slice();
      const { type, payload } = decodeFrame(whole);
      const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
      if (extension?.subtype !== "sequenced") return [whole];
      const changed = change(extension.sequence, extension.frame.slice());
      touched ||= changed !== undefined;
      return changed ?? [whole];
    });
    return touched ? out : undefined;
  };
};

export const isOperation = (frame: Message): boolean => (frame[2]! & 0x0f) === FrameType.operation;

/** The relay is honest again, and a device comes back to it. */
export async function healed(
  { hostile, a, b, toB }: Attack,
  already: number,
): Promise<void> {
  hostile.down = () => {};
  hostile.up = () => {};
  toB.close(1012);
  await stillWork([a, b], already);
}

/** What kind of frame a device appends: the subtype of an Extension, else its type, below 0. */
export function appended(message: Uint8Array): number | undefined {
  const { type, payload } = decodeFrame(message);
  if (type !== FrameType.extension) return undefined;
  const extension = decodeExtension(payload);
  if (extension.subtype !== "sequenced") return undefined;
  const { frame } = extension;
  const inside = decodeFrame(frame.slice());
  return inside.type === FrameType.extension ? inside.payload[0] : -inside.type;
}
