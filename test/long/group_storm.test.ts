import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage, Uuid } from "../../src/client/mod.ts";
import { contents, converged, eventually, group, type Told, withDevices } from "../kit/group.ts";
import { dice, seed } from "../kit/random.ts";
import { withRelay } from "../kit/relay.ts";

test("ten devices join, leave and rotate at random under load: all end with the same records", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const random = dice();
      const first = memoryStorage();
      const { devices: [founder], invitation } = await group(kit, relay.url, 1, { storage: first });
      const storages: DeviceStorage[] = [first];
      const devices: (Told | undefined)[] = [founder];
      const ids: Uuid[] = [];
      const here = () => devices.filter((one) => one !== undefined);
      const write = async ({ client }: Told) => {
        const bugs = client.collection("bugs");
        const id = ids[random(ids.length)];
        const kind = random(10);
        if (!id || kind < 5) ids.push((await bugs.insert({ n: random(1_000) })).id);
        else if (kind < 9) await bugs.update(id, { [`f${random(4)}`]: random(1_000) });
        else await bugs.delete(id);
      };
      for (let step = 0; step < 120; step++) {
        const at = random(devices.length);
        const one = devices[at];
        const action = random(20);
        if (devices.length < 10 && (action < 3 || step > 60)) {
          const storage = memoryStorage();
          storages.push(storage);
          devices.push(
            kit.open({ url: relay.url, invitation, storage, name: `${devices.length}` }),
          );
        } else if (action < 6 && one && here().length > 1) {
          devices[at] = undefined;
          await one.client.close();
        } else if (action < 9 && !one) {
          devices[at] = kit.open({ url: relay.url, storage: storages[at]!, invitation });
        } else if (action === 9 && one && one.client.devices().length > 0) {
          await one.client.rotate();
        }
        for (const other of here()) if (random(2) === 0) await write(other);
      }
      for (const [at, one] of devices.entries()) {
        devices[at] ??= kit.open({ url: relay.url, storage: storages[at]!, invitation });
        assertEquals(one === undefined || devices[at] === one, true);
      }
      const all = here();
      assertEquals(all.length, 10);
      try {
        await eventually(
          () => all.every(({ client }) => client.devices().length === 10),
          "rosters",
        );
        await converged(all, 1, 30_000);
        await eventually(() => all.every(({ client }) => client.pending === 0), "acknowledged");
      } catch (error) {
        const faults = all.map((one) =>
          `${one.client.devices().length} ${[...new Set(one.faults())]}`
        );
        throw new Error(`SEED=${seed}: ${faults.join(" | ")}`, { cause: error });
      }
      assertEquals(new Set(all.map(({ client }) => contents(client))).size, 1);
    })
  ));
