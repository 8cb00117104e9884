/** Links of one device that follow each other: one session after the other, and none keeps any amount. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage } from "../src/client/mod.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import {
  converged,
  type DeviceKit,
  eventually,
  group,
  insert,
  stillWork,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { type Hostile, isType, withHostile } from "./kit/hostile.ts";
import { withRelay } from "./kit/relay.ts";

/** A storage in which the next save waits until somebody says so. */
class Gate implements DeviceStorage {
  readonly inner = memoryStorage();
  #shut: PromiseWithResolvers<void> | undefined;
  /** Saves that wait. */
  waiting = 0;

  load = () => this.inner.load();

  async save(changes: Parameters<DeviceStorage["save"]>[0]): Promise<void> {
    this.waiting++;
    await this.#shut?.promise;
    this.waiting--;
    await this.inner.save(changes);
  }

  shut(): void {
    this.#shut = Promise.withResolvers();
  }

  open(): void {
    this.#shut?.resolve();
    this.#shut = undefined;
  }
}

/** `b`, over the hostile relay, is in the middle of reading what `a` wrote. */
const inTheMiddle = (
  run: (parts: { a: Told; b: Told; gate: Gate; hostile: Hostile; kit: DeviceKit }) => Promise<void>,
) =>
  withRelay(({ url }) =>
    withHostile(url, (hostile) =>
      withDevices(async (kit) => {
        const gate = new Gate();
        const { devices: [a], invitation } = await group(kit, url, 1);
        const b = kit.open({ url: hostile.url, invitation, storage: gate });
        try {
          await b.client.ready;
          await insert(a!, "before");
          await converged([a!, b], 1);
          await eventually(() => a!.client.pending === 0, "all is quiet");
          gate.shut();
          for (let i = 0; i < 5; i++) await insert(a!, `meanwhile ${i}`);
          await eventually(() => gate.waiting > 0, "it stores what it has read");
          await run({ a: a!, b, gate, hostile, kit });
        } finally {
          gate.open();
        }
      }))
  );

test("a session begins when the one before has ended: both would read into one device", () =>
  inTheMiddle(async ({ a, b, gate, hostile }) => {
    const node = await b.client.node();
    const before = hostile.victims.length;
    const said = () => hostile.victims.slice(before).filter((one) => one.node === node).length;
    hostile.victim(node).close(1012);
    await eventually(() => hostile.victims.length > before, "it comes back");
    // The other device does a lot meanwhile.
    for (let i = 0; i < 20; i++) await insert(a, `later ${i}`);
    await a.client.sent();
    assertEquals(said(), 0, "it says nothing yet");
    gate.open();
    await eventually(() => said() === 1, "it goes on");
    await converged([a, b], 26);
    assertEquals(b.incoming.length, 26, "each came once");
    await stillWork([a, b], 26);
  }));

test("a relay that sends more than a device can read for now is left, and read on later", () =>
  inTheMiddle(async ({ a, b, gate, hostile }) => {
    const victim = hostile.victim(await b.client.node());
    const before = hostile.victims.length;
    const MEBIBYTE = 1024 * 1024;
    const payload = new Uint8Array(MEBIBYTE);
    const filling = encodeFrame({ type: FrameType.pong, payload });
    let sent = 0;
    while (hostile.victims.length === before && sent < 200) {
      victim.toDevice(filling);
      victim.toDevice(deviceFrame(Subtype.hold, new Uint8Array()));
      sent++;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await eventually(() => hostile.victims.length > before, "it has left");
    gate.open();
    await converged([a, b], 6);
    await stillWork([a, b], 6);
    assertEquals(
      hostile.seen.filter(({ up, message }) => up && isType(message, FrameType.error)),
      [],
    );
  }));
