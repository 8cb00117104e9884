import { Buffer } from "node:buffer";
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  EcgClient,
  type EcgMessage,
  type EcgOptions,
  type EcgSeal,
  Flag,
  MessageType,
  NdArray,
  type SealedHeader,
  Version,
} from "../src/client/mod.ts";
import { type Bytes, concat, utf8Bytes, Writer } from "../src/wire/bytes.ts";
import { Sealer, Sender } from "../src/client/group/e2e/sender.ts";
import { WINDOW } from "../src/client/group/e2e/replay.ts";
import {
  backedUp,
  type DeviceKit,
  eventually,
  group,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { restored } from "./kit/kept_group.ts";
import { proxy } from "./kit/proxy.ts";
import { chunkOf, recording } from "./kit/recordings.ts";
import { withRelay } from "./kit/relay.ts";
import { refusal } from "./kit/refusal.ts";

const CANARY = "canary: patient Ada Lovelace";

/** An ECG client that remembers what it was told, and what it got. */
class Ward {
  readonly #open: EcgClient[] = [];

  constructor(private readonly url: string) {}

  client(options: Partial<EcgOptions> = {}) {
    const client = EcgClient.open({ url: this.url, stream: "bed-3", ...options });
    this.#open.push(client);
    const faults: string[] = [];
    client.onStatus((status) => status.kind === "fault" && faults.push(status.message));
    return { client, faults };
  }

  async watcher(options: Partial<EcgOptions> = {}, lastSeconds = 0) {
    const { client, faults } = this.client(options);
    const got: EcgMessage[] = [];
    const loop = await client.watch({ lastSeconds });
    const reading = (async () => {
      for await (const message of loop) got.push(message);
    })();
    reading.catch(() => {});
    return { client, faults, got };
  }

  close(): void {
    for (const client of this.#open) client.close();
  }
}

/** Devices of one group, and what they do on one stream. */
const ward = (
  count: number,
  run: (
    parts: { kit: DeviceKit; devices: Told[]; invitation: string; ward: Ward; url: string },
  ) => Promise<void>,
) =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, url, count);
      const one = new Ward(url);
      try {
        await run({ kit, devices, invitation, ward: one, url });
      } finally {
        one.close();
      }
    })
  );

const header: SealedHeader = {
  stream: "bed-3",
  type: MessageType.ECG_DATA,
  flags: Flag.ENCRYPTED,
  timestamp: 1_705_314_645_123_456n,
};

const refused = async (seal: EcgSeal, sealed: Bytes, code: string, as = header) =>
  assertEquals(
    (await assertRejects(async () => await seal.open(sealed, as)) as Error & { code: string })
      .code,
    code,
  );

/** Seals `count` texts, each a payload of its own. */
async function texts(seal: EcgSeal, count: number, as = header): Promise<Bytes[]> {
  const sealed: Bytes[] = [];
  for (let i = 0; i < count; i++) sealed.push(await seal.seal(utf8Bytes(`${i}`), as));
  return sealed;
}

