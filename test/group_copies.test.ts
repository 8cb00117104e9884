/** A device that is put back to an older copy of itself, from before a commit of its own. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { memoryStorage } from "../src/client/mod.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import {
  backedUp,
  converged,
  count,
  epochOf,
  eventually,
  group,
  insert,
  stillWork,
  type Told,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { appended } from "./kit/attack.ts";
import { withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";

const host = quickHost(5);

type Changes = (b: Told, c: Told) => Promise<void>;
const changes: Record<string, Changes> = {
  "new keys": async (b) => {
    await b.client.rotate();
    await b.client.rotate();
  },
  "a removal": async (b, c) => await b.client.remove(await c.client.node()),
};

for (const [what, change] of Object.entries(changes)) {
  for (const alone of [false, true]) {
    const when = alone ? "nobody else is here" : "others are here";
    test(`a copy from before ${what} of its own is let in again, while ${when}`, () =>
      withRelay(({ url }) =>
        withHostile(url, (hostile) =>
          withDevices(async (kit) => {
            const [keptA, keptB] = [backedUp(), backedUp()];
            const options = { host, storage: keptA.storage };
            const { devices: [a0], invitation } = await group(kit, url, 1, options);
            let a = a0!;
            const b = kit.open({ url, invitation, storage: keptB.storage, host });
            await b.client.ready;
            const c = kit.open({ url, invitation, host });
            await c.client.ready;
            await insert(a, "of a");
            await insert(b, "of b");
            await converged([a, b, c], 2);
            await eventually(() => a.client.pending + b.client.pending === 0, "all is quiet");
            const older: Map<string, Bytes> = await keptB.copy();
            const out = await c.client.node();
            await change(b, c);
            await insert(b, "after it, by b");
            await converged([a, b], 3);
            const left = [a, c].filter((one) => !wasRemoved(one));
            await eventually(() => left.every((one) => epochOf(one) === epochOf(b)), "all follow");
            await b.client.close();
            const node = await b.client.node();
            if (alone) await Promise.all(left.map(({ client }) => client.close()));
            const kept = backedUp(older);
            let back = kit.open({ url, storage: kept.storage, host });
            await insert(back, "of the copy");
            if (alone) {
              // The two are never here together.
              await eventually(() => back.client.state === "waiting", "it waits at its door");
              await back.client.close();
              const opened = kit.open({ url: hostile.url, storage: keptA.storage, host });
              const welcomed = () =>
                hostile.seen.some(({ up, message }) => up && appended(message) === Subtype.welcome);
              await eventually(welcomed, "it is let in");
              await opened.client.close();
              back = kit.open({ url, storage: kept.storage, host });
              await eventually(() => back.client.state === "synced", "it is in the group");
              a = kit.open({ url, storage: keptA.storage, host });
            }
            await eventually(
              () => back.client.state === "synced" && epochOf(back) === epochOf(a),
              () => `${back.client.state} ${epochOf(back)} ${epochOf(a)} ${back.faults()}`,
            );
            await converged([a, back], 4);
            await stillWork([a, back], 4);
            assertEquals(await back.client.node(), node, "the same device");
            assertEquals(
              back.client.devices().some((one) => one.node === out),
              what !== "a removal",
            );
            assertEquals([count(a), count(back)], what === "a removal" ? [2, 2] : [3, 3]);
            assert(!wasRemoved(back));
            // And again, as it is now.
            await back.client.close();
            const storage = memoryStorage(await kept.copy());
            const later = kit.open({ url, storage, host });
            await stillWork([a, later], 6);
          }))
      ));
  }
}

test("a copy of the only device, from before its own commit, says that it cannot go on", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const { devices: [a] } = await group(kit, url, 1, { storage: kept.storage, host });
      await insert(a!, "before");
      await a!.client.sent();
      const older = await kept.copy();
      await a!.client.rotate();
      await a!.client.close();
      const back = kit.open({ url, storage: memoryStorage(older), host });
      await eventually(() => back.client.state === "waiting", "it waits at its door");
      assertEquals(back.client.collection("bugs").list().length, 1, "what it has stays");
    })
  ));

test("a copy stands at its door, and who comes alone reads first what it announced before", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const [keptA, keptB] = [backedUp(), backedUp()];
      const { devices: [first], invitation } = await group(kit, url, 1, {
        host,
        storage: keptA.storage,
      });
      const b = kit.open({ url, invitation, storage: keptB.storage, host });
      await insert(b, "of b");
      await converged([first!, b], 1);
      await b.client.sent();
      const older = await keptB.copy();
      await first!.client.close();
      // Nobody but this one is in the next epoch before its copy knocks.
      await b.client.rotate();
      await insert(b, "after it");
      await b.client.sent();
      await b.client.close();
      const kept = backedUp(older);
      let back = kit.open({ url, storage: kept.storage, host });
      await eventually(() => back.client.state === "waiting", "it waits at its door");
      await back.client.close();
      const a = kit.open({ url, storage: keptA.storage, host });
      await eventually(() => epochOf(a) === 1 + epochOf(b)!, "it is let in again");
      back = kit.open({ url, storage: kept.storage, host });
      await converged([a, back], 2);
      // What was written before comes before it is in the epoch.
      await eventually(() => epochOf(back) === epochOf(a), "it is in their epoch");
      await stillWork([a, back], 2);
    })
  ));
