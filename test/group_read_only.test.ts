/** Devices whose token lets them read, and write nothing. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { assemble } from "../routes/assemble.ts";
import type { Grant } from "../src/admission.ts";
import { memoryStorage } from "../src/client/mod.ts";
import { limits } from "../src/limits.ts";
import { bun } from "../src/runtime/bun.ts";
import { deno } from "../src/runtime/deno.ts";
import { eventually, group, insert, titles, type Told, withDevices } from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { refusal } from "./kit/refusal.ts";

const owner: Grant = {
  subject: "owner",
  tenant: "default",
  read: "*",
  write: "*",
  publish: "*",
  watch: "*",
  broadcast: true,
};
const reader: Grant = { ...owner, subject: "reader", write: [] };

/** A relay where the token `reader` reads, and any other one does everything. */
async function withReaders(
  run: (relay: { readonly url: string; links(): number }) => Promise<void>,
): Promise<void> {
  const runtime = "Bun" in globalThis ? bun : deno;
  const chosen = limits({});
  let links = 0;
  const { app, store } = assemble({
    runtime: "a test",
    limits: chosen,
    admission: (request) =>
      request.headers.get("sec-websocket-protocol")?.includes("reader") ? reader : owner,
    wrap: (accept) => (link) => {
      links++;
      return accept(link);
    },
  });
  const server = await runtime.serve(
    { hostname: "127.0.0.1", port: 0, idleSeconds: chosen.idleSeconds },
    (request, peer) => app.fetch(request, { peer }),
  );
  try {
    await run({ url: `http://127.0.0.1:${server.port}`, links: () => links });
  } finally {
    await server.stop(0);
    await store?.close();
  }
}

const host = quickHost(20);

test("a member that only reads hears everything, over epochs too, and does not come back for ever", () =>
  withReaders(({ url, links }) =>
    withDevices(async (kit) => {
      const storage = memoryStorage();
      const { devices: [a], invitation } = await group(kit, url, 1, { token: "owner", host });
      const b = kit.open({ url, invitation, storage, token: "owner", host });
      await b.client.ready;
      await insert(a!, "1");
      await eventually(() => titles(b).length === 1, "b has it");
      await b.client.close();
      await insert(a!, "2");
      await a!.client.sent();
      const before = links();
      const reads = kit.open({ url, storage, token: "reader", host });
      await eventually(() => titles(reads).length === 2, "it reads what was there");
      await insert(a!, "3");
      await eventually(() => titles(reads).length === 3, "and what comes");
      await a!.client.rotate();
      await insert(a!, "4");
      await eventually(() => titles(reads).length === 4, "and the next epoch");
      // Somebody knocks, and is let in by the other one: doors and logs of before are no trouble.
      const c = kit.open({ url, invitation, token: "owner", host });
      await c.client.ready;
      await insert(c, "5");
      await eventually(() => titles(reads).length === 5, "and of newcomers");
      // What changes the group it cannot do, and says so.
      for (const change of [() => reads.client.rotate(), () => reads.client.invite()]) {
        let answer = "";
        void refusal(change).then((code) => answer = code);
        await eventually(() => answer !== "", "it is answered");
        assertEquals(answer, "READ_ONLY");
      }
      await insert(reads, "stays here");
      await insert(a!, "6");
      await eventually(() => titles(reads).length === 7, "it reads on");
      assertEquals(reads.client.counts, { local: 1, mailbox: 0 });
      assertEquals(links() - before, 2, "one link of each");
      assertEquals(reads.client.state, "synced");
      await reads.client.close();
      const writes = kit.open({ url, storage, token: "owner", host });
      await eventually(() => titles(a!).length === 7 && titles(writes).length === 7, "now it goes");
    })
  ));

test("a member that only reads looks into doors and logs of before, whatever is missing there", () =>
  withReaders(({ url, links }) =>
    withDevices(async (kit) => {
      const [ofA, ofB] = [memoryStorage(), memoryStorage()];
      const options = { token: "owner", host, storage: ofA };
      const { devices: [a], invitation } = await group(kit, url, 1, options);
      const b = kit.open({ url, invitation, storage: ofB, token: "owner", host });
      await b.client.ready;
      await b.client.close();
      // Doors of these were never opened: nobody has knocked.
      for (let i = 0; i < 3; i++) await a!.client.invite();
      await a!.client.rotate();
      await insert(a!, "1");
      await a!.client.sent();
      await a!.client.close();
      const before = links();
      const reads = kit.open({ url, storage: ofB, token: "reader", host });
      await eventually(() => titles(reads).length === 1, "it reads");
      await eventually(() => reads.client.state === "synced", "it is there");
      const again = kit.open({ url, storage: ofA, token: "owner", host });
      await insert(again, "2");
      await eventually(() => titles(reads).length === 2, "it reads on");
      assertEquals(links() - before, 2, "one link of each");
    })
  ));

test("who has to write to come in, and may not, hears why", () =>
  withReaders(({ url }) =>
    withDevices(async (kit) => {
      const { devices: [a] } = await group(kit, url, 1, { token: "owner", host });
      const storage = memoryStorage();
      const invitation = await a!.client.invite();
      const joiner: Told = kit.open({ url, invitation, storage, token: "reader", host });
      await eventually(() => joiner.client.state === "ended", () => `${joiner.faults()}`);
      assertEquals(await refusal(() => joiner.client.ready), "READ_ONLY");
      assert(joiner.faults().includes("READ_ONLY"));
      await joiner.client.close();
      const writes = kit.open({ url, invitation, storage, token: "owner", host });
      await writes.client.ready;
    })
  ));
