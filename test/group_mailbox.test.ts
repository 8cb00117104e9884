/** What people hear of the relay's mailbox: how safe it is, and that it is full. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Safety } from "../src/client/mod.ts";
import { type Host, host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import type { LogStore } from "../src/store/store.ts";
import { FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { converged, eventually, group, type Told, withDevices } from "./kit/group.ts";
import { isType, withHostile } from "./kit/hostile.ts";
import { withRelay } from "./kit/relay.ts";
import { withStorePath } from "./kit/store_file.ts";

/** Waits a twentieth of the time. */
const hasty: Host = { ...host, after: (ms, run) => host.after(ms / 20, run) };

test("a device says how safe what it writes is, in the relay's words", async () => {
  const said = (store?: LogStore) => {
    let safety: Safety | undefined;
    const run = withRelay(({ url }) =>
      withDevices(async (kit) => {
        const { client } = kit.create({ url, database: "bugs" });
        assertEquals(client.safety, undefined);
        await eventually(() => client.state === "synced", "it is here");
        safety = client.safety;
      }), store && { store });
    return run.then(() => safety);
  };
  assertEquals(await said(), "memory");
  await withStorePath(async (path) => {
    const store = await openSqlite({ path, limits: limits() });
    assertEquals(await said(store), "disk");
  });
});

test("a full log is left for the next epoch's, without a word lost", () => {
  const bounds = { ...limits(), logBytes: 30_000 };
  return withRelay(({ url }) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, url, 2, { host: hasty, compress: "never" });
      const before = devices.map(({ statuses }) => statuses.length);
      const note = "x".repeat(1_000);
      for (let i = 0; i < 60; i++) await devices[i % 2]!.client.collection("bugs").insert({ note });
      for (const { client } of devices) await client.sent();
      await converged(devices, 60);
      const epochs = devices.map(({ statuses }, i) =>
        statuses.slice(before[i]).filter(({ kind }) => kind === "epoch").length
      );
      // Three logs' worth, and never one rotation for each device.
      for (const count of epochs) assert(count >= 2 && count <= 5, `${epochs} epochs`);
      for (const device of devices) assertEquals(device.faults(), []);
    }), { store: new MemoryStore(host, bounds) });
});

test("a full mailbox is told, loses nothing, and is filled on once there is room", () => {
  const bounds = { ...limits(), tenantLogBytes: 50_000 };
  return withRelay(({ url }) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, url, 2, { host: hasty, compress: "never" });
      const [one, two] = devices;
      const full = () =>
        one!.statuses.flatMap((status) => status.kind === "mailbox" ? [status.full] : []);
      const note = "x".repeat(1_000);
      for (let i = 0; i < 40; i++) await one!.client.collection("bugs").insert({ note, i });
      await eventually(() => full().at(-1) === true, "it is told");
      assert(one!.client.counts.local > 0);
      assertEquals(one!.client.collection("bugs").list().length, 40, "it goes on here");
      assert(two!.client.collection("bugs").list().length < 40);
      bounds.tenantLogBytes = 1_000_000;
      await one!.client.sent();
      assertEquals(full().at(-1), false);
      await converged(devices, 40);
      assertEquals(one!.faults().filter((code) => code === "MAILBOX_FULL"), []);
    }), { store: new MemoryStore(host, bounds) });
});

test("new keys that bring no room are not drawn again and again", () => {
  const bounds = { ...limits(), tenantLogBytes: 100_000 };
  return withRelay(({ url }) =>
    withHostile(url, (hostile) =>
      withDevices(async (kit) => {
        const quicker: Host = { ...host, after: (ms, run) => host.after(ms / 100, run) };
        const options = { host: quicker, compress: "never" } as const;
        const { devices: [a, b] } = await group(kit, hostile.url, 2, options);
        const note = "x".repeat(30_000);
        for (let i = 0; i < 4; i++) await a!.client.collection("bugs").insert({ note, i });
        const told = (device: Told) => device.statuses.some(({ kind }) => kind === "mailbox");
        await eventually(() => told(a!), "it is told");
        const refused = () =>
          hostile.seen.filter(({ up, message }) => !up && isType(message, FrameType.error)).length;
        const before = refused();
        await eventually(() => refused() > before + 20, "it has tried again");
        const epochs = a!.statuses.filter(({ kind }) => kind === "epoch").length;
        // Three of the beginning, one where something had room, and one that did not help.
        assert(epochs <= 6, `${epochs} epochs`);
        bounds.tenantLogBytes = 1_000_000;
        await a!.client.sent();
        await converged([a!, b!], 4);
      })), { store: new MemoryStore(host, bounds) });
});
