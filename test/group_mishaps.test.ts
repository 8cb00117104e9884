/** What a group's log is for: devices that are there at different times, and what may happen in between. */
import { copyFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage } from "../src/client/mod.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { GroupNewcomer } from "../src/client/group/mls/newcomer.ts";
import { parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import { decodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";
import {
  backedUp,
  converged,
  count,
  epochOf,
  eventually,
  group,
  insert,
  online,
  stillWork,
  titles,
  type Told,
  twoStored,
  withDevices,
} from "./kit/group.ts";
import { appended } from "./kit/attack.ts";
import { withHostile } from "./kit/hostile.ts";
import { withRelay } from "./kit/relay.ts";
import { withRogue } from "./kit/rogue.ts";
import { STORE_LIMITS, withStorePath } from "./kit/store_file.ts";

/** A relay with its logs in a file, until `run` is done. */
const withFile = async (path: string, run: (relay: { url: string }) => Promise<void>) =>
  await withRelay(run, { store: await openSqlite({ path, limits: STORE_LIMITS }) });

const isAccepted = (message: Uint8Array): boolean => {
  const { type, payload } = decodeFrame(message);
  return type === FrameType.extension && payload[0] === Subtype.accepted;
};

test("devices that are never there together sync, though relay and devices restart each time", () =>
  withStorePath(async (path) => {
    const [ofA, ofB] = [memoryStorage(), memoryStorage()];
    let invitation = "";
    const alone = (run: (url: string, open: (storage: DeviceStorage) => Told) => Promise<void>) =>
      withFile(
        path,
        ({ url }) => withDevices((kit) => run(url, (storage) => kit.open({ url, storage }))),
      );
    await withFile(path, ({ url }) =>
      withDevices(async (kit) => {
        const a = kit.create({ url, database: "bugs", storage: ofA });
        await insert(a, "first of a");
        invitation = await a.client.invite();
        await a.client.sent();
      }));
    await withFile(path, ({ url }) =>
      withDevices(async (kit) => {
        const b = kit.open({ url, storage: ofB, invitation });
        await eventually(() => b.client.state === "waiting", "it has knocked");
      }));
    await alone(async (_, open) => {
      const a = open(ofA);
      await eventually(() => count(a) === 2, "it lets b in");
      await insert(a, "second of a");
      await a.client.sent();
    });
    await alone(async (_, open) => {
      const b = open(ofB);
      await b.client.ready;
      await eventually(() => titles(b).length === 2, "b has what a wrote");
      await insert(b, "first of b");
      await b.client.sent();
    });
    await alone(async (_, open) => {
      const a = open(ofA);
      await eventually(() => titles(a).length === 3, "a has what b wrote");
      await eventually(() => a.client.pending === 0, "b has said so");
      await a.client.rotate();
    });
    await alone(async (_, open) => {
      const b = open(ofB);
      await eventually(() => titles(b).length === 3 && b.client.pending === 0, "a has said so");
      assertEquals(titles(b), ["first of a", "first of b", "second of a"]);
      assertEquals(b.faults(), []);
    });
  }));

test("a store restored from a backup, and grown beyond a device's cursor: a gap, and nothing lost", () =>
  withStorePath(async (path) => {
    const [ofA, ofB] = [memoryStorage(), memoryStorage()];
    const backup = `${path}.backup`;
    let invitation = "";
    await withFile(path, ({ url }) =>
      withDevices(async (kit) => {
        const a = kit.create({ url, database: "bugs", storage: ofA });
        await a.client.ready;
        invitation = await a.client.invite({ permanent: true });
        const b = kit.open({ url, storage: ofB, invitation });
        await insert(a, "before the backup");
        await converged([a, b], 1);
        await eventually(() => a.client.pending === 0, "all is quiet");
      }));
    copyFileSync(path, backup);
    await withFile(path, ({ url }) =>
      withDevices(async (kit) => {
        const [a, b] = [kit.open({ url, storage: ofA }), kit.open({ url, storage: ofB })];
        await eventually(() => online(a.client) === 2 && online(b.client) === 2, "both are there");
        await insert(a, "lost by the relay");
        await insert(b, "lost by the relay, too");
        await converged([a, b], 3);
        await eventually(() => a.client.pending + b.client.pending === 0, "acknowledged");
      }));
    copyFileSync(backup, path);
    await withFile(path, ({ url }) =>
      withDevices(async (kit) => {
        const b = kit.open({ url, storage: ofB });
        for (let i = 0; i < 20; i++) await insert(b, `beyond ${i}`);
        await b.client.sent();
        const a = kit.open({ url, storage: ofA });
        await converged([a, b], 23);
        await stillWork([a, b], 23);
        const late = kit.open({ url, invitation });
        await converged([a, b, late], 25);
      }));
  }));

for (const what of ["operation", "commit"] as const) {
  test(`a link that dies before the relay's word about one ${what}: it is done exactly once`, () =>
    withRelay((relay) =>
      withHostile(relay.url, (hostile) =>
        withDevices(async (kit) => {
          const { devices } = await group(kit, hostile.url, 2);
          const [a, b] = devices as [Told, Told];
          await insert(a, "before");
          await converged([a, b], 1);
          await eventually(() => a.client.pending === 0, "all is quiet");
          const before = epochOf(b)!;
          const node = await a.client.node();
          let cut = 0;
          let armed = false;
          hostile.up = (message, victim) => {
            const kind = appended(message);
            const wanted = what === "operation" ? -FrameType.operation : Subtype.commit;
            if (victim.node === node && kind === wanted && cut < 3) armed = true;
          };
          hostile.down = (message, victim) => {
            if (!armed || victim.node !== node) return;
            if (isAccepted(message)) {
              armed = false;
              cut++;
              victim.close(1012);
            }
            return [];
          };
          if (what === "operation") {
            await insert(a, "once");
            await converged([a, b], 2);
            await eventually(() => a.client.pending === 0, "b has it");
            assertEquals(b.incoming.length, 2);
          } else {
            await a.client.rotate();
            await eventually(() => epochOf(b) === before + 1, "b is in the next epoch");
            await eventually(() => epochOf(a) === before + 1, "a too, and in no other");
          }
          assert(cut > 0, "the link was cut");
          await stillWork([a, b], titles(a).length);
          if (what !== "operation") assertEquals(epochOf(b), before + 1);
        }))
    ));
}

test("a device that catches up while others write misses nothing, and gets nothing twice", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { kept, a, b } = await twoStored(kit, relay.url);
      await b.client.close();
      for (let i = 0; i < 100; i++) await insert(a, `before ${i}`);
      const back = kit.open({ url: relay.url, storage: kept.storage });
      for (let i = 0; i < 150; i++) {
        await insert(a, `meanwhile ${i}`);
        if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
      }
      await converged([a, back], 250);
      assertEquals(back.incoming.length, 250);
      const order = back.incoming.map(({ operation }) => operation.counter);
      assertEquals(order, [...order].sort((x, y) => Number(x - y)));
    })
  ));

