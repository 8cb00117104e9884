import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Relay, startRelay } from "../main.ts";
import { memoryStorage } from "../src/client/mod.ts";
import {
  converged,
  type DeviceKit,
  eventually,
  synced,
  type Told,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";

/** A relay that keeps logs in memory, and can lose all of them. */
async function withForgetful(
  run: (relay: { url: string; forget(): Promise<void> }, kit: DeviceKit) => Promise<void>,
): Promise<void> {
  const start = (port: number): Promise<Relay> =>
    startRelay({ host: "127.0.0.1", port, token: "" });
  let relay = await start(0);
  const { url, port } = relay;
  const forget = async () => {
    await relay.stop();
    relay = await start(port);
  };
  try {
    await withDevices((kit) => run({ url, forget }, kit));
  } finally {
    await relay.stop();
  }
}

/** Three devices, each with a storage that it can come back with. */
async function three(kit: DeviceKit, url: string) {
  const storages = [memoryStorage(), memoryStorage(), memoryStorage()];
  const a = kit.create({ url, database: "bugs", name: "a", storage: storages[0]! });
  const invitation = await a.client.invite({ permanent: true });
  const devices = [a];
  for (const name of ["b", "c"]) {
    const storage = storages[devices.length]!;
    devices.push(kit.open({ url, invitation, name, storage }));
    await devices.at(-1)!.client.ready;
  }
  const all = () => devices.every(({ client }) => client.devices().length === 3);
  await eventually(all, "all know all");
  await synced(...devices);
  const back = (i: number) => kit.open({ url, storage: storages[i]! });
  return { devices: devices as [Told, Told, Told], back };
}

test("a relay that loses its memory takes nothing from devices that have it", () =>
  withForgetful(async (relay, kit) => {
    const { devices: [a, b, c], back } = await three(kit, relay.url);
    for (let n = 0; n < 5; n++) await a.client.collection("bugs").insert({ n });
    await converged([a, b, c], 5);
    await c.client.close();
    await a.client.rotate();
    await b.client.collection("bugs").insert({ n: 5 });
    await converged([a, b], 6);
    await relay.forget();
    const late = back(2);
    await converged([a, b, late], 6);
    await late.client.collection("bugs").insert({ n: 6 });
    await converged([a, b, late], 7);
    const fresh = kit.open({ url: relay.url, invitation: await a.client.invite() });
    await converged([a, b, late, fresh], 7);
  }));

test("a removal holds over a lost memory, also against devices that went on without it", () =>
  withForgetful(async (relay, kit) => {
    const { devices: [a, b, c], back } = await three(kit, relay.url);
    const lost = await c.client.node();
    await Promise.all([b.client.close(), c.client.close()]);
    await a.client.remove(lost);
    await a.client.collection("bugs").insert({ by: "a" });
    await eventually(() => a.client.counts.local === 0, "the relay has it");
    await a.client.close();
    await relay.forget();
    // Nobody here knows of the removal.
    const [bAgain, cAgain] = [back(1), back(2)];
    await synced(bAgain, cAgain);
    await bAgain.client.collection("bugs").insert({ by: "b" });
    await bAgain.client.rotate();
    await converged([bAgain, cAgain], 1);
    const aAgain = back(0);
    await eventually(
      () => [aAgain, bAgain].every(({ client }) => client.devices().length === 2),
      "c is out for both",
    );
    await converged([aAgain, bAgain], 2);
    await eventually(() => wasRemoved(cAgain), "c knows");
    assertEquals(cAgain.client.collection("bugs").list().length, 1);
  }));

test("two that removed each other over a lost memory are named, for people to decide", () =>
  withForgetful(async (relay, kit) => {
    const { devices: [a, b, c], back } = await three(kit, relay.url);
    const [aNode, bNode] = [await a.client.node(), await b.client.node()];
    await Promise.all([b.client.close(), c.client.close()]);
    await a.client.remove(bNode);
    await a.client.close();
    await relay.forget();
    const bAgain = back(1);
    await synced(bAgain);
    await bAgain.client.remove(aNode);
    const aAgain = back(0);
    const stopped = () => [aAgain, bAgain].find((one) => one.faults().includes("MUTUAL_REMOVAL"));
    await eventually(() => stopped() !== undefined, "it is named");
    const fault = stopped()!.statuses.find((one) =>
      one.kind === "fault" && one.fault.code === "MUTUAL_REMOVAL"
    );
    assert(fault?.kind === "fault");
    for (const node of [aNode, bNode]) assert(fault.fault.message.includes(node), node);
  }));