test("ecgSeal brings every sample to a device of the group, packed and as floats, and shows the relay none", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const seen: Buffer[] = [];
      // Between the relay and everybody: what it hears and says.
      const tap = await proxy(relay.url, ({ client, pass }) => {
        client.on("data", (bytes: Uint8Array) => seen.push(Buffer.from(bytes)));
        pass().on("data", (bytes: Uint8Array) => seen.push(Buffer.from(bytes)));
      });
      const [a, b] = (await group(kit, relay.url, 2, { compress: "never" })).devices;
      const one = new Ward(tap.url);
      try {
        const whole = recording("mitdb100_20s");
        const monitor = one.client({ scale: whole.scale, seal: a!.client.ecgSeal() });
        const watcher = await one.watcher({ seal: b!.client.ecgSeal() });
        for (let second = 0; second < 5; second++) {
          const fields = { second, note: CANARY };
          await monitor.client.publishSamples(chunkOf(whole, 360 * second, 360), fields, {
            acknowledged: true,
          });
        }
        const floats = Float64Array.from({ length: 500 }, (_, i) => Math.sin(i / 7));
        const signal = new NdArray("float64", floats, [2, 250]);
        await monitor.client.publish({ signal, sampling_rate: 250, note: CANARY });
        await eventually(() => watcher.got.length === 6, "everything came");
        const [last] = watcher.got.splice(5);
        const raw = watcher.got.flatMap(({ signal }) => Array.from(signal!.leads[0]!.raw!));
        assertEquals(raw, Array.from(whole.leads[0]!.subarray(0, 1800)));
        assertEquals(last!.payload, { signal, sampling_rate: 250, note: CANARY });
        assertEquals(last!.signal!.leads.map(({ values }) => values), [
          floats.subarray(0, 250),
          floats.subarray(250),
        ]);
        assertEquals([monitor.faults, watcher.faults], [[], []]);

        // What the relay sends is not masked, so a canary in the clear would be found.
        const open = await one.watcher();
        const loud = one.client();
        await loud.client.publish({ signal: [1], note: "heard by the relay" });
        await eventually(() => open.got.length === 1, "it came in the clear");
        const passed = Buffer.concat(seen);
        assert(passed.includes("heard by the relay"), "the tap hears");
        assert(!passed.includes(CANARY) && !passed.includes("Lovelace"), "the canary passed");
        assert(!passed.includes("sampling_rate"), "a field's name passed");
      } finally {
        one.close();
        await tap.stop();
      }
    })
  ));

test("ecgSeal: who comes late gets the past, without an announce", () =>
  ward(1, async ({ kit, devices, invitation, ward, url }) => {
    const monitor = ward.client({ seal: devices[0]!.client.ecgSeal() });
    for (let i = 0; i < 3; i++) await monitor.client.publish({ i }, { acknowledged: true });
    const rest = monitor.client.publish({ rest: true }, { acknowledged: true });
    const late = kit.open({ url, invitation });
    await late.client.ready;
    await rest;
    // Its epoch begins with it, so all of this was sealed before.
    const before = await ward.watcher({ seal: late.client.ecgSeal() }, 10);
    await eventually(() => before.faults.length === 4, "it cannot read what was before it");
    await monitor.client.publish({ i: 4 }, { acknowledged: true });
    await eventually(() => before.got.length === 1, "and reads from then on");
    const again = await ward.watcher({ seal: late.client.ecgSeal() }, 10);
    await eventually(() => again.got.length === 1, "the past of its own time too");
    assertEquals(again.got[0]!.payload, { i: 4 });
  }));

test("ecgSeal tells V1 and V2 watchers why they get nothing", () =>
  ward(1, async ({ devices: [a], ward }) => {
    const seal = a!.client.ecgSeal();
    const old = [await ward.watcher({ version: Version.V1 }), await ward.watcher({ version: 2 })];
    const monitor = ward.client({ seal });
    for (let i = 0; i < 3; i++) await monitor.client.publish({ i }, { acknowledged: true });
    for (const { client, faults, got } of old) {
      await client.ping();
      assertEquals(faults, ["This stream is encrypted, which only version 3 carries."]);
      assertEquals(got, []);
    }
  }));

test("ecgSeal: another group reads nothing and is told, adds nothing, and does not stop the stream", () =>
  ward(2, async ({ kit, devices: [a, b], ward, url }) => {
    const { devices: [stranger] } = await group(kit, url, 1);
    const outside = await ward.watcher({ seal: stranger!.client.ecgSeal() });
    const inside = await ward.watcher({ seal: b!.client.ecgSeal() });
    const monitor = ward.client({ seal: a!.client.ecgSeal() });
    const forger = ward.client({ seal: stranger!.client.ecgSeal() });
    const clear = ward.client();
    await forger.client.publish({ forged: true }, { acknowledged: true });
    await clear.client.publish({ signal: [1] }, { acknowledged: true });
    await monitor.client.publish({ note: CANARY }, { acknowledged: true });
    await eventually(() => inside.got.length === 1 && outside.faults.length === 2, "it came");
    await eventually(() => outside.got.length === 1, "its own");
    assertEquals(inside.got[0]!.payload, { note: CANARY });
    assertEquals(outside.got[0]!.payload, { forged: true });
    assertEquals(inside.faults.length, 2);
    for (const code of ["UNKNOWN_EPOCH", "NOT_SEALED"]) {
      assertStringIncludes(inside.faults.join(), code);
      assertStringIncludes(outside.faults.join(), code);
    }
  }));