test("a reader that crashes at any moment of reading goes on where it was", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const inner = memoryStorage();
      const copies: Map<string, Bytes>[] = [];
      const storage: DeviceStorage = {
        load: () => inner.load(),
        async save(changes) {
          await inner.save(changes);
          copies.push(await inner.load());
        },
      };
      const { devices: [a], invitation } = await group(kit, relay.url, 1);
      const b = kit.open({ url: relay.url, invitation, storage });
      await b.client.ready;
      for (let i = 0; i < 4; i++) {
        await insert(a!, `of a ${i}`);
        await insert(b, `of b ${i}`);
        if (i === 1) await a!.client.rotate();
      }
      await converged([a!, b], 8);
      await eventually(() => a!.client.pending + b.client.pending === 0, "all is quiet");
      await b.client.close();
      const joined = copies.filter((copy) => copy.has("log"));
      assert(joined.length > 8, `${joined.length} moments`);
      for (const copy of joined) {
        const again = kit.open({ url: relay.url, storage: memoryStorage(copy) });
        await eventually(() => again.client.state === "synced", "it is back");
        await converged([a!, again], 8);
        assertEquals(titles(again).length, 8);
        await again.client.close();
      }
    })
  ));

test("a storage that fails for a while costs nothing", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const inner = memoryStorage();
      let broken = false;
      const storage: DeviceStorage = {
        load: () => inner.load(),
        save: (changes) =>
          broken ? Promise.reject(new Error("no space left")) : inner.save(changes),
      };
      const { devices: [a], invitation } = await group(kit, relay.url, 1);
      const b = kit.open({ url: relay.url, invitation, storage });
      await b.client.ready;
      await insert(a!, "before");
      await converged([a!, b], 1);
      broken = true;
      for (let i = 0; i < 5; i++) await insert(a!, `unsaved ${i}`);
      await eventually(() => b.faults().includes("STORAGE_FAILED"), "it is said");
      broken = false;
      await stillWork([a!, b], 6);
      await b.client.close();
      const again = kit.open({ url: relay.url, storage: inner });
      await converged([a!, again], 8);
    })
  ));

