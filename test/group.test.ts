import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { BlazeGroup, memoryStorage, Uuid } from "../src/client/mod.ts";
import { fileStorage } from "../src/client/blaze/storage_file.ts";
import { drawKeyPair } from "../src/client/pair/pair_keys.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { Capability, encodeHandshake, TlvType } from "../src/wire/blaze/handshake.ts";
import { FakeHost } from "./kit/fake_host.ts";
import {
  backedUp,
  contents,
  converged,
  epochOf,
  eventually,
  group,
  online,
  type Told,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";
import { refusal } from "./kit/refusal.ts";

const title = ({ client }: Told, id: Uuid) => client.collection("bugs").get(id)?.title;

test("a group of three devices syncs inserts, updates and deletes", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 3);
      const [a, b, c] = devices as [Told, Told, Told];
      const { id } = await a.client.collection("bugs").insert({ title: "Crash", priority: 5 });
      await eventually(() => title(c, id) === "Crash", "c has it");
      await c.client.collection("bugs").update(id, { title: "Crash on start" });
      await eventually(() => title(b, id) === "Crash on start", "b has it");
      assertEquals(b.client.collection("bugs").get(id), { title: "Crash on start", priority: 5 });
      await b.client.collection("bugs").delete(id);
      await eventually(() => a.client.collection("bugs").list().length === 0, "a has it");
      const { operation, sender, backlog } = a.incoming.at(-1)!;
      assertEquals([operation.kind, sender.name, sender.verified, backlog], [
        "delete",
        "device 1",
        "membership",
        false,
      ]);
      await eventually(
        () => devices.every(({ client }) => client.pending === 0),
        "all acknowledged",
      );
      assertEquals(devices.map((one) => one.faults()), [[], [], []]);
    })
  ));

test("a device that joins gets everything that was there before, with progress", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 2);
      const bugs = devices[0]!.client.collection("bugs");
      const text = "x".repeat(2_000);
      for (let i = 0; i < 400; i++) await bugs.insert({ title: `${i}`, text });
      await eventually(() => devices[0]!.client.pending === 0, "all acknowledged");
      const late = kit.open({ url: relay.url, invitation });
      await converged([devices[0]!, late], 400);
      const progress = late.statuses.filter(({ kind }) => kind === "backlog");
      assert(progress.length >= 2, "it came in parts");
      const all = progress.find((one) => one.kind === "backlog" && one.total >= 400);
      assert(all !== undefined, "the number of all is known from the start");
      assert(late.incoming.every(({ backlog }) => backlog));
    })
  ));

test("operations done offline arrive one by one once the device is back", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 1);
      const kept = backedUp();
      const first = kit.open({ url: relay.url, invitation, storage: kept.storage });
      await first.client.ready;
      await first.client.close();
      // Nobody listens there: the device is offline, and works.
      const offline = kit.open({ url: "ws://127.0.0.1:1", storage: kept.storage });
      await offline.client.ready;
      const { id } = await offline.client.collection("bugs").insert({ title: "on the train" });
      await offline.client.collection("bugs").update(id, { title: "in the tunnel" });
      assertEquals(title(offline, id), "in the tunnel");
      assertEquals(offline.client.pending, 2);
      await offline.client.close();

      const back = kit.open({ url: relay.url, storage: kept.storage });
      await back.client.ready;
      assertEquals(title(back, id), "in the tunnel");
      await eventually(() => title(devices[0]!, id) === "in the tunnel", "it arrived");
      await eventually(() => back.client.pending === 0, "it was acknowledged");
      const kinds = devices[0]!.incoming.map(({ operation }) => operation.kind);
      assertEquals(kinds[0], "insert");
    })
  ));

test("the offline queue is bounded, and what it lost arrives as records", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 1, { offline: 10 });
      const [a] = devices as [Told];
      for (let i = 0; i < 25; i++) await a.client.collection("bugs").insert({ i });
      assert(a.client.pending >= 10);
      const b = kit.open({ url: relay.url, invitation: await a.client.invite() });
      await converged([a, b], 25);
    })
  ));

