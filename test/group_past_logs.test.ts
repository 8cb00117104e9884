/** Logs of before as a hostile relay shows them to a newcomer: whole, or not at all. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import {
  backedUp,
  converged,
  epochOf,
  eventually,
  group,
  insert,
  stillWork,
  titles,
  withDevices,
} from "./kit/group.ts";
import { memoryStorage } from "../src/client/mod.ts";
import { entries, isOperation } from "./kit/attack.ts";
import { restored } from "./kit/kept_group.ts";
import { withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { withRogue } from "./kit/rogue.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";

const host = quickHost(20);

const sequenced = (sequence: bigint, frame: Bytes): Bytes =>
  encodeFrame({
    type: FrameType.extension,
    payload: encodeExtension({ subtype: "sequenced", sequence, frame }),
  });

test("of a log of before that the relay and somebody with its keys have changed a newcomer takes nothing", () =>
  withRelay(({ url }) =>
    withHostile(url, (hostile) =>
      withDevices(async (kit) => {
        const kept = backedUp();
        const { devices: [a, b], invitation } = await group(kit, url, 2, { host });
        const c = kit.open({ url, invitation, storage: kept.storage, host });
        await c.client.ready;
        for (let i = 0; i < 4; i++) await insert(a!, `of a ${i}`);
        await converged([a!, b!, c], 4);
        await eventually(() => a!.client.pending === 0, "all is quiet");
        const stored = await kept.copy();
        await c.client.close();
        const changed = BigInt(epochOf(a!)!);
        await a!.client.rotate();
        await insert(a!, "in the next epoch");
        await converged([a!, b!], 5);
        // What it makes stands nowhere, but the relay can show it: in place of two operations.
        const instead = new Map<string, Bytes>();
        await withRogue({ url }, stored, async (rogue) => {
          await rogue.read();
          const [first, second] = rogue.entries.filter(({ frame }) => isOperation(frame));
          instead.set(hex(first!.frame), await rogue.announce());
          instead.set(hex(second!.frame), await rogue.operation("forged"));
        });
        let shown = 0;
        hostile.up = (_, victim) => {
          hostile.up = () => {};
          entries(hostile, victim, (sequence, frame) => {
            const other = instead.get(hex(frame));
            if (!other) return undefined;
            shown++;
            return [sequenced(sequence, other)];
          });
        };
        const inner = memoryStorage();
        const copies: Map<string, Bytes>[] = [];
        const storage = {
          load: () => inner.load(),
          save: async (changes: Parameters<typeof inner.save>[0]) => {
            await inner.save(changes);
            copies.push(await inner.load());
          },
        };
        const late = kit.open({ url: hostile.url, invitation, storage, host });
        await eventually(() => late.faults().includes("LOG_INCOMPLETE"), () => `${late.faults()}`);
        assertEquals(shown, 2, "it was shown them");
        await converged([a!, b!, late], 5);
        assert(!titles(late).includes("forged"));
        assert(!late.incoming.some(({ operation }) => operation.changes.title === "forged"));
        await stillWork([a!, b!, late], 5);
        // But for the commit that ended it, for when the relay loses that: until there is a checkpoint.
        const pasts = await Promise.all(copies.map(async (one) => (await restored(one)).past.all));
        assert(pasts.flat().some(({ number, shown }) => number === changed && shown));
      }))
  ));
