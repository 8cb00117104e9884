import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EcgClient, type EcgMessage, EcgRefused, type EcgSeal } from "../src/client/mod.ts";
import type { Accept } from "../src/link/link.ts";
import { Flag, MessageType, Version } from "../src/wire/ecg/codes.ts";
import { NdArray } from "../src/wire/ecg/ndarray.ts";
import { peerDecode, peerEncode } from "./kit/ecg_peer.ts";
import { chunkOf, recording, RECORDINGS } from "./kit/recordings.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

async function take(loop: AsyncIterator<EcgMessage>, count: number): Promise<EcgMessage[]> {
  const messages: EcgMessage[] = [];
  while (messages.length < count) messages.push((await loop.next()).value);
  return messages;
}

for (const name of RECORDINGS) {
  test(`publishSamples brings every sample of ${name} to every kind of watcher`, () =>
    withRelay(async (relay) => {
      const { url } = relay;
      const whole = recording(name);
      const { sampling_rate: rate, leads: scales } = whole.scale;
      const watchers = [3, 2, 1].map((version) =>
        EcgClient.open({ url, stream: "bed-3", version: version as Version })
      );
      const loops = await Promise.all(watchers.map((one) => one.watch()));
      // Of the seed's text: it never heard of packed signals.
      const literal = await TestSocket.connect(relay, "/ecg/bed-3");
      await literal.next();
      literal.send(peerEncode(1, 0x20, { stream: "bed-3" }));
      await literal.next();

      const monitor = EcgClient.open({ url, stream: "bed-3", scale: whole.scale });
      for (let second = 0; second < 5; second++) {
        const leads = chunkOf(whole, second * rate, rate);
        const physical = leads.map((lead, i) => {
          const { gain, baseline } = scales[i]!;
          return Float64Array.from(lead, (raw) => (raw - baseline) / gain);
        });
        await monitor.publishSamples(leads, { second }, { acknowledged: true });
        for (const loop of loops) {
          const [message] = await take(loop, 1);
          const { signal, payload } = message!;
          const lists = physical.map((lead) => Array.from(lead));
          const flat = Float64Array.from(lists.flat());
          assertEquals(payload, {
            second,
            signal: lists.length === 1
              ? lists[0]
              : new NdArray("float64", flat, [lists.length, rate]),
            sampling_rate: rate,
            sample: second * rate,
            leads: scales.map((lead) => lead.name),
            units: scales.map((lead) => lead.unit),
          });
          assertEquals([signal!.rate, signal!.position], [rate, second * rate]);
          assertEquals(signal!.leads.map((lead) => lead.raw), leads);
          assertEquals(signal!.leads.map(({ values }) => values), physical);
          assertEquals(signal!.leads.map((lead) => lead.name), scales.map((lead) => lead.name));
        }
        let got = peerDecode(await literal.next());
        for (; got.type === 0x11; got = peerDecode(await literal.next())) {
          literal.send(peerEncode(1, 0x12, got.payload));
        }
        const lists = physical.map((lead) => Array.from(lead));
        assertEquals(got.payload, {
          second,
          signal: scales.length === 1 ? lists[0] : {
            __ndarray__: lists,
            dtype: "float64",
            shape: [scales.length, rate],
          },
          sampling_rate: rate,
          sample: second * rate,
          leads: scales.map((lead) => lead.name),
          units: scales.map((lead) => lead.unit),
        });
      }
      for (const client of [monitor, ...watchers]) client.close();
      literal.close();
    }));
}

