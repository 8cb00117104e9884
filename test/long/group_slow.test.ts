/** Groups over a network that takes two seconds each way. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import {
  converged,
  eventually,
  group,
  insert,
  stillWork,
  type Told,
  wasRemoved,
  withDevices,
} from "../kit/group.ts";
import { delays, proxy } from "../kit/proxy.ts";
import { quickHost } from "../kit/quick_host.ts";
import { withRelay } from "../kit/relay.ts";

const EACH_WAY_MS = 2_000;
const TIMES = 5;

for (const times of [1, TIMES]) {
  const many = times === 1 ? 2 : 4;
  test(`${many} devices join, write, and remove one, where time passes ${times} times as fast`, () =>
    withRelay(async (relay) => {
      const slow = await proxy(relay.url, delays(EACH_WAY_MS / times));
      try {
        await withDevices(async (kit) => {
          const { devices } = await group(kit, slow.url, many, { host: quickHost(times) });
          for (const one of devices) await insert(one, "from each");
          await converged(devices, many, 120_000);
          const gone = devices.at(-1)!;
          await devices[0]!.client.remove(await gone.client.node());
          const left = devices.slice(0, -1) as Told[];
          const removed = () => wasRemoved(gone);
          await eventually(
            () => removed() && left.every(({ client }) => client.devices().length === many - 1),
            "it is removed",
            120_000,
          );
          await stillWork(left, many);
          assertEquals(devices.map((one) => one.faults()), devices.map(() => []));
        });
      } finally {
        await slow.stop();
      }
    }));
}