test("ecgSeal refuses another header, a repeat, and what is no sealed message", () =>
  ward(2, async ({ devices: [a, b] }) => {
    const sealed = await a!.client.ecgSeal().seal(utf8Bytes(CANARY), header);
    const seal = b!.client.ecgSeal();
    for (
      const change of [
        { stream: "bed-4" },
        { type: MessageType.FEATURE_DATA },
        { timestamp: header.timestamp + 1n },
        { flags: Flag.ENCRYPTED | Flag.BROADCAST },
      ]
    ) await refused(seal, sealed, "AUTH_FAILED", { ...header, ...change });
    // Alerts are signed, and this is none.
    for (
      const change of [
        { type: MessageType.ANOMALY_ALERT },
        { flags: Flag.ENCRYPTED | Flag.PRIORITY },
      ]
    ) await refused(seal, sealed, "UNSIGNED", { ...header, ...change });
    // Every bit is bound, also of what stands in the clear.
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const changed = sealed.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await refusal(async () => await seal.open(changed, header));
    }
    for (let length = 0; length < sealed.length; length++) {
      await refusal(async () => await seal.open(sealed.slice(0, length), header));
    }
    await refused(seal, sealed.slice(0, 32), "TRUNCATED");
    await refused(seal, sealed.slice(0, 60), "CIPHERTEXT_TOO_SHORT");
    // None of this has spoiled the true one. The relay clears no flag; ACK_REQUIRED would not matter.
    const flags = header.flags | Flag.ACK_REQUIRED;
    assertEquals(await seal.open(sealed, { ...header, flags }), utf8Bytes(CANARY));
    await refused(seal, sealed, "REPLAY");
    // Another client of the same device has its own windows.
    assertEquals(await b!.client.ecgSeal().open(sealed, header), utf8Bytes(CANARY));
  }));

test("ecgSeal: a broadcast opens on other streams, samples do not", () =>
  ward(2, async ({ devices: [a, b], ward }) => {
    const monitor = ward.client({ seal: a!.client.ecgSeal() });
    const other = await ward.watcher({ stream: "bed-4", seal: b!.client.ecgSeal() });
    await monitor.client.publish({ fire: true }, { flags: Flag.BROADCAST, acknowledged: true });
    await eventually(() => other.got.length === 1, "it came");
    assertEquals([other.got[0]!.payload, other.faults], [{ fire: true }, []]);
  }));

test("ecgSeal: alarms and samples do not move each other's windows", () =>
  ward(2, async ({ devices: [a, b] }) => {
    const sealer = a!.client.ecgSeal();
    const alarm = { ...header, type: MessageType.ANOMALY_ALERT };
    const [first] = await texts(sealer, 1);
    const alarms = await texts(sealer, Number(WINDOW) + 2, alarm);
    const [last] = await texts(sealer, 1);
    const seal = b!.client.ecgSeal();
    for (const one of alarms.slice(1)) await seal.open(one, alarm);
    // All of the alarms have overtaken it, and it is fresh all the same.
    await seal.open(first!, header);
    await seal.open(last!, header);
    // The oldest alarm is too old by its own count.
    await refused(seal, alarms[0]!, "REPLAY", alarm);
    await refused(seal, first!, "REPLAY");
  }));

test("ecgSeal remembers few instances, and forgets none of what it took", () =>
  ward(2, async ({ devices: [a, b] }) => {
    const seal = b!.client.ecgSeal();
    const all: Bytes[] = [];
    for (let i = 0; i < 20; i++) all.push((await texts(a!.client.ecgSeal(), 1))[0]!);
    for (const one of all) await seal.open(one, header);
    for (const one of all) await refused(seal, one, "REPLAY");
  }));

