/** A device that comes back to others who have nothing to say. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import {
  backedUp,
  converged,
  eventually,
  group,
  insert,
  online,
  stillWork,
  withDevices,
} from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";

test("a device that comes back while the others are quiet sees them, and stays in the group", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const host = quickHost(20);
      const kept = backedUp();
      const { devices: [a], invitation } = await group(kit, relay.url, 1, { host });
      const b = kit.open({ url: relay.url, invitation, host });
      await b.client.ready;
      const c = kit.open({ url: relay.url, invitation, host, storage: kept.storage });
      await c.client.ready;
      await insert(a!, "before");
      await converged([a!, b, c], 1);
      await eventually(() => a!.client.pending === 0, "all is quiet");
      await c.client.close();
      await eventually(() => online(a!.client) === 2, "c has left");
      const back = kit.open({ url: relay.url, host, storage: kept.storage });
      await eventually(() => online(back.client) === 3, "it sees them");
      const passed = Promise.withResolvers<void>();
      host.after(60_000, passed.resolve);
      await passed.promise;
      assertEquals(back.client.state, "synced");
      assertEquals(
        back.statuses.some((one) => one.kind === "state" && one.state === "waiting"),
        false,
      );
      await stillWork([a!, b, back], 1);
    })
  ));
