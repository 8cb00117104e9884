/** A member cannot silence another one: whoever is not heard any more speaks as another instance. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { checkpointParts, snapshotOf } from "../src/client/group/data/checkpoint.ts";
import { Sender } from "../src/client/group/e2e/sender.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { type Bytes, concat, hex } from "../src/wire/bytes.ts";
import {
  backedUp,
  converged,
  eventually,
  group,
  insert,
  stillWork,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { type Rogue, withRogue } from "./kit/rogue.ts";

/** The last counter that an instance has. */
const LAST = 2n ** 32n - 1n;

/** A hold in the name of an instance of somebody else's, with a counter behind which nothing comes. */
async function usedUp(rogue: Rogue, node: string): Promise<Bytes[]> {
  const speakers = rogue.log.speakers().filter((one) => hex(one.node) === node);
  return await Promise.all(speakers.map(async ({ node, instance }) => {
    const sender = await Sender.of(rogue.group.epoch!, node, instance, rogue.group.database);
    const nonce = new Uint8Array(12);
    nonce.set(sender.hint);
    new DataView(nonce.buffer).setBigUint64(4, LAST);
    const what = { type: FrameType.extension, subtype: Subtype.hold, compressed: false };
    const sealed = await sender.encrypt(nonce, what, Uint8Array.of(0x80));
    return deviceFrame(Subtype.hold, concat(Uint8Array.of(0), sealed));
  }));
}

/** A first part that names instances of somebody else's which are none, and that never goes on. */
async function named(rogue: Rogue, node: string): Promise<Bytes[]> {
  const { ring, sequence, hash } = rogue.log.cursor;
  const instances = Array.from(
    { length: 8 },
    () => ({ node, instance: hex(random(8)), counter: 0n }),
  );
  const base = { ring, sequence, hash, instances };
  const [part] = await checkpointParts(
    base,
    snapshotOf(new Map(), []),
    () => Promise.resolve(random(64)),
  );
  part![4] = 0;
  return [await (await rogue.voice).checkpoint(part!, false)];
}

const ways: Record<string, (rogue: Rogue, node: string) => Promise<Bytes[]>> = {
  "uses up its counters": usedUp,
  "names eight others in its place": named,
};

for (const [what, frames] of Object.entries(ways)) {
  test(`a device is heard again after a member ${what}`, () =>
    withRelay(({ url }) =>
      withDevices(async (kit) => {
        const host = quickHost(20);
        const kept = backedUp();
        const { devices: [a, b], invitation } = await group(kit, url, 2, { signed: true, host });
        const m = kit.open({ url, invitation, storage: kept.storage, host });
        await m.client.ready;
        await insert(b!, "before");
        await converged([a!, b!, m], 1);
        await eventually(() => b!.client.pending === 0, "all is quiet");
        await m.client.close();
        await withRogue({ url }, await kept.copy(), async (rogue) => {
          await rogue.read();
          assertEquals(await rogue.append(await rogue.announce()), "kept");
          for (const frame of await frames(rogue, await b!.client.node())) {
            assertEquals(await rogue.append(frame), "kept");
          }
        });
        await insert(b!, "after");
        await converged([a!, b!], 2);
        await eventually(() => b!.client.pending === 0, "a has said so");
        const devices: Told[] = [a!, b!];
        await stillWork(devices, 2);
        const late = kit.open({ url, invitation, host });
        await converged([...devices, late], 4);
      })
    ));
}
