/** Devices that were removed: what they do when they start again, and what the others keep. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { memoryStorage } from "../src/client/mod.ts";
import {
  converged,
  count,
  eventually,
  group,
  insert,
  stillWork,
  titles,
  type Told,
  twoStored,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { appended } from "./kit/attack.ts";
import { withHostile } from "./kit/hostile.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";

for (const signed of [false, true]) {
  const kind = signed ? ", and signs" : "";
  test(`a removed device stays out when it starts again, and comes in as a new one${kind}`, () =>
    withRelay((relay) =>
      withHostile(relay.url, (hostile) =>
        withDevices(async (kit) => {
          const storage = memoryStorage();
          const { devices: [a], invitation } = await group(kit, relay.url, 1, { signed });
          const b = kit.open({ url: hostile.url, invitation, storage });
          await b.client.ready;
          await insert(a!, "of a");
          await converged([a!, b], 1);
          const before = await b.client.node();
          await a!.client.remove(before);
          await eventually(() => wasRemoved(b), "it knows");
          await b.client.close();

          const links = hostile.victims.length;
          for (let i = 0; i < 2; i++) {
            const again = kit.open({ url: hostile.url, storage });
            assertEquals(await refusal(() => again.client.ready), "REMOVED");
            assertEquals(await refusal(() => insert(again, "nobody's")), "REMOVED");
            assert(wasRemoved(again), "it is told");
            await again.client.close();
          }
          assertEquals(hostile.victims.length, links, "it asks the relay for nothing");

          const back = kit.open({
            url: hostile.url,
            storage,
            invitation: await a!.client.invite(),
          });
          await back.client.ready;
          assert(await back.client.node() !== before, "as another device");
          assertEquals(count(a!), 2);
          await stillWork([a!, back], 1);
          await back.client.close();
          // And is that one from now on.
          const once = kit.open({ url: hostile.url, storage });
          await once.client.ready;
          await stillWork([a!, once], 3);
        }))
    ));

  test(`what a device wrote before it knew of its removal comes with it when it is back${kind}`, () =>
    withRelay((relay) =>
      withDevices(async (kit) => {
        for (const already of [0, 2]) {
          const storage = memoryStorage();
          const database = `after ${already}`;
          const { devices: [a], invitation } = await group(kit, relay.url, 1, { signed, database });
          const b = kit.open({ url: relay.url, invitation, storage });
          await b.client.ready;
          for (let i = 0; i < already; i++) await insert(b, `of b ${i}`);
          await converged([a!, b], already);
          await eventually(() => b.client.pending === 0, "a has said so");
          await b.client.close();
          await a!.client.remove(await b.client.node());
          const away = kit.open({ url: "ws://127.0.0.1:1", storage });
          await insert(away, "offline 1");
          await insert(away, "offline 2");
          await away.client.close();
          const told = kit.open({ url: relay.url, storage });
          await eventually(() => wasRemoved(told), "it knows");
          await told.client.close();
          assertEquals(titles(a!).length, already);
          const back = kit.open({ url: relay.url, storage, invitation: await a!.client.invite() });
          await back.client.ready;
          await converged([a!, back], already + 2);
          await eventually(() => back.client.pending === 0, "a has said so");
          await stillWork([a!, back], already + 2);
          assertEquals([a!.faults(), back.faults()], [[], []]);
        }
      })
    ));
}

test("a newcomer after a removal has all data, also what the removed device wrote", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices } = await group(kit, hostile.url, 3, { signed: true });
        const [a, b, c] = devices as [Told, Told, Told];
        for (const one of devices) for (let i = 0; i < 3; i++) await insert(one, `${i}`);
        await converged(devices, 9);
        const parts = () =>
          hostile.seen.filter(({ up, message }) => up && appended(message) === Subtype.checkpoint)
            .length;
        assertEquals(parts(), 0);
        await a.client.remove(await c.client.node());
        await eventually(() => count(b) === 2, "it is removed");
        // By all who are here, so that nobody depends on what the removed one can still write.
        await eventually(() => parts() > 0, "a checkpoint follows");
        const late = kit.open({ url: hostile.url, invitation: await a.client.invite() });
        await converged([a, b, late], 9);
        await stillWork([a, b, late], 9);
        assertEquals([a, b, late].map((one) => one.faults()), [[], [], []]);
      }))
  ));

test("a newcomer after a removal reads it all, though the removed device's keys are in use", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { a, b } = await twoStored(kit, relay.url);
      await insert(b, "of b");
      await converged([a, b], 1);
      await a.client.remove(await b.client.node());
      await a.client.rotate();
      const late = kit.open({ url: relay.url, invitation: await a.client.invite() });
      await converged([a, late], 1);
      assertEquals(titles(late), ["of b"]);
      await stillWork([a, late], 1);
    })
  ));

test("what a newcomer writes before it is let in counts, also in a group that signs", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      for (const signed of [false, true]) {
        const database = `signs ${signed}`;
        const { devices: [a] } = await group(kit, relay.url, 1, { signed, database });
        const b = kit.open({ url: relay.url, invitation: await a!.client.invite() });
        await insert(b, "early 1");
        await insert(b, "early 2");
        await b.client.ready;
        await converged([a!, b], 2);
        await eventually(() => b.client.pending === 0, "a has said so");
        assertEquals([a!.faults(), b.faults()], [[], []]);
      }
    })
  ));

test("who came in behind a checkpoint leads others to it, also when it is alone", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices } = await group(kit, hostile.url, 3);
        const [a, b, c] = devices as [Told, Told, Told];
        for (let i = 0; i < 4; i++) await insert(a, `${i}`);
        await converged(devices, 4);
        await eventually(() => a.client.pending === 0, "all is quiet");
        await a.client.remove(await c.client.node());
        const endorsed = () =>
          hostile.seen.some(({ up, message }) => up && appended(message) === Subtype.endorsement);
        await eventually(endorsed, "nothing before is needed");
        await b.client.rotate();
        await a.client.rotate();
        const invitation = await a.client.invite({ permanent: true });
        const [ofD, ofE] = [memoryStorage(), memoryStorage()];
        const { url } = relay;
        const d = kit.open({ url, invitation, storage: ofD });
        await converged([a, d], 4);
        for (const { client } of [a, b, d]) await client.close();
        const knocks = kit.open({ url, invitation, storage: ofE });
        await eventually(() => knocks.client.state === "waiting", "it has knocked");
        await knocks.client.close();
        const dAgain = kit.open({ url: hostile.url, storage: ofD });
        const { length } = hostile.seen;
        const welcomed = () =>
          hostile.seen.slice(length).some(({ up, message }) =>
            up && appended(message) === Subtype.welcome
          );
        await eventually(welcomed, "it is let in");
        await dAgain.client.sent();
        await dAgain.client.close();
        const e = kit.open({ url, storage: ofE });
        await eventually(() => e.client.state === "synced", "it has read everything");
        assertEquals(titles(e), titles(d));
        assertEquals([d.faults(), e.faults()], [[], []]);
      }))
  ));
