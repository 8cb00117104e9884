/** What people and programs do with a group that is not how it was meant. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { memoryStorage } from "../src/client/mod.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { eventually, insert, titles, withDevices } from "./kit/group.ts";
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