test("a late watcher gets the scale, and the seconds it asks for", () =>
  withRelay(async ({ url }) => {
    const whole = recording("mitdb208_20s");
    const monitor = EcgClient.open({ url, stream: "bed-3", scale: whole.scale });
    for (let second = 0; second < 3; second++) {
      await monitor.publishSamples(chunkOf(whole, 360 * second, 360), {}, { acknowledged: true });
    }
    const late = EcgClient.open({ url, stream: "bed-3" });
    const loop = await late.watch({ lastSeconds: 10 });
    await monitor.publishSamples(chunkOf(whole, 1080, 360));
    const messages = await take(loop, 4);
    assertEquals(messages.map(({ signal }) => signal!.position), [0, 360, 720, 1080]);
    const raw = messages.flatMap(({ signal }) => Array.from(signal!.leads[0]!.raw!));
    assertEquals(raw, Array.from(whole.leads[0]!.subarray(0, 1440)));
    // Without the past, the scale comes all the same.
    const later = EcgClient.open({ url, stream: "bed-3" });
    const live = await later.watch();
    await monitor.publishSamples(chunkOf(whole, 1440, 360));
    assertEquals((await take(live, 1))[0]!.signal!.position, 1440);
    for (const client of [monitor, late, later]) client.close();
  }));

test("a publisher whose scale the relay does not know sends it with its very next samples", () => {
  let swallow = 1;
  // The message that brought the scale is lost on its way to the session.
  const wrap = (accept: Accept): Accept => (link) => {
    const events = accept(link);
    return {
      message: (message) => {
        if (message[1] !== MessageType.ECG_DATA || swallow-- <= 0) events.message(message);
      },
      text: () => events.text(),
      drained: () => events.drained(),
      closed: (code, reason) => events.closed(code, reason),
    };
  };
  return withRelay(async ({ url }) => {
    const whole = recording("mitdb208_20s");
    const watcher = EcgClient.open({ url, stream: "bed-3" });
    const loop = await watcher.watch();
    const monitor = EcgClient.open({ url, stream: "bed-3", scale: whole.scale });
    const faults: string[] = [];
    monitor.onStatus((status) => {
      if (status.kind === "fault") faults.push(`${status.code}: ${status.message}`);
    });
    const publish = (second: number) => monitor.publishSamples(chunkOf(whole, 360 * second, 360));
    await publish(0);
    await publish(1);
    // An ERROR goes to whoever asked last, so the question itself may be told no.
    await monitor.ping().catch(() => {});
    assertEquals(faults.length, 1);
    assert(/^513: The scale of this .*360 samples were left out\)$/.test(faults[0]!), faults[0]);
    for (const second of [2, 3]) await publish(second);
    const messages = await take(loop, 2);
    // Where the samples stand says what is missing before them.
    assertEquals(messages.map(({ signal }) => signal!.position), [720, 1080]);
    assertEquals(faults.length, 1);
    for (const client of [monitor, watcher]) client.close();
  }, { wrap });
});

test("a publisher whose samples with the scale were refused sends it again with its very next ones", () =>
  withRelay(async ({ url }) => {
    const whole = recording("mitdb208_20s");
    const watcher = EcgClient.open({ url, stream: "bed-3" });
    const loop = await watcher.watch();
    // Who named no capability wants floats, and with these bytes beside them they are too long.
    const plain = await TestSocket.connect({ url }, "/ecg/bed-3");
    await plain.next();
    plain.send(peerEncode(1, MessageType.SUBSCRIBE, null));
    await plain.next();
    const monitor = EcgClient.open({ url, stream: "bed-3", scale: whole.scale });
    const faults: number[] = [];
    monitor.onStatus((status) => {
      if (status.kind === "fault") faults.push(status.code);
    });
    await monitor.publishSamples(chunkOf(whole, 0, 360), { more: new Uint8Array(3_000) });
    await monitor.ping().catch(() => {});
    assertEquals(faults, [0x102]);
    await monitor.publishSamples(chunkOf(whole, 360, 360));
    const [message] = await take(loop, 1);
    assertEquals(message!.signal!.position, 360);
    assertEquals(faults, [0x102]);
    for (const client of [monitor, watcher]) client.close();
  }, { limits: { payloadBytes: 6_000 } }));

test("clock finds the relay's clock within its error", () =>
  withRelay(async ({ url }) => {
    const client = EcgClient.open({ url, stream: "bed-3" });
    const clock = (await client.clock())!;
    // The relay is in this process, so the true offset is nearly nothing.
    assert(clock.offset >= -clock.error && clock.offset <= clock.error, `${clock.offset}`);
    assert(clock.error > 0n && clock.error < 1_000_000n, `${clock.error}`);
    const old = EcgClient.open({ url, stream: "bed-3", version: Version.V2 });
    assertEquals(await old.clock(), undefined);
    assert(await old.ping() >= 0);
    client.close();
    old.close();
  }));

