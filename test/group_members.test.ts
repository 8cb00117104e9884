/**
 * Members that want harm, and devices that were members: what each can do ends somewhere.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { NewGroupOptions } from "../src/client/mod.ts";
import { checkpointParts, snapshotOf } from "../src/client/group/checkpoint.ts";
import { Holds } from "../src/client/group/holds.ts";
import { Ledger } from "../src/client/group/ledger.ts";
import { backedUp, converged, eventually, group, insert, withDevices } from "./kit/group.ts";
import type { DeviceKit, Told } from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { type Rogue, withRogue } from "./kit/rogue.ts";

/** A device, and somebody with the keys of another one, who has announced itself. */
const beside = (
  run: (parts: { kit: DeviceKit; a: Told; rogue: Rogue }) => Promise<void>,
  options: Partial<NewGroupOptions> = {},
) =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a], invitation } = await group(kit, relay.url, 1, options);
      const { storage, copy } = backedUp();
      const b = kit.open({ url: relay.url, invitation, storage });
      await b.client.ready;
      await insert(a!, "before");
      await converged([a!, b], 1);
      await eventually(() => a!.client.pending === 0, "b has said so");
      await b.client.close();
      await withRogue(relay, await copy(), async (rogue) => {
        await rogue.read();
        assertEquals(await rogue.append(await rogue.announce()), "kept");
        await run({ kit, a: a!, rogue });
      });
    })
  );

test("invitations that have expired are listed no more, and make room for others", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a] } = await group(kit, relay.url, 1);
      for (let i = 0; i < 31; i++) await a!.client.invite({ minutes: -1 });
      // The permanent one stands.
      assertEquals(a!.client.invitations().map(({ expires }) => expires), [undefined]);
      const invitation = await a!.client.invite();
      assertEquals(a!.client.invitations().length, 2);
      const b = kit.open({ url: relay.url, invitation });
      await b.client.ready;
    })
  ));

test("one hold of a device is honoured in a minute, and none draws out another one", () => {
  const holds = new Holds();
  assert(holds.honours("a", 0));
  assert(!holds.honours("b", 14_999));
  assert(holds.honours("b", 15_000));
  assert(!holds.honours("a", 30_000));
  assert(!holds.honours("a", 59_999));
  assert(holds.honours("a", 60_000));
  assert(!holds.honours("b", 75_000 - 1));
});

test("somebody who asks for silence all the time does not keep a device from writing", () =>
  beside(async ({ a, rogue }) => {
    const voice = await rogue.voice;
    assertEquals(await rogue.append(await voice.hold()), "kept");
    await rogue.append(await rogue.operation("behind it"));
    await eventually(() => a.client.collection("bugs").list().length === 2, "a has read it");
    await insert(a, "held");
    for (let asked = 0; a.client.counts.local > 0; asked++) {
      assert(asked < 100, "it never went out");
      assertEquals(await rogue.append(await voice.hold()), "kept");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }, { host: quickHost(20) }));

test("first parts of checkpoints cost no digest each", async () => {
  const { digest } = Ledger.prototype;
  let digests = 0;
  Ledger.prototype.digest = function (this: Ledger) {
    digests++;
    return digest.call(this);
  };
  try {
    await beside(async ({ a, rogue }) => {
      digests = 0;
      const { ring, sequence, hash } = rogue.log.cursor;
      const [part] = await checkpointParts(
        { ring, sequence, hash, instances: [] },
        snapshotOf(new Map(), []),
        () => Promise.resolve(new Uint8Array(64)),
      );
      // Another one is to follow.
      part![4] = 0;
      const voice = await rogue.voice;
      for (let i = 0; i < 20; i++) await rogue.append(await voice.checkpoint(part!, false));
      await rogue.append(await rogue.operation("behind them"));
      await eventually(() => a.client.collection("bugs").list().length === 2, "a has read all");
      assertEquals(digests, 1);
    });
  } finally {
    Ledger.prototype.digest = digest;
  }
});
