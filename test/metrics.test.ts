import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { BlazePair, EcgClient, MessageType } from "../src/client/mod.ts";
import type { Accept, Link, LinkEvents, Message, Topics } from "../src/link/link.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { startRelay } from "../main.ts";
import { Histogram } from "../src/metrics/histogram.ts";
import { Meter } from "../src/metrics/meter.ts";
import { Metrics, type Snapshot } from "../src/metrics/metrics.ts";
import { blazeDialect, ecgDialect } from "../src/metrics/dialects.ts";
import { encodeFault } from "../src/wire/blaze/control.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { concat } from "../src/wire/bytes.ts";
import { fc, holds } from "./kit/random.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

test("Histogram: a quantile is never too low, and at most 25 % too high from 1 to 2^32", () => {
  const any = fc.oneof(
    ...[fc.nat(10), fc.nat(5000), fc.integer({ min: 0, max: 20_000 }).map((milli) => milli / 1000)],
    fc.double({ min: 0, max: 2 ** 33, noNaN: true }),
  );
  const property = fc.property(
    fc.array(any, { minLength: 1, maxLength: 200 }),
    fc.double({ min: 0.01, max: 1, noNaN: true }),
    (values, part) => {
      const histogram = new Histogram();
      values.forEach((value) => histogram.record(value));
      const sorted = [...values].sort((a, b) => a - b);
      const right = sorted[Math.ceil(part * sorted.length) - 1]!;
      const found = histogram.quantile(part);
      const most = right > 2 ** 32 ? Infinity : Math.max(1, 1.25 * right);
      assert(right <= found && found <= most, `${found} for ${right}`);
      assertEquals([histogram.count, histogram.max], [values.length, sorted.at(-1)]);
    },
  );
  // What was found: between two whole numbers, and beyond the last power.
  const found = [[1 + Number.EPSILON, 2], [1.01, 4], [2.1, 4], [3.2, 4], [2 ** 32 + 1, 2 ** 33]];
  holds(property, 200, found.map((values) => [values, 0.5]));
});

test("Histogram.upTo counts what lies at or below a power of two", () => {
  const histogram = new Histogram();
  for (let value = 0; value <= 5000; value++) histogram.record(value);
  for (const power of [1, 2, 4, 64, 1024, 4096]) assertEquals(histogram.upTo(power), power + 1);
  assertEquals(histogram.upTo(8192), 5001);
  assertEquals([new Histogram().quantile(0.5), new Histogram().mean], [0, 0]);
});

test("Histogram takes what is no size at all", () => {
  const histogram = new Histogram();
  for (const value of [NaN, -5, Infinity, 2 ** 60]) histogram.record(value);
  assertEquals(histogram.count, 4);
  assertEquals(histogram.upTo(1), 2);
});

/** A session that answers every message with the same bytes. */
const echo = (work = () => {}): Accept => (link) => ({
  message(message) {
    work();
    link.send(message);
  },
  text() {},
  drained() {},
  closed() {},
});

const message = (type: MessageType, payload: unknown = null): Message =>
  encode({ version: 1, type, payload });

test("Meter counts messages, bytes and time by type, and the session does not notice", () => {
  let now = 0;
  const meter = new Meter(ecgDialect, () => now);
  const peer = new MemoryPeer(meter.metered(echo(() => now += 3)));
  const ping = message(MessageType.PING);
  for (let i = 0; i < 4; i++) peer.send(ping);
  assertEquals(peer.received.length, 4);
  assertEquals(peer.received[0], ping);
  const { received, sent } = meter;
  assertEquals(received[MessageType.PING]?.count, 4);
  assertEquals(received[MessageType.PING]?.totalBytes, 4 * ping.length);
  assertEquals(received[MessageType.PING]?.micros.mean, 3000);
  assertEquals(sent[MessageType.PING]?.count, 4);
  assertEquals(meter.links, 1);
  peer.close(4242, "");
  assertEquals([meter.links, meter.linksEver, meter.closes.get(4242)], [0, 1, 1]);
});

test("Meter measures a sample, and counts everything", () => {
  let now = 0;
  const meter = new Meter(ecgDialect, () => now++);
  const peer = new MemoryPeer(meter.metered(echo()));
  const ping = message(MessageType.PING);
  for (let i = 0; i < 64 + 160; i++) peer.send(ping);
  const flow = meter.received[MessageType.PING]!;
  assertEquals([flow.count, flow.totalBytes], [224, 224 * ping.length]);
  assertEquals([flow.bytes.count, flow.micros.count], [74, 74]);
  const large = message(MessageType.PING, "x".repeat(20_000));
  for (let i = 0; i < 5; i++) peer.send(large);
  assertEquals(flow.micros.count, 79);
});