test("an operation that was sent twice is done once", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const { devices, invitation } = await group(kit, relay.url, 1, { storage: kept.storage });
      const b = kit.open({ url: relay.url, invitation });
      await b.client.ready;
      await eventually(() => online(devices[0]!.client) === 2, "they see each other");
      await devices[0]!.client.collection("bugs").insert({ n: 1 });
      const before = await kept.copy();
      await eventually(() => b.incoming.length === 1, "it came");
      await devices[0]!.client.close();
      // As after a crash before the acknowledgement was stored: the queue still holds it.
      assert([...before.keys()].some((key) => key.startsWith("queue/")));
      const again = kit.open({ url: relay.url, storage: memoryStorage(before) });
      await again.client.ready;
      await again.client.collection("bugs").insert({ n: 2 });
      await eventually(() => b.incoming.length >= 2, "the next came");
      assertEquals(b.incoming.map(({ operation }) => operation.changes), [{ n: 1 }, { n: 2 }]);
    })
  ));

test("a device restored from an old copy loses nothing and repeats no operation id", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const { devices, invitation } = await group(kit, relay.url, 1, { storage: kept.storage });
      const [a] = devices as [Told];
      const b = kit.open({ url: relay.url, invitation });
      await eventually(() => online(a.client) === 2, "b is here");
      await a.client.collection("bugs").insert({ n: 1 });
      const backup = await kept.copy();
      for (let n = 2; n <= 5; n++) await a.client.collection("bugs").insert({ n });
      await converged([a, b], 5);
      await a.client.close();

      const restored = kit.open({ url: relay.url, storage: memoryStorage(backup) });
      // Its counter 2 was taken by what it has forgotten.
      assertEquals((await restored.client.collection("bugs").insert({ n: 6 })).counter, 2n);
      await converged([restored, b], 6);
      assertEquals(
        b.client.collection("bugs").list().map(({ fields }) => Number(fields.n)).sort(),
        [1, 2, 3, 4, 5, 6],
      );
    })
  ));

test("a removed device reads nothing newer, learns of it, and cannot write", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 3);
      const [a, b, c] = devices as [Told, Told, Told];
      const lost = await c.client.node();
      await a.client.collection("bugs").insert({ n: 1 });
      await converged(devices);
      await a.client.remove(lost);
      await eventually(() => wasRemoved(c), "c knows");
      await a.client.collection("bugs").insert({ secret: "not for c" });
      await converged([a, b], 2);
      assertEquals(c.client.collection("bugs").list().length, 1);
      await assertRejects(() => c.client.collection("bugs").insert({ n: 3 }), Error);
      assertEquals(a.client.devices().map(({ name }) => name), ["device 0", "device 1"]);
    })
  ));

test("a permanent text lets nobody in after a removal, an invitation does, once", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 2);
      const [a, b] = devices as [Told, Told];
      await a.client.remove(await b.client.node());
      assertEquals(a.client.invitations(), []);
      const again = kit.open({ url: relay.url, invitation });
      const once = await a.client.invite();
      assertEquals(a.client.invitations().length, 1);
      const invited = kit.open({ url: relay.url, invitation: once });
      await invited.client.ready;
      assertEquals(a.client.invitations(), []);
      const second = kit.open({ url: relay.url, invitation: once, host: quickHost(20) });
      assertEquals(await refusal(() => second.client.ready), "NOT_ADMITTED");
      assertEquals(again.client.devices(), []);
      assertEquals(a.client.devices().length, 2);
    })
  ));

test("an invitation is listed, and can be revoked", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 2);
      const [a, b] = devices as [Told, Told];
      const text = await a.client.invite({ minutes: 5 });
      await eventually(() => b.client.invitations().length === 2, "the other one knows");
      const permanent = b.client.invitations().find(({ expires }) => !expires)!;
      const once = b.client.invitations().find(({ expires }) => expires)!;
      await b.client.revoke(once.id);
      await b.client.revoke(permanent.id);
      await eventually(() => a.client.invitations().length === 0, "both are gone");
      const late = kit.open({ url: relay.url, invitation: text });
      await eventually(() => late.client.state === "waiting", "nobody lets it in");
      assertEquals(a.client.devices().length, 2);
    })
  ));