/** A seal that a test can see through: every byte flipped, the header in front. */
const mirror: EcgSeal = {
  seal: async (plain, { type, timestamp, stream }) => {
    await Promise.resolve();
    const head = new TextEncoder().encode(`${stream} ${type} ${timestamp}\n`);
    return Uint8Array.from([...head, ...plain.map((byte) => byte ^ 0xff)]);
  },
  open: async (sealed, { type, timestamp, stream }) => {
    await Promise.resolve();
    const end = sealed.indexOf(10);
    const head = new TextDecoder().decode(sealed.subarray(0, end));
    if (head !== `${stream} ${type} ${timestamp}`) throw new Error("another header");
    return Uint8Array.from(sealed.subarray(end + 1), (byte) => byte ^ 0xff);
  },
};

test("a seal takes everything from publisher to watcher, in order; V1 and V2 are told why not", () =>
  withRelay(async ({ url }) => {
    const whole = recording("mitdb100_20s");
    const monitor = EcgClient.open({ url, stream: "bed-3", scale: whole.scale, seal: mirror });
    const watcher = EcgClient.open({ url, stream: "bed-3", seal: mirror });
    const keyless = EcgClient.open({ url, stream: "bed-3" });
    const old = EcgClient.open({ url, stream: "bed-3", version: Version.V2, seal: mirror });
    const faults: string[] = [];
    old.onStatus((status) => status.kind === "fault" && faults.push(status.message));
    const loops = await Promise.all([watcher, keyless].map((one) => one.watch()));
    const nothing = await old.watch();
    for (let second = 0; second < 3; second++) {
      void monitor.publishSamples(chunkOf(whole, 360 * second, 360));
    }
    await monitor.publish({ kind: "asystole" }, {
      type: MessageType.ANOMALY_ALERT,
      acknowledged: true,
    });
    const opened = await take(loops[0]!, 4);
    // The alarm may overtake what waits; the samples keep their order.
    const data = opened.filter(({ type }) => type === MessageType.ECG_DATA);
    assertEquals(data.map(({ signal }) => signal!.position), [0, 360, 720]);
    assertEquals(data[1]!.signal!.leads.map(({ raw }) => raw), chunkOf(whole, 360, 360));
    const alarm = opened.find(({ type }) => type === MessageType.ANOMALY_ALERT);
    assertEquals(alarm!.payload, { kind: "asystole" });
    for (const { flags, payload, signal } of await take(loops[1]!, 4)) {
      assert(flags & Flag.ENCRYPTED && payload instanceof Uint8Array);
      assertEquals(signal, undefined);
    }
    await old.ping();
    assertEquals(faults, ["This stream is encrypted, which only version 3 carries."]);
    await assertRejects(() => old.publish({ signal: [1] }), EcgRefused);
    for (const client of [monitor, watcher, keyless, old]) client.close();
    assertEquals((await nothing.next()).done, true);
  }));

test("a sealed message that cannot be opened is a fault, and the next one is opened", () =>
  withRelay(async ({ url }) => {
    const monitor = EcgClient.open({ url, stream: "bed-3", seal: mirror });
    const stranger = EcgClient.open({
      url,
      stream: "bed-3",
      seal: { ...mirror, seal: () => Uint8Array.of(1, 10, 2) },
    });
    const watcher = EcgClient.open({ url, stream: "bed-3", seal: mirror });
    const faults: number[] = [];
    watcher.onStatus((status) => status.kind === "fault" && faults.push(status.code));
    const loop = await watcher.watch();
    await stranger.publish({ signal: [1] }, { acknowledged: true });
    await monitor.publish({ signal: [2] }, { acknowledged: true });
    assertEquals((await take(loop, 1))[0]!.payload, { signal: [2] });
    assertEquals(faults, [0x200]);
    for (const client of [monitor, stranger, watcher]) client.close();
  }));