/** A runtime with topics: one call, many receivers. */
class Topic implements Topics {
  static readonly members = new Map<string, Set<Topic>>();
  join(name: string): void {
    Topic.members.set(name, (Topic.members.get(name) ?? new Set()).add(this));
  }
  leave(name: string): void {
    Topic.members.get(name)?.delete(this);
  }
  publish(): boolean {
    return true;
  }
}

test("Meter counts a topic's deliveries: every member but the sender", () => {
  const meter = new Meter(ecgDialect, () => 0);
  const links: Link[] = [];
  const events: LinkEvents[] = [];
  const topics: Topic[] = [];
  for (let i = 0; i < 3; i++) {
    const topic = new Topic();
    topics.push(topic);
    const bare = { remote: "", buffered: 0, topics: topic, send() {}, close() {} };
    events.push(
      meter.metered((link) => {
        links.push(link);
        return { message() {}, text() {}, drained() {}, closed() {} };
      })(bare),
    );
  }
  for (const link of links) link.topics!.join("a");
  links[0]!.topics!.join("a");
  const bytes = message(MessageType.ECG_DATA, { signal: [1] });
  assertEquals(links[0]!.topics!.publish("a", bytes), true);
  assertEquals(meter.sent[MessageType.ECG_DATA]?.count, 2);
  links[1]!.topics!.leave("a");
  links[2]!.topics!.publish("a", bytes);
  assertEquals(meter.sent[MessageType.ECG_DATA]?.count, 3);
  assertEquals(Topic.members.get("a")?.size, 2);
});

test("Meter takes any bytes for a message, and holds little whatever is sent", () =>
  holds(fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 50 }), (messages) => {
    for (const dialect of [ecgDialect, blazeDialect]) {
      const meter = new Meter(dialect, () => 0);
      const peer = new MemoryPeer(meter.metered(echo()));
      for (const bytes of messages) peer.send(new Uint8Array(bytes));
      assertEquals(peer.received.length, messages.length);
      const total = meter.received.reduce((sum, flow) => sum + (flow?.count ?? 0), 0);
      assert(total >= messages.length);
      meter.received.forEach((_, type) => assert(meter.dialect.typeName(type).length > 0));
    }
  })));

test("Meter counts the messages of a batch, each under its type", () => {
  const meter = new Meter(ecgDialect, () => 0);
  const peer = new MemoryPeer(meter.metered(echo()));
  const [ping, pong] = [message(MessageType.PING), message(MessageType.PONG, 1)];
  peer.send(concat(ping, pong, ping));
  assertEquals(peer.received.length, 1);
  for (const flows of [meter.received, meter.sent]) {
    assertEquals([flows[MessageType.PING]?.count, flows[MessageType.PONG]?.count], [2, 1]);
    assertEquals(flows[MessageType.PING]?.totalBytes, 2 * ping.length);
  }
});

test("Meter keeps 64 codes apart and counts the rest together", () => {
  const meter = new Meter(ecgDialect, () => 0);
  for (let code = 3000; code < 4000; code++) new MemoryPeer(meter.metered(echo())).close(code);
  assertEquals(meter.closes.size, 65);
  assertEquals([...meter.closes.values()].reduce((sum, count) => sum + count), 1000);
  assertEquals(meter.closes.get(-1), 1000 - 64);
});

test("Meter reads the codes of our error messages", () => {
  const ecg = new Meter(ecgDialect, () => 0);
  ecg.send(message(MessageType.ERROR, { code: 0x204, message: "" }), 1);
  ecg.send(message(MessageType.ERROR, "nonsense"), 1);
  assertEquals([...ecg.faults], [[0x204, 1], [-1, 1]]);
  const blaze = new Meter(blazeDialect, () => 0);
  const payload = encodeFault({ code: 4422, message: "no" });
  for (const reading of ["legend", "examples"] as const) {
    blaze.send(encodeFrame({ type: FrameType.error, payload }, { reading }), 1);
  }
  blaze.send(encodeFrame({ type: FrameType.error, payload: new Uint8Array(3) }), 1);
  assertEquals([...blaze.faults], [[4422, 2], [-1, 1]]);
});