test("an invitation that has expired lets nobody in", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 1);
      const [a] = devices as [Told];
      const invitation = await a.client.invite({ minutes: 1e-6 });
      const late = kit.open({ url: relay.url, invitation });
      await eventually(() => a.faults().includes("NOT_ADMITTED"), "it is refused");
      assertEquals(late.client.devices(), []);
    })
  ));

test("a device that was away for ten rotations catches up", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const { devices, invitation } = await group(kit, relay.url, 2);
      const away = kit.open({ url: relay.url, invitation, storage: kept.storage });
      await away.client.ready;
      await away.client.close();
      const offline = kit.open({ url: "ws://127.0.0.1:1", storage: kept.storage });
      await offline.client.collection("bugs").insert({ title: "from far away" });
      await offline.client.close();
      for (let i = 0; i < 10; i++) {
        await devices[i % 2]!.client.rotate();
        await eventually(() => devices.every((one) => epochOf(one) === 4 + i), "both are in it");
      }
      await devices[0]!.client.collection("bugs").insert({ title: "news" });
      const back = kit.open({ url: relay.url, storage: kept.storage });
      await converged([...devices, back], 2);
      assertEquals(epochOf(back), 13);
    })
  ));

test("two devices that change the group at the same time end in one epoch", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 4);
      const [a, b, c, d] = devices as [Told, Told, Told, Told];
      await Promise.all([
        a.client.remove(await d.client.node()),
        b.client.rotate(),
        c.client.rotate(),
      ]);
      await eventually(
        () => [a, b, c].every(({ client }) => client.devices().length === 3),
        "d is removed everywhere",
      );
      await eventually(() => wasRemoved(d), "d knows");
      for (const { client } of [a, b, c]) await client.collection("bugs").insert({});
      await converged([a, b, c], 3);
    })
  ));

test("operations of a group that signs are verified by signature", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 2, { signed: true });
      await devices[0]!.client.collection("bugs").insert({ n: 1 });
      await eventually(() => devices[1]!.incoming.length === 1, "it came");
      assertEquals(devices[1]!.incoming[0]!.sender.verified, "signature");
    })
  ));

test("a device that keeps some collections keeps no others, and asks for them", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 1);
      const [a] = devices as [Told];
      await a.client.collection("notes").insert({ text: "before" });
      const b = kit.open({ url: relay.url, invitation, collections: ["bugs"] });
      await eventually(() => online(a.client) === 2, "b is here");
      await a.client.collection("notes").insert({ text: "private" });
      const { id } = await a.client.collection("bugs").insert({ title: "shared" });
      await eventually(() => title(b, id) === "shared", "it came");
      assertEquals(b.client.collection("notes").list(), []);
      assertEquals(b.incoming.length, 1);
      const notes = await b.client.collection("notes").query();
      assertEquals(notes.map(({ fields }) => fields.text).sort(), ["before", "private"]);
      assertEquals(b.client.collection("notes").list(), []);
    })
  ));

test("two devices join by comparing six digits", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 1);
      const [a] = devices as [Told];
      await a.client.collection("bugs").insert({ title: "here first" });
      const codes: string[] = [];
      const confirm = (code: string) => codes.push(code) > 0;
      const [joined] = await Promise.all([
        BlazeGroup.join({ url: relay.url, name: "new", confirm }),
        a.client.admit({ confirm }),
      ]);
      const b = kit.add(joined);
      await b.client.ready;
      await converged([a, b], 1);
      assertEquals(codes.length, 2);
      assertEquals(codes[0], codes[1]);
      assert(/^\d{6}$/.test(codes[0]!));
    })
  ));

