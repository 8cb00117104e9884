/** Checkpoints that are cut off, and a relay that loses its memory at any step of a removal. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { random } from "../src/client/group/e2e/derive.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import type { LogStore } from "../src/store/store.ts";
import { framesIn, Subtype } from "../src/wire/blaze/extension.ts";
import { hex } from "../src/wire/bytes.ts";
import {
  converged,
  count,
  eventually,
  group,
  insert,
  stillWork,
  titles,
  type Told,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { appended } from "./kit/attack.ts";
import { withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";

test("checkpoints while all write, of two devices at once, and one that dies in the middle", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices, invitation } = await group(kit, hostile.url, 3, {
          compress: "never",
          host: quickHost(10),
        });
        let parts = 0;
        let cut = 0;
        hostile.up = (message, victim) => {
          if (appended(message) !== Subtype.checkpoint) return;
          // The first two that begin are gone after their second part.
          if (++parts % 2 === 0 && cut < 2) {
            cut++;
            victim.close(1012);
            return [];
          }
        };
        const text = hex(random(25_000));
        for (let i = 0; i < 12; i++) {
          await Promise.all(
            devices.map(({ client }, n) =>
              client.collection("bugs").insert({ title: `${n} ${i}`, text })
            ),
          );
        }
        await converged(devices, 36);
        await eventually(() => cut === 2, "two have died");
        const whole = () =>
          hostile.seen.some(({ up, message }) => {
            return up && appended(message) === Subtype.endorsement;
          });
        await eventually(whole, "one was endorsed");
        await stillWork(devices as Told[], 36);
        const late = kit.open({ url: hostile.url, invitation });
        await converged([...devices, late], 39);
        assertEquals(devices.map((one) => one.faults().filter((code) => code !== "OFFLINE")), [
          [],
          [],
          [],
        ]);
      }))
  ));

test("a device whose link goes in the middle of a checkpoint takes the rest over the next one", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices, invitation } = await group(kit, hostile.url, 2, {
          compress: "never",
          host: quickHost(10),
        });
        let author = "";
        hostile.up = (message, { node }) => {
          if (appended(message) === Subtype.checkpoint) author = node;
        };
        let parts = 0;
        let cut = false;
        hostile.down = (message, victim) => {
          if (victim.node === author) return;
          for (const frame of framesIn(message)) {
            if (appended(frame.slice()) === Subtype.checkpoint) parts++;
          }
          if (cut || parts < 4) return;
          cut = true;
          victim.close(1012);
          return [];
        };
        const text = hex(random(25_000));
        for (let i = 0; i < 36; i++) {
          await devices[i % 2]!.client.collection("bugs").insert({ title: `${i}`, text });
        }
        await eventually(() => cut, () => `${parts} ${devices.map((one) => one.faults())}`);
        await stillWork(devices as Told[], 36);
        // It is endorsed only by who had exactly that state, and these write: what counts is what it gives.
        const late = kit.open({ url: hostile.url, invitation });
        await converged([...devices, late], 38);
        const faults = [...devices, late].flatMap((one) =>
          one.faults().filter((code) => code !== "OFFLINE")
        );
        assertEquals(faults, []);
      }))
  ));

test("a removal and everything after it hold, at whichever step of it the relay loses its memory", async () => {
  for (let step = 1; step <= 6; step++) {
    let lost = -1;
    let steps = 0;
    let store = new MemoryStore(host, limits({}));
    const forget = () => {
      if (lost < 0 || ++steps !== step) return;
      lost = -1;
      store = new MemoryStore(host, limits({}));
      queueMicrotask(() => hostileNow?.());
    };
    let hostileNow: (() => void) | undefined;
    const forgetful: LogStore = {
      durability: 0,
      open: (...args) => (forget(), store.open(...args)),
      append: (...args) => (forget(), store.append(...args)),
      read: (...args) => store.read(...args),
      hashAt: (...args) => store.hashAt(...args),
      truncate: (...args) => store.truncate(...args),
      watch: (...args) => store.watch(...args),
      sweep: () => store.sweep(),
      close: () => store.close(),
    };
    await withRelay((relay) =>
      withHostile(relay.url, (hostile) =>
        withDevices(async (kit) => {
          hostileNow = () => hostile.victims.forEach((victim) => victim.close(1012));
          const { devices } = await group(kit, hostile.url, 3);
          const [a, b, c] = devices as [Told, Told, Told];
          await insert(a, "before");
          await converged(devices, 1);
          await eventually(() => a.client.pending === 0, "all is quiet");
          lost = step;
          await a.client.remove(await c.client.node());
          await eventually(
            () => count(a) === 2 && count(b) === 2,
            () => `step ${step}: ${count(a)} ${count(b)} ${b.faults()}`,
          );
          await insert(a, "not for c");
          await converged([a, b], 2);
          await eventually(() => wasRemoved(c), "c knows");
          assertEquals(titles(c), ["before"]);
        })), { store: forgetful });
  }
});