test("Metrics.text follows the exposition format", () => {
  const metrics = new Metrics(() => 0, { channels: () => 3, memory: () => 1e6 });
  const peer = new MemoryPeer(metrics.ecg.metered(echo()));
  peer.send(message(MessageType.ECG_DATA, { signal: [1, 2] }));
  metrics.ecg.inflated(10, 40);
  const text = metrics.text();
  const families = new Map<string, string>();
  for (const line of text.trimEnd().split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "TYPE") families.set(name!, rest!);
    if (kind !== undefined) continue;
    assertMatch(line, /^[a-z_]+(?:\{(?:[a-z]+="[^"\\\n]*",?)+\})? -?\d+(?:\.\d+)?(?:e-?\d+)?$/);
    const family = line.match(/^[a-z_]+/)![0];
    assert(
      families.has(family) || families.has(family.replace(/_(?:bucket|sum|count)$/, "")),
      line,
    );
  }
  assertEquals(families.get("blaze_relay_message_bytes"), "histogram");
  assertStringIncludes(
    text,
    'blaze_relay_messages_total{protocol="ecg",type="ECG_DATA",direction="received"} 1\n',
  );
  assertStringIncludes(text, 'blaze_relay_compressed_bytes_total{protocol="ecg"} 10\n');
  // Buckets only grow, and the last one has everything.
  const buckets = [
    ...text.matchAll(
      /message_bytes_bucket\{protocol="ecg",type="ECG_DATA",direction="received",le="[^"]+"\} (\d+)/g,
    ),
  ]
    .map(([, count]) => Number(count));
  assertEquals(buckets, [...buckets].sort((a, b) => a - b));
  assertEquals(buckets.at(-1), 1);
});

test("the relay counts what passes, and shows it to whoever may use it", () =>
  withRelay(async ({ url }) => {
    const token = "0123456789abcdef";
    const ask = (path: string, headers = {}) => fetch(url + path, { headers });
    for (const path of ["/metrics", "/metrics.json"]) {
      assertEquals((await ask(path)).status, 401);
      assertEquals((await ask(path, { authorization: "Bearer wrong-wrong-wrong-w" })).status, 401);
    }
    const watchers = [0, 1].map(() => EcgClient.open({ url, stream: "a", token }));
    const loops = await Promise.all(watchers.map((one) => one.watch()));
    const monitor = EcgClient.open({ url, stream: "a", token });
    const payload = { signal: Array.from({ length: 2000 }, () => 0.5), sampling_rate: 500 };
    await monitor.publish(payload, { acknowledged: true });
    for (const loop of loops) await loop.next();
    await monitor.publish({ no: "signal" }, { acknowledged: true }).catch(() => {});
    const blaze = BlazePair.open({ url, database: "bugs", trust: "first", token });
    const other = BlazePair.open({ url, database: "bugs", trust: "first", token });
    await Promise.all([blaze.ready, other.ready]);

    const answer = await ask("/metrics.json", { authorization: `Bearer ${token}` });
    const snapshot = await answer.json() as Snapshot;
    const [ecg, pairs] = snapshot.protocols as [Snapshot["protocols"][0], Snapshot["protocols"][0]];
    const data = ecg.types.find(({ type }) => type === "ECG_DATA")!;
    assertEquals([data.received, data.sent, ecg.links], [2, 2, 3]);
    assert(data.micros.p50 > 0 && data.size.max > 0);
    assert(ecg.compression !== null && ecg.compression < 0.1, `compressed to ${ecg.compression}`);
    assertEquals(ecg.faults, { "0x201": 1 });
    assert(ecg.errorRate > 0 && ecg.errorRate < 1);
    assertEquals(pairs.links, 2);
    assertEquals(pairs.types.find(({ type }) => type === "handshake")?.received, 2);
    assertStringIncludes(
      await (await ask("/metrics", { authorization: `Bearer ${token}` })).text(),
      'blaze_relay_links{protocol="blaze"} 2',
    );
    for (const client of [...watchers, monitor, blaze, other]) client.close();
  }, { token: "0123456789abcdef" }));

test("a failed session is told apart from a client that says 1011", async () => {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" }, {
    wrap: (accept) => (link) => ({
      ...accept(link),
      message: () => {
        throw new Error("on purpose");
      },
    }),
  });
  try {
    const one = await TestSocket.connect(relay, "/sync/bugs");
    one.send(Uint8Array.of(1));
    assertEquals((await one.closed()).code, 1011);
    const { sessionFaults } = await (await fetch(`${relay.url}/metrics.json`)).json() as Snapshot;
    assertEquals(sessionFaults, 1);
    const text = await (await fetch(`${relay.url}/metrics`)).text();
    assertStringIncludes(text, "blaze_relay_session_faults_total 1\n");
  } finally {
    await relay.stop();
  }
});