for (const who of ["the new device", "the device of the group"]) {
  test(`a wrong code, seen by ${who}, leaves nothing behind`, () =>
    withRelay((relay) =>
      withDevices(async (kit) => {
        const kept = backedUp();
        const { devices } = await group(kit, relay.url, 1, { storage: kept.storage });
        const before = await kept.copy();
        const fresh = backedUp();
        const says = (name: string) => () => who !== name;
        const results = await Promise.allSettled([
          BlazeGroup.join({
            url: relay.url,
            storage: fresh.storage,
            confirm: says("the new device"),
          }),
          devices[0]!.client.admit({ confirm: says("the device of the group") }),
        ]);
        assertEquals(results.map(({ status }) => status), ["rejected", "rejected"]);
        assertEquals((await fresh.copy()).size, 0);
        assertEquals((await kept.copy()).get("group"), before.get("group"));
        assertEquals(devices[0]!.client.devices().length, 1);
      })
    ));
}

test("a device that was introduced says so when the other one leaves before any code was seen", () =>
  withRelay(async (relay) => {
    const joining = refusal(() => BlazeGroup.join({ url: relay.url, confirm: () => true }));
    const other = await TestSocket.connect(relay, "/sync/pairing");
    const payload = encodeHandshake({
      node: crypto.getRandomValues(new Uint8Array(16)),
      database: "pairing",
      publicKey: (await drawKeyPair()).publicKey,
      capabilities: Capability.encryption | Capability.tlvs,
      timestamp: 1n,
      tlvs: [{ type: TlvType.commitment, value: new Uint8Array(32) }],
    });
    other.send(encodeFrame({ type: FrameType.handshake, payload }));
    assertEquals(decodeFrame(await other.next()).type, FrameType.handshakeAck);
    other.close();
    assertEquals(await joining, "PARTNER_LEFT");
  }));

test("nobody waits for ever for a device to compare a code with, nor for its people", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const host = new FakeHost();
      const alone = refusal(() => BlazeGroup.join({ url: relay.url, host, confirm: () => true }));
      host.pass(300_000);
      assertEquals(await alone, "NO_ANSWER");
      assertEquals(host.waiting, 0);
      const { devices: [inside] } = await group(kit, relay.url, 1);
      const seen = Promise.withResolvers<void>();
      const silent = () => (seen.resolve(), new Promise<boolean>(() => {}));
      const waiting = [
        refusal(() => inside!.client.admit({ confirm: () => true })),
        refusal(() => BlazeGroup.join({ url: relay.url, host, waitMs: 10, confirm: silent })),
      ];
      await seen.promise;
      host.pass(10);
      assertEquals(await Promise.all(waiting), ["PARTNER_LEFT", "NO_ANSWER"]);
    })
  ));

test("a device keeps everything in a file over restarts, torn writes included", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const folder = mkdtempSync(`${tmpdir()}/blaze-group-`);
      try {
        const path = `${folder}/device`;
        const a = kit.create({ url: relay.url, database: "bugs", storage: fileStorage(path) });
        const { id } = await a.client.collection("bugs").insert({ title: "kept" });
        const node = await a.client.node();
        await a.client.close();
        const b = kit.open({ url: relay.url, storage: fileStorage(path) });
        await b.client.ready;
        assertEquals(await b.client.node(), node);
        assertEquals(title(b, id), "kept");
        assertEquals(b.client.pending, 1);
        await b.client.close();
      } finally {
        rmSync(folder, { recursive: true });
      }
    })
  ));

test("a storage that holds another group is not touched", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const { devices } = await group(kit, relay.url, 1, { storage: kept.storage });
      await devices[0]!.client.close();
      const other = kit.create({ url: relay.url, database: "notes" });
      await other.client.ready;
      const invitation = await other.client.invite();
      const mixed = kit.open({ url: relay.url, invitation, storage: kept.storage });
      assertEquals(await refusal(() => mixed.client.ready), "OTHER_GROUP");
      const again = kit.create({ url: relay.url, database: "bugs", storage: kept.storage });
      assertEquals(await refusal(() => again.client.ready), "GROUP_EXISTS");
    })
  ));

test("presence says who comes and goes", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 2);
      const [a, b] = devices as [Told, Told];
      const node = await b.client.node();
      await b.client.close();
      await eventually(() => online(a.client) === 1, "b has left");
      const seen = a.statuses.filter((one) => one.kind === "presence" && one.node === node);
      assertEquals(seen.map((one) => one.kind === "presence" && one.online), [true, false]);
      assertEquals(contents(a.client), "");
    })
  ));
