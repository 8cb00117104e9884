/** What people and programs do with a group that is not how it was meant. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CLIENT_ERRORS } from "../src/client/client_error.ts";
import { ConnectionClosed, memoryStorage } from "../src/client/mod.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { eventually, group, insert, titles, type Told, withDevices } from "./kit/group.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";

/** A store that fails once, at a call of this name. */
class Failing extends MemoryStore {
  next = "";

  constructor() {
    super(host, limits());
  }

  #fails(call: string): boolean {
    if (this.next !== call) return false;
    this.next = "";
    return true;
  }

  override open(...args: Parameters<MemoryStore["open"]>): ReturnType<MemoryStore["open"]> {
    return this.#fails("open") ? Promise.reject(new Error("disk")) : super.open(...args);
  }

  override read(...args: Parameters<MemoryStore["read"]>): ReturnType<MemoryStore["read"]> {
    return this.#fails("read") ? Promise.reject(new Error("disk")) : super.read(...args);
  }

  override hashAt(...args: Parameters<MemoryStore["hashAt"]>): ReturnType<MemoryStore["hashAt"]> {
    return this.#fails("hashAt") ? Promise.reject(new Error("disk")) : super.hashAt(...args);
  }
}

for (const call of ["open", "hashAt", "read"]) {
  test(`a relay whose store fails once, at ${call}: it is told, and begun anew`, async () => {
    const store = new Failing();
    await withRelay(({ url }) =>
      withDevices(async (kit) => {
        const storage = memoryStorage();
        const a = kit.create({ url, database: "bugs" });
        const invitation = await a.client.invite();
        const before = kit.open({ url, storage, invitation });
        await eventually(() => before.client.state === "synced", "it is in");
        await before.client.close();
        await insert(a, "meanwhile");
        await a.client.sent();
        store.next = call;
        const b = kit.open({ url, storage });
        await eventually(() => titles(b).length === 1, "it reads on");
        await eventually(() => b.client.state === "synced", "to the end");
        assert(b.faults().includes("LOG_FAILED"), `${b.faults()}`);
        assertEquals(store.next, "");
        await insert(b, "and writes");
        await b.client.sent();
      }), { store });
  });
}

test("what left the queue is only here until a checkpoint stands: sent() waits for that", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const [ofA, ofB] = [memoryStorage(), memoryStorage()];
      {
        const a = kit.create({ url, database: "bugs", storage: ofA });
        const b = kit.open({ url, storage: ofB, invitation: await a.client.invite() });
        await eventually(() => b.client.state === "synced", "it is in");
        await Promise.all([a.client.close(), b.client.close()]);
      }
      const nowhere = "ws://127.0.0.1:9";
      const alone = kit.open({ url: nowhere, storage: ofA, offline: 5 });
      const counters: bigint[] = [];
      for (let i = 0; i < 12; i++) counters.push((await insert(alone, `${i}`)).counter);
      const local = { local: 12, mailbox: 0 };
      assertEquals([alone.client.pending, alone.client.counts], [12, local]);
      assertEquals(new Set(counters.map((one) => alone.client.where(one))), new Set(["local"]));
      for (const never of [0n, -1n, counters.at(-1)! + 1n]) {
        assertEquals(alone.client.where(never), undefined);
      }
      await alone.client.close();
      // It comes, says that it may go, and goes.
      const a = kit.open({ url, storage: ofA, offline: 5 });
      await a.client.ready;
      assertEquals(a.client.counts.local, 12);
      await a.client.sent();
      assertEquals(a.client.counts.local, 0);
      await a.client.close();
      const b = kit.open({ url, storage: ofB });
      await eventually(() => titles(b).length === 12, () => `all of it, not ${titles(b).length}`);
    })
  ));

test("calls that change the group reject at once when the client has ended", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const calls = ({ client }: Told) => [
        () => client.invite(),
        () => client.rotate(),
        () => client.remove("00"),
        () => client.revoke("00"),
        () => client.admit({ confirm: () => true }),
        () => client.sent(),
        () => client.collection("bugs").query(),
        () => client.collection("bugs").insert({ n: 1 }),
      ];
      const ended = ({ statuses }: Told) =>
        statuses.filter((status) => status.kind === "state" && status.state === "ended").length;
      const { devices } = await group(kit, url, 2);
      const [a, b] = devices as [Told, Told];
      await a.client.remove(await b.client.node());
      await eventually(() => b.client.state === "ended", "b has heard of it");
      for (const call of calls(b)) assertEquals(await refusal(call), "REMOVED");
      await b.client.close();
      await a.client.close();
      for (const call of calls(a)) await assertRejects(call, ConnectionClosed);
      // Ended before it had begun.
      const early = kit.create({ url, database: "bugs" });
      const wanted = assertRejects(() => early.client.invite(), ConnectionClosed);
      await early.client.close();
      await wanted;
      for (const one of [a, b, early]) assertEquals([one.client.state, ended(one)], ["ended", 1]);
    })
  ));

test("what cannot be is refused in words: minutes that are no time, and to remove oneself", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const { client } = kit.create({ url, database: "bugs" });
      for (const minutes of [NaN, Infinity, 0, -1, 1e15]) {
        await assertRejects(() => client.invite({ minutes }), RangeError, "minutes");
      }
      const own = await client.node();
      assertEquals(await refusal(() => client.remove(own)), "OWN_DEVICE");
      assertEquals(client.devices().length, 1);
    })
  ));

test("a relay without a store: the fault says what groups need", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const a = kit.create({ url, database: "bugs" });
      await eventually(() => a.faults().includes("NO_LOG"), "it is told");
      const fault = a.statuses.find((status) => status.kind === "fault")!;
      assertStringIncludes(fault.fault.message, CLIENT_ERRORS.NO_LOG);
    }), { store: null }));
