/** What comes into the log while a device looks into a door is heard of, and said to be. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { contents, eventually, group, online, type Told, withDevices } from "./kit/group.ts";
import { isSubtype, withHostile } from "./kit/hostile.ts";
import { withRelay } from "./kit/relay.ts";

test("an operation that came while the log was not open is acknowledged", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices, invitation } = await group(kit, relay.url, 1);
        const [a] = devices as [Told];
        const b = kit.open({ url: hostile.url, invitation });
        await eventually(() => online(a.client) === 2 && online(b.client) === 2, "both are here");
        const bugs = a.client.collection("bugs");
        await bugs.insert({ n: 1 });
        await eventually(() => a.client.pending === 0, "the first one was acknowledged");

        const { node } = b.client.devices().find(({ self }) => self)!;
        let opened = 0;
        hostile.up = (message, victim) => {
          // The door first; then the log again, which by then has one more.
          if (!isSubtype(message, Subtype.open) || ++opened !== 2) return;
          void bugs.insert({ n: 2 })
            .then(() => eventually(() => a.client.counts.local === 0, "the relay has it"))
            .then(() => victim.toRelay(message));
          return [];
        };
        hostile.victim(node).toDevice(deviceFrame(Subtype.knock, new Uint8Array()));
        await eventually(() => a.client.pending === 0 && opened === 2, "so was the second one");
        assertEquals(contents(b.client), contents(a.client));
      }))
  ));