test("a device away through five epochs and a removal follows; who was removed gets nowhere", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const [keptB, keptC] = [backedUp(), backedUp()];
      const { devices: [a], invitation } = await group(kit, relay.url, 1);
      const b = kit.open({ url: relay.url, invitation, storage: keptB.storage });
      await b.client.ready;
      const c = kit.open({ url: relay.url, invitation, storage: keptC.storage });
      await c.client.ready;
      await insert(a!, "before");
      await converged([a!, b, c], 1);
      const lost = await c.client.node();
      await b.client.close();
      const stored = await keptC.copy();
      await a!.client.rotate();
      await a!.client.invite();
      await a!.client.remove(lost);
      await a!.client.rotate();
      await a!.client.rotate();
      await insert(a!, "not for c");
      await withRogue(relay, stored, async (rogue) => {
        const { epoch, id: groupId } = rogue.group;
        const { id, key } = epoch!.log;
        await rogue.read();
        assertEquals(await rogue.append(await rogue.operation("of c")), "kept");
        assertEquals(await rogue.append((await rogue.commit({ kind: "rotate" })).frame), "kept");
        rogue.extend({ subtype: "truncate", sequence: 1_000n });
        assertEquals(await rogue.open({ id, key: random(32) }), "error 4406");
        // Of the present log it knows neither the name nor the key.
        assertEquals(await rogue.open({ id: random(16), key }), "ok");
        assertEquals(rogue.entries.length, 0);
        // Doors: the text that let it in, and its own.
        const text = await GroupDoor.ofInvitation((await parseInvitation(invitation)).key, groupId);
        const { seed, node } = rogue.group.peer(lost)!;
        for (const door of [text, await GroupDoor.ofMember(seed, groupId, node)]) {
          assertEquals(await rogue.open({ id: door.logId, key: door.logKey }), "ok");
          const { keyPackage } = await newcomer(rogue.group.id, door);
          const knock = deviceFrame(Subtype.knock, await door.sealKnock(keyPackage));
          assertEquals(await rogue.append(knock), "kept");
          rogue.extend({ subtype: "device", code: Subtype.knock, body: new Uint8Array() });
          rogue.extend({ subtype: "truncate", sequence: 1_000n });
        }
        const back = kit.open({ url: relay.url, storage: keptB.storage });
        await converged([a!, back], 2);
        await stillWork([a!, back], 2);
        assertEquals([count(a!), count(back)], [2, 2]);
        assertEquals(titles(back).includes("of c"), false);
        const log = new Set(rogue.entries.map(({ frame }) => hex(frame)));
        assert(log.size < 100);
      });
    })
  ));

const newcomer = (group: Bytes, door: GroupDoor) =>
  GroupNewcomer.draw({ group, name: "c again", door, postQuantum: false });
