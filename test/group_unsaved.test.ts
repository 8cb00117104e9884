/** A storage that fails for a moment, whatever the device is doing: it goes on. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage } from "../src/client/mod.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import {
  converged,
  count,
  type DeviceKit,
  epochOf,
  eventually,
  group,
  insert,
  stillWork,
  titles,
  withDevices,
} from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";

const host = quickHost(50);

/** A storage that refuses the save of this number. */
class Brittle implements DeviceStorage {
  readonly inner = memoryStorage();
  saves = 0;
  failed = false;

  constructor(readonly at: number) {}

  load = () => this.inner.load();

  async save(changes: Parameters<DeviceStorage["save"]>[0]): Promise<void> {
    if (++this.saves === this.at) {
      this.failed = true;
      throw new Error("no space left");
    }
    await this.inner.save(changes);
  }
}

/** Joins, writes, reads, and changes the group; answers how often it has saved. */
async function live(kit: DeviceKit, url: string, storage: Brittle): Promise<number> {
  const database = `fails at ${storage.at}`;
  const { devices: [a] } = await group(kit, url, 1, { host, database });
  const invitation = await a!.client.invite();
  await insert(a!, "1");
  const b = kit.open({ url, invitation, storage, host });
  await eventually(() => b.client.state === "synced", () => `at ${storage.at}: ${b.client.state}`);
  // Who wrote it hears that it may be gone after a crash; it counts all the same.
  await insert(b, "2").catch(() => {});
  await insert(a!, "3");
  await converged([a!, b], 3);
  let done = false;
  void b.client.rotate().then(() => done = true);
  await eventually(() => done, () => `at ${storage.at}: it changes the group, ${b.faults()}`);
  await insert(a!, "4");
  await insert(b, "5").catch(() => {});
  await insert(a!, "6");
  await converged([a!, b], 6);
  await eventually(() => epochOf(a!) === epochOf(b), "both are there");
  await eventually(() => a!.client.pending + b.client.pending === 0, "all is shared");
  const { saves } = storage;
  await b.client.close();
  const again = kit.open({ url, storage: storage.inner, host });
  await stillWork([a!, again], 6);
  assertEquals([count(a!), count(again)], [2, 2]);
  await Promise.all([a!, again].map(({ client }) => client.close()));
  return saves;
}

test("a device goes on, whichever of its saves fails", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const most = await live(kit, url, new Brittle(0));
      assert(most > 8, `${most} saves`);
      // The first save of all is that of who it is: without it there is no device.
      for (let at = 2; at <= most; at++) await live(kit, url, new Brittle(at));
    })
  ));

for (const permanent of [false, true]) {
  const kind = permanent ? "a permanent text" : "a text that lets in one";
  test(`a newcomer with ${kind} that dies anywhere goes on with the same call`, () =>
    withRelay(({ url }) =>
      withDevices(async (kit) => {
        const copies: Map<string, Bytes>[] = [];
        const inner = memoryStorage();
        const storage: DeviceStorage = {
          load: () => inner.load(),
          async save(changes) {
            await inner.save(changes);
            copies.push(await inner.load());
          },
        };
        const { devices: [a] } = await group(kit, url, 1, { host });
        await insert(a!, "of a");
        const invitation = await a!.client.invite({ permanent });
        const b = kit.open({ url, invitation, storage, host });
        await b.client.ready;
        await converged([a!, b], 1);
        const node = await b.client.node();
        await b.client.close();
        assert(copies.length >= 3, `${copies.length} moments`);
        for (const copy of copies) {
          const again = kit.open({ url, invitation, storage: memoryStorage(copy), host });
          await eventually(() => again.client.state === "synced", () => `${again.faults()}`);
          await converged([a!, again], 1);
          assertEquals(await again.client.node(), node, "the same device");
          assertEquals([count(a!), titles(again)], [2, ["of a"]]);
          await again.client.close();
        }
      })
    ));
}