test("ecgSeal follows rotations, and no sample is lost by one", () =>
  ward(2, async ({ devices: [a, b], ward }) => {
    const monitor = ward.client({ seal: a!.client.ecgSeal() });
    const watcher = await ward.watcher({ seal: b!.client.ecgSeal() });
    for (let i = 0; i < 60; i++) {
      // No waiting for the other device to be in the new epoch: what comes first waits for it.
      if (i % 20 === 10) await a!.client.rotate();
      await monitor.client.publish({ i }, { acknowledged: true });
    }
    await eventually(() => watcher.got.length === 60, () => watcher.faults.join());
    assertEquals(
      watcher.got.map(({ payload }) => payload),
      Array.from({ length: 60 }, (_, i) => ({ i })),
    );
    assertEquals(watcher.faults, []);
  }));

test("ecgSeal: a removed device reads nothing from then on, and what it seals is refused", () =>
  ward(3, async ({ devices: [a, b, c], ward }) => {
    const monitor = ward.client({ seal: a!.client.ecgSeal() });
    const [stays, goes] = [b!.client.ecgSeal(), c!.client.ecgSeal()];
    const watchers = [await ward.watcher({ seal: stays }), await ward.watcher({ seal: goes })];
    await monitor.client.publish({ before: true }, { acknowledged: true });
    await eventually(() => watchers.every(({ got }) => got.length === 1), "both read it");
    // Sealed before, shown after: nobody can tell that from what it seals later with these keys.
    const [old] = await texts(goes, 1);
    const [older] = await texts(a!.client.ecgSeal(), 1);
    await a!.client.remove(await c!.client.node());
    await monitor.client.publish({ note: CANARY }, { acknowledged: true });
    await eventually(() => watchers[0]!.got.length === 2, "the other one reads on");
    await eventually(() => watchers[1]!.faults.length > 0, "the removed one cannot");
    assertEquals(watchers[1]!.got.length, 1);
    await refused(stays, old!, "OLD_EPOCH");
    await refused(stays, older!, "OLD_EPOCH");
    await eventually(() => c!.statuses.some(({ kind }) => kind === "removed"), "it was told");
    await refused(goes, older!, "REMOVED");
    await assertRejects(async () => await goes.seal(utf8Bytes("x"), header));
  }));

test("ecgSeal: a removed device cannot seal another one's old alarm anew", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const a = kit.create({ url, database: "bugs" });
      await a.client.ready;
      const b = kit.open({ url, invitation: await a.client.invite() });
      await b.client.ready;
      const { storage, copy } = backedUp();
      const c = kit.open({ url, invitation: await a.client.invite(), storage });
      await c.client.ready;
      await eventually(() => b.client.devices().length === 3, "b has read that c came");
      const alarm = { ...header, type: MessageType.ANOMALY_ALERT };
      const [sealed] = await texts(b.client.ecgSeal(), 1, alarm);
      const watcher = a.client.ecgSeal();
      assertEquals(await watcher.open(sealed!, alarm), utf8Bytes("0"));
      const { epoch } = await restored(await copy());
      await a.client.remove(await c.client.node());

      const head = sealed!.subarray(0, 33);
      const [node, instance] = [head.slice(8, 24), head.slice(24, 32)];
      const sender = await Sender.of(epoch!, node, instance, "bugs", "BX2 ecg sender");
      const bound = concat(new Writer(8).u64(alarm.timestamp).finish(), utf8Bytes(alarm.stream));
      const compressed = (head[32]! & 1) !== 0;
      const purpose = { type: alarm.type, subtype: alarm.flags, compressed, bound };
      const plain = await sender.decrypt(sealed!.subarray(33), purpose);
      for (const counter of [1n, 2n, 99n]) {
        const nonce = new Sealer(sender, counter).nonce();
        const again = concat(head, await sender.encrypt(nonce, purpose, plain));
        await refused(watcher, again, "BAD_SIGNATURE", alarm);
      }
    })
  ));

test("ecgSeal waits for an unknown epoch once, so that made-up names hold up nothing", () =>
  ward(2, async ({ devices: [a, b] }) => {
    const seal = b!.client.ecgSeal();
    const [good] = await texts(a!.client.ecgSeal(), 1);
    for (let i = 0; i < 200; i++) {
      // With a second for each this would take minutes.
      const made = good!.slice();
      made.set([i, 1, 2, 3, 4, 5, 6, 7]);
      await refused(seal, made, "UNKNOWN_EPOCH");
    }
    assertEquals(await seal.open(good!, header), utf8Bytes("0"));
  }));
