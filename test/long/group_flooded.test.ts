/** Doors and logs of before that somebody has filled, up to the last byte or with what is none. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { random } from "../../src/client/group/e2e/derive.ts";
import { deviceFrame } from "../../src/client/group/log/log_entries.ts";
import { referenceOf } from "../../src/client/group/mls/key_package.ts";
import { Subtype } from "../../src/wire/blaze/extension.ts";
import { forgetful } from "../kit/forgetful.ts";
import {
  backedUp,
  eventually,
  group,
  insert,
  joined,
  titles,
  type Told,
  withDevices,
} from "../kit/group.ts";
import { restored } from "../kit/kept_group.ts";
import { quickHost } from "../kit/quick_host.ts";
import { withRelay } from "../kit/relay.ts";
import { Outsider, withRogue } from "../kit/rogue.ts";
import { doorOf, fill, knockAt, losses, passed, quiet, squatted, targetOf } from "../kit/squat.ts";

const host = quickHost(20);

/** They keep their links while they write, and while time passes. */
async function stayConnected(members: readonly Told[]): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await quiet(members);
    await passed(host, 4_000);
  }
  const lost = members.map(losses);
  assert(lost.every((count) => count <= 2), `links lost: ${lost}`);
}

test("a door without room for a welcome costs members no links", () =>
  withRelay(async (relay) => {
    await withDevices(async (kit) => {
      const options = { url: relay.url, host };
      const [ofA, ofB] = [backedUp(), backedUp()];
      const { devices: [first], invitation } = await group(kit, relay.url, 1, {
        host,
        storage: ofA.storage,
      });
      const second = kit.open({ ...options, invitation, storage: ofB.storage });
      await second.client.ready;
      const text = await first!.client.invite({ minutes: 60 });
      await quiet([first!, second]);
      for (const { client } of [first!, second]) await client.close();
      const n = kit.open({ ...options, invitation: text });
      await eventually(() => n.client.state === "waiting", "it waits");
      await n.client.close();
      const { room, id } = await restored(await ofA.copy());
      const outsider = await Outsider.into(relay, room);
      assertEquals(await outsider.open(targetOf(await doorOf(text, id))), "ok");
      await fill(outsider, (length) => deviceFrame(Subtype.welcome, random(length)));
      outsider.close();
      const a = kit.open({ ...options, storage: ofA.storage });
      const b = kit.open({ ...options, storage: ofB.storage });
      await eventually(() => a.client.devices().length === 3, "it is let in", 10_000);
      await insert(a, "of a");
      await eventually(() => titles(b).includes("of a"), () => `${b.client.state}`, 10_000);
      await stayConnected([a, b]);
    });
  }, { limits: { logBytes: 131_072 } }));

test("a log of before without room for a commit costs members no links", async () => {
  const { store, forget } = forgetful({ logBytes: 131_072 });
  await withRelay((relay) =>
    withDevices(async (kit) => {
      const { stolen, log, back } = await squatted(kit, { url: relay.url, host }, {
        awaits: true,
      });
      forget();
      await withRogue(relay, stolen, async (rogue) => {
        assertEquals(await rogue.open(log), "ok");
        await fill(rogue, (length) => rogue.seal(random(length)));
        const members = back();
        await quiet(members);
        await stayConnected(members);
      });
    }), { store });
});

test("a newcomer finds its welcome behind any number of others that are none", () =>
  withRelay(async (relay) => {
    await withDevices(async (kit) => {
      const options = { url: relay.url, host };
      const kept = backedUp();
      const { devices: [first] } = await group(kit, relay.url, 1, { host, storage: kept.storage });
      const text = await first!.client.invite({ minutes: 60 });
      await first!.client.close();
      const n = kit.open({ ...options, invitation: text });
      await eventually(() => n.client.state === "waiting", "it waits");
      const { room, id } = await restored(await kept.copy());
      const outsider = await Outsider.into(relay, room);
      const door = await doorOf(text, id);
      const reference = await referenceOf(await knockAt(outsider, door));
      // More than the names of refused ones that a newcomer keeps.
      for (let i = 0; i < 1_010; i++) {
        const body = await door.sealWelcome({ reference, message: random(16) });
        assertEquals(await outsider.append(deviceFrame(Subtype.welcome, body)), "kept");
      }
      outsider.close();
      const a = kit.open({ ...options, storage: kept.storage });
      await eventually(() => a.client.devices().length === 2, "it is let in", 10_000);
      await eventually(() => joined(n), () => `${n.client.state} ${n.faults().length}`, 20_000);
      await quiet([a, n]);
    });
  }));
