import { test } from "node:test";
import { configure } from "@logtape/logtape";
import { assert, assertEquals } from "@std/assert";
import { Channels } from "../src/channel/channels.ts";
import { History } from "../src/channel/history.ts";
import { Close } from "../src/close.ts";
import { limits } from "../src/limits.ts";
import { ecgDialect } from "../src/metrics/dialects.ts";
import { Meter } from "../src/metrics/meter.ts";
import { EcgSessions } from "../src/session/ecg/ecg_session.ts";
import { concat, fromHex, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { MAX_BATCH, splitBatch } from "../src/wire/ecg/message_batch.ts";
import { ErrorCode, Flag, MessageType, Version } from "../src/wire/ecg/codes.ts";
import { decode, encode, open } from "../src/wire/ecg/ecg_message.ts";
import { Ext } from "../src/wire/ecg/msgpack.ts";
import { encode as encodeMsgpack } from "../src/wire/ecg/msgpack_encode.ts";
import { NdArray } from "../src/wire/ecg/ndarray.ts";
import { packSamples } from "../src/wire/ecg/samples.ts";
import { everything } from "./kit/blaze.ts";
import { framed, Lab, Peer, VERSIONS } from "./kit/ecg_lab.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { fc, holds } from "./kit/random.ts";

const data = { signal: [0.5, 0.25], sampling_rate: 250 };
const scale = {
  id: 7,
  sampling_rate: 360,
  leads: [{ name: "MLII", unit: "mV", gain: 200, baseline: 1024 }],
};
const chunk = packSamples(7, 0, [Int32Array.of(1024, 1224, 995)]);
const floats = {
  signal: [0, 1, -0.145],
  sampling_rate: 360,
  sample: 0,
  leads: ["MLII"],
  units: ["mV"],
};

/** A watcher that reads packed signals. */
function modern(lab: Lab, version: Version = Version.V3, stream = "bed-3"): Peer {
  const peer = lab.connect();
  const capabilities = ["packed-signal", "teleport"];
  peer.say(Version.V1, MessageType.VERSION_CHECK, { version, capabilities });
  peer.say(version, MessageType.SUBSCRIBE, { stream });
  peer.next();
  return peer;
}

// -- Packed signals

test("a packed signal goes as it is to who reads it, and as floats to everybody else", () => {
  const lab = new Lab();
  const readers = VERSIONS.map((version) => modern(lab, version));
  const others = VERSIONS.map((version) => lab.watcher(version));
  const monitor = lab.connect({ stream: "bed-3" });
  const bytes = monitor.say(Version.V3, MessageType.ECG_DATA, { n: 1, signal: chunk, scale });
  lab.host.pass(0);
  assertEquals(monitor.received, []);
  assert(readers[2]!.received[0] === bytes, "the very bytes that came");
  for (const [i, reader] of readers.entries()) {
    const got = reader.next();
    assertEquals(got.version, VERSIONS[i]);
    assertEquals(got.payload, { n: 1, signal: chunk, scale });
  }
  for (const other of others) assertEquals(other.next().payload, { n: 1, ...floats });
});

test("several leads become an ndarray, lead by lead, and floats are compressed where they can be", () => {
  const lab = new Lab();
  const [v1, , v3] = VERSIONS.map((version) => lab.watcher(version));
  const two = {
    ...scale,
    leads: [...scale.leads, { name: "V5", unit: "", gain: -10, baseline: 0 }],
  };
  const flat = new Int32Array(200).fill(1024);
  const signal = packSamples(7, 0, [flat, flat]);
  lab.connect({ stream: "bed-3" }).say(3, MessageType.ECG_DATA, { signal, scale: two });
  const wire = v3!.received[0]!;
  assertEquals(wire[2], Flag.COMPRESSED);
  const values = Float64Array.from({ length: 400 }, (_, i) => i < 200 ? 0 : -102.4);
  for (const { payload } of [v1!.next(), v3!.next()]) {
    assertEquals(payload, {
      signal: new NdArray("float64", values, [2, 200]),
      sampling_rate: 360,
      sample: 0,
      leads: ["MLII", "V5"],
      units: ["mV", ""],
    });
  }
});

test("the relay remembers scales: later signals need none, late watchers are told", () => {
  const lab = new Lab();
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.say(3, MessageType.ECG_DATA, { signal: chunk, scale });
  const late = lab.connect();
  late.say(1, MessageType.VERSION_CHECK, { version: 3, capabilities: ["packed-signal"] });
  late.say(3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  assertEquals(late.next().payload, { stream: "bed-3", status: "subscribed", scales: [scale] });
  const plain = lab.watcher(Version.V2);
  monitor.say(3, MessageType.ECG_DATA, { signal: chunk });
  assertEquals(plain.next().payload, floats);
  assertEquals(late.next().payload, { signal: chunk });
  // It is forgotten with its publisher and its watchers.
  for (const peer of [late, plain, monitor]) peer.close();
  assertEquals(lab.sessions.streams.size, 0);
  const next = lab.connect({ stream: "bed-3" });
  next.say(3, MessageType.ECG_DATA, { signal: chunk });
  assertEquals(next.nextError(), ErrorCode.MISSING_FIELDS);
});

test("of many scales the relay keeps the last four, and of many streams on a link the last ones", () => {
  const lab = new Lab({ streamsPerLink: 2 });
  const monitor = lab.connect();
  const say = (id: number, stream: string, withScale: boolean) => {
    const { data } = packSamples(id, 0, [Int32Array.of(1)]);
    const explained = withScale ? { scale: { ...scale, id } } : {};
    monitor.say(3, MessageType.ECG_DATA, { stream, signal: new Ext(0x45, data), ...explained });
  };
  for (let id = 0; id < 5; id++) say(id, "a", true);
  assertEquals(monitor.received, []);
  say(0, "a", false);
  assertEquals(monitor.nextError(), ErrorCode.MISSING_FIELDS);
  say(4, "a", false);
  say(1, "b", true);
  say(1, "c", true);
  assertEquals([monitor.received, lab.sessions.streams.size], [[], 2]);
  say(4, "a", false);
  assertEquals(monitor.nextError(), ErrorCode.MISSING_FIELDS);
});

test("publishers of one stream with a scale each silence nobody, and late watchers hear of all", () => {
  const lab = new Lab();
  const early = modern(lab);
  const ids = Array.from({ length: 12 }, (_, i) => i);
  const signal = (id: number) => packSamples(id, 0, [Int32Array.of(1024 + id)]);
  const monitors = ids.map((id) => {
    const monitor = lab.connect({ stream: "bed-3" });
    monitor.say(3, MessageType.ECG_DATA, { signal: signal(id), scale: { ...scale, id } });
    early.next();
    return monitor;
  });
  const late = lab.connect();
  late.say(1, MessageType.VERSION_CHECK, { version: 3, capabilities: ["packed-signal"] });
  late.say(3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  const { scales } = late.next().payload as { scales: { id: number }[] };
  assertEquals(scales.map(({ id }) => id), ids);
  const plain = lab.watcher(Version.V3);
  for (const [id, monitor] of monitors.entries()) {
    monitor.say(3, MessageType.ECG_DATA, { signal: signal(id) });
    assertEquals(monitor.received, [], `monitor ${id} is refused`);
    assertEquals((plain.next().payload as { signal: number[] }).signal, [id / 200]);
  }
  // What stays of links that are gone is bounded, and so is what is told of those that are there.
  for (const monitor of monitors) monitor.close();
  late.say(3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  for (let i = 0; i < monitors.length; i++) late.next();
  assertEquals((late.next().payload as { scales: { id: number }[] }).scales.length, 4);
  for (let id = 100; id < 200; id++) {
    const monitor = lab.connect({ stream: "bed-3" });
    monitor.say(3, MessageType.ECG_DATA, { signal: signal(id), scale: { ...scale, id } });
    assertEquals(monitor.received, []);
    late.next();
  }
  late.say(3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  const told = (late.next().payload as { scales: { id: number }[] }).scales;
  assertEquals(told.map(({ id }) => id), Array.from({ length: 32 }, (_, i) => 168 + i));
});

test("two monitors that mean different things by one id are each read by their own scale", () => {
  const lab = new Lab();
  const plain = lab.watcher(Version.V3);
  const monitors = [200, 100].map((gain) => {
    const monitor = lab.connect({ stream: "bed-3" });
    const leads = [{ ...scale.leads[0]!, gain }];
    monitor.say(3, MessageType.ECG_DATA, { signal: chunk, scale: { ...scale, leads } });
    plain.next();
    return monitor;
  });
  const signals = monitors.map((monitor) => {
    monitor.say(3, MessageType.ECG_DATA, { signal: chunk });
    return (plain.next().payload as { signal: number[] }).signal[1];
  });
  assertEquals(signals, [1, 2]);
});

test("who sends a packed signal of an unknown scale is told what is missing and what to send", () => {
  const lab = new Lab();
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.say(3, MessageType.ECG_DATA, { signal: chunk });
  assertEquals(monitor.next().payload, {
    code: ErrorCode.MISSING_FIELDS,
    message: "The scale of this packed signal is unknown here: send `scale` with the next one. " +
      "(scale 7; 3 samples were left out)",
    scale: 7,
  });
});

const refusedSignals: readonly (readonly [string, unknown, number])[] = [
  ["no scale", { signal: chunk }, 0x201],
  ["a scale with another id", { signal: chunk, scale: { ...scale, id: 8 } }, 0x201],
  ["a scale with other leads", {
    signal: chunk,
    scale: { ...scale, leads: [...scale.leads, ...scale.leads] },
  }, 0x200],
  ["a bad scale", { signal: chunk, scale: { ...scale, leads: [] } }, 0x200],
  ["a chunk cut short", { signal: new Ext(0x45, chunk.data.subarray(0, 11)), scale }, 0x200],
  ["a few bytes that announce 4 million samples", {
    signal: new Ext(0x45, Uint8Array.of(1, 0, 7, 0, 0, 0, 0, 64, 255, 255, 0, 0)),
    scale,
  }, 0x102],
];
for (const [fault, payload, code] of refusedSignals) {
  test(`a packed signal with ${fault} is refused, and nobody hears of it`, () => {
    const lab = new Lab();
    const watchers = [lab.watcher(Version.V3), modern(lab)];
    const monitor = lab.connect({ stream: "bed-3" });
    monitor.say(3, MessageType.ECG_DATA, payload);
    assertEquals(monitor.nextError(), code);
    lab.host.pass(0);
    assertEquals(watchers.map((one) => one.received), [[], []]);
  });
}

test("packed samples count as the floats they stand for", () => {
  const lab = new Lab({ bytesPerSecond: 50_000, burstSeconds: 1 });
  const monitor = lab.connect({ stream: "bed-3" });
  // 10,000 equal samples are 1,300 bytes, and 90,000 as floats.
  const signal = packSamples(7, 0, [new Int32Array(10_000)]);
  monitor.say(3, MessageType.ECG_DATA, { signal, scale });
  assertEquals(monitor.nextError(), ErrorCode.RATE_LIMITED);
});

test("a broadcast packed signal goes out as floats: its scale is not everybody's", () => {
  const lab = new Lab();
  const watchers = [modern(lab, Version.V3, "bed-1"), lab.watcher(Version.V3, "bed-2")];
  const monitor = lab.connect({ stream: "bed-9" });
  monitor.say(3, MessageType.ECG_DATA, { signal: chunk, scale }, Flag.BROADCAST);
  lab.host.pass(0);
  for (const watcher of watchers) assertEquals(watcher.next().payload, floats);
});

test("a packed signal that is too long as floats reaches nobody where somebody wants floats", () => {
  const lab = new Lab({ payloadBytes: 4_096 });
  const monitor = lab.connect({ stream: "bed-3" });
  // 400 equal samples are 62 bytes, and 3,600 as floats.
  const signal = packSamples(7, 0, [new Int32Array(400)]);
  const long = { signal, scale, more: new Uint8Array(1_000) };
  const watchers = [Version.V3, Version.V2].map((version) => modern(lab, version));
  const plain = lab.watcher(Version.V1);
  const nobody = (where: string) => {
    lab.host.pass(0);
    assertEquals([...watchers, plain].map((one) => one.received), [[], [], []], where);
  };
  for (const flags of [0, Flag.BROADCAST]) {
    monitor.say(3, MessageType.ECG_DATA, long, flags);
    assertEquals(monitor.nextError(), ErrorCode.TOO_LARGE);
    nobody(`flags ${flags}`);
  }
  // It left nothing behind, neither for who comes late nor of its scale.
  const late = lab.connect();
  const capabilities = ["packed-signal"];
  late.say(1, MessageType.VERSION_CHECK, { version: 3, capabilities });
  late.say(3, MessageType.SUBSCRIBE, { stream: "bed-3", last_seconds: 10 });
  assertEquals(late.next().payload, { stream: "bed-3", status: "subscribed", history: 0 });
  monitor.say(3, MessageType.ECG_DATA, { signal });
  assertEquals(monitor.nextError(), ErrorCode.MISSING_FIELDS);
  nobody("unknown scale");
  // Where nobody wants floats, it passes.
  plain.close();
  monitor.say(3, MessageType.ECG_DATA, long);
  lab.host.pass(0);
  assertEquals(monitor.received, []);
  for (const watcher of [...watchers, late]) {
    assertEquals((watcher.next().payload as { more: Uint8Array }).more.length, 1_000);
  }
});

test("what is not about the signal stays byte for byte when it is unpacked", () => {
  const lab = new Lab();
  const monitor = lab.connect({ stream: "bed-3" });
  const peers = VERSIONS.map((version) => lab.watcher(version));
  const name = (text: string) => concat(Uint8Array.of(0xa0 | text.length), utf8Bytes(text));
  const told = (value: unknown) => encodeMsgpack(value);
  /** As no writer of ours would: long forms, floats that are whole, -0, keys in any order. */
  const odd = [
    concat(name("x"), fromHex("cb3ff0000000000000")),
    concat(name("10"), fromHex("ca3f800000")),
    concat(name("9"), fromHex("cf0000000000000001")),
    concat(fromHex("d90161"), fromHex("db0000000162")),
    concat(name("zero"), fromHex("cb8000000000000000")),
    concat(fromHex("cb4000000000000000"), fromHex("d6ff00000001")),
    concat(name("__proto__"), fromHex("dd0000000101")),
    concat(
      name("nd"),
      told({ __ndarray__: [1], dtype: "float64", shape: new Array(32).fill(1) }),
    ),
  ];
  const packed = [
    concat(name("units"), told("giving way")),
    concat(name("scale"), told(scale)),
    concat(name("signal"), told(chunk)),
  ];
  const fields = [...odd.slice(0, 3), ...packed, ...odd.slice(3)];
  const body = concat(fromHex("de000b"), ...fields);
  monitor.send(framed(2, MessageType.ECG_DATA, 0, body));
  lab.host.pass(0);
  assertEquals(monitor.received, []);
  const unpacked = concat(
    fromHex("8d"),
    ...odd,
    ...Object.entries({ ...floats, signal: Float64Array.from(floats.signal) })
      .map(([key, value]) => concat(name(key), told(value))),
  );
  for (const peer of peers) {
    assertEquals(hex(open(peer.take()!).msgpack!), hex(unpacked));
  }
});

// -- The past

test("last_seconds brings what came in this time, in the watcher's version, before anything live", () => {
  const lab = new Lab();
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 15; n++) {
    monitor.say(2, MessageType.ECG_DATA, { ...data, n });
    lab.host.pass(1000);
  }
  const peers = ([[2.5, 13], [10, 5], [1e9, 5]] as const).map(([seconds, oldest]) => {
    const peer = lab.connect();
    peer.say(1, MessageType.SUBSCRIBE, { stream: "bed-3", last_seconds: seconds });
    const history = 15 - oldest;
    assertEquals(peer.next().payload, { stream: "bed-3", status: "subscribed", history });
    return { peer, oldest };
  });
  monitor.say(3, MessageType.ECG_DATA, { ...data, n: 15 });
  for (const { peer, oldest } of peers) {
    for (let n = oldest; n <= 15; n++) {
      const { version, payload } = peer.next();
      assertEquals([version, (payload as { n: number }).n], [1, n]);
    }
    assertEquals(peer.received, []);
  }
});

for (const seconds of [-1, NaN, "10", [], 1n << 60n]) {
  test(`last_seconds of ${String(seconds)} is refused`, () => {
    const peer = new Lab().connect();
    peer.say(1, MessageType.SUBSCRIBE, { stream: "bed-3", last_seconds: seconds });
    assertEquals(peer.nextError(), ErrorCode.INVALID_DATA);
  });
}

test("the past counts as bytes that its watcher asked for", () => {
  const lab = new Lab({ bytesPerSecond: 10_000, burstSeconds: 1 });
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 8; n++) {
    const signal = Int16Array.from({ length: 400 }, (_, i) => (i * 7919 + n) % 30_000);
    monitor.say(1, MessageType.ECG_DATA, { signal });
    lab.host.pass(500);
  }
  const greedy = lab.connect();
  let got = 0;
  for (let i = 0; i < 20; i++) {
    greedy.say(1, MessageType.SUBSCRIBE, { stream: "bed-3", last_seconds: 10 });
    got += greedy.received.reduce((sum, { length }) => sum + length, 0);
    greedy.received.length = 0;
  }
  assert(got < 13_000, `${got} bytes`);
});

test("History is bounded in time, in bytes, and over all channels", () => {
  const host = new FakeHost();
  const history = new History<number>(
    { ms: 1000, bytes: 2_000, bytesInAll: 5_000 },
    () => host.now(),
  );
  history.push("t", "a", 0, 744);
  host.pass(600);
  history.push("t", "a", 1, 744);
  assertEquals([history.last("t", "a", 9999), history.last("t", "a", 500)], [[0, 1], [1]]);
  history.push("t", "a", 2, 10);
  assertEquals(history.last("t", "a", 9999), [1, 2]);
  history.push("t", "a", 3, 1_745);
  assertEquals(history.last("t", "a", 9999), [1, 2]);
  host.pass(1001);
  assertEquals(history.last("t", "a", 9999), []);
  for (const [i, name] of ["b", "c", "d"].entries()) history.push("t", name, i, 1_500);
  // `a` had expired, and `b` had to make room.
  assertEquals([history.size, history.last("t", "b", 9999), history.last("t", "c", 9999)], [2, [], [
    1,
  ]]);
  assert(history.bytes <= 5_000);
  host.pass(5_000);
  history.push("t", "e", 9, 10);
  assertEquals([history.size, history.bytes], [1, 266]);
});

test("History never holds more than it may, nor forgets what it should have", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(700), fc.nat(400));
  holds(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const host = new FakeHost();
    const history = new History<number>(
      { ms: 1000, bytes: 4_000, bytesInAll: 9_000 },
      () => host.now(),
    );
    const all: { name: string; at: number }[] = [];
    for (const [i, [name, bytes, ms]] of steps.entries()) {
      history.push("t", name, i, bytes);
      all.push({ name, at: host.now() });
      assert(history.bytes <= 9_000);
      const kept = history.last("t", name, 1000);
      assertEquals(kept.at(-1), i);
      // A run of the latest, none too old.
      const own = all.flatMap((one, n) =>
        one.name === name && host.now() - one.at <= 1000 ? [n] : []
      );
      assertEquals(kept, own.slice(own.length - kept.length));
      host.pass(ms);
    }
  }));
});

test("History makes room at the cost of the owner who holds most", () => {
  const host = new FakeHost();
  const bounds = { ms: 10_000, bytes: 2_000, bytesInAll: 6_000 };
  const history = new History<number>(bounds, () => host.now());
  history.push("small", "bed-1", 1, 500);
  for (let i = 0; i < 50; i++) {
    host.pass(10);
    history.push("greedy", `bed-${i}`, i, 1_000);
    assert(history.bytes <= 6_000);
  }
  assertEquals(history.last("small", "bed-1", 10_000), [1]);
  assertEquals(history.last("greedy", "bed-49", 10_000), [49]);
  assertEquals(history.last("greedy", "bed-1", 10_000), []);
});

// -- Encrypted, expired, refused

test("V1 and V2 watchers are told once that a stream is encrypted", () => {
  const lab = new Lab();
  const watchers = VERSIONS.map((version) => lab.watcher(version));
  const monitor = lab.connect({ stream: "bed-3" });
  const sealed = new Uint8Array(40);
  for (let i = 0; i < 3; i++) monitor.say(3, MessageType.ECG_DATA, sealed, Flag.ENCRYPTED);
  const notice = {
    stream: "bed-3",
    status: "encrypted",
    message: "This stream is encrypted, which only version 3 carries.",
  };
  for (const watcher of watchers.slice(0, 2)) {
    assertEquals(watcher.next().payload, notice);
    assertEquals(watcher.received, []);
  }
  assertEquals(watchers[2]!.received.length, 3);
  // Who comes later is told with the next one; nothing sealed is in anybody's past below V3.
  const late = lab.connect();
  late.say(2, MessageType.SUBSCRIBE, { stream: "bed-3", last_seconds: 10 });
  assertEquals((late.next().payload as { history: number }).history, 0);
  monitor.say(3, MessageType.ECG_DATA, sealed, Flag.ENCRYPTED);
  assertEquals([late.next().payload, late.received], [notice, []]);
});

test("a link ends with its token, with 0x202", () => {
  const lab = new Lab();
  const now = Number(lab.host.unixMicros() / 1000n);
  const peer = lab.connect({ grant: { ...everything, expires: now + 60_000 } });
  const forLong = lab.connect({ grant: { ...everything, expires: now + 1e12 } });
  lab.host.pass(59_999);
  assertEquals([peer.received, peer.closedWith], [[], undefined]);
  lab.host.pass(1);
  assertEquals(peer.nextError(), ErrorCode.AUTHENTICATION_FAILED);
  assertEquals(peer.closedWith?.code, Close.unauthorized.code);
  lab.host.pass(2 ** 32);
  assertEquals(forLong.closedWith, undefined);
  forLong.close();
  assertEquals(lab.host.waiting, 0);
});

test("without a grant a stream that is there answers like one that is not", () => {
  const lab = new Lab();
  lab.watcher(Version.V3, "bed-1");
  const monitor = lab.connect({ stream: "bed-1" });
  monitor.say(3, MessageType.ECG_DATA, { signal: chunk, scale });
  const answers = ["bed-1", "bed-0"].map((stream) => {
    const stranger = lab.connect({ grant: { ...everything, watch: ["other"], publish: ["x"] } });
    stranger.say(2, MessageType.SUBSCRIBE, { stream, last_seconds: 10 });
    stranger.say(2, MessageType.UNSUBSCRIBE, { stream });
    stranger.say(2, MessageType.ECG_DATA, { ...data, stream });
    monitor.say(3, MessageType.ECG_DATA, { signal: chunk });
    monitor.say(3, MessageType.ECG_DATA, new Uint8Array(9), Flag.ENCRYPTED);
    lab.host.pass(10_000);
    return stranger.received.map((bytes) =>
      JSON.stringify(
        decode(bytes).payload,
        (_, value) => typeof value === "string" ? value.replace(stream, "bed-?") : value,
      )
    );
  });
  assertEquals(answers[0], answers[1]);
  assertEquals(answers[0]!.length, 3);
});

test("PROTOCOL_NEGOTIATION of a client chooses the highest version that both have", () => {
  const peer = new Lab().connect();
  const offer = (versions: unknown[]) =>
    peer.say(1, MessageType.PROTOCOL_NEGOTIATION, { supported_versions: versions });
  offer([1, 2, 9]);
  peer.say(1, MessageType.PING, null);
  assertEquals(peer.next().version, Version.V2);
  offer([7, "3"]);
  assertEquals(peer.nextError(), ErrorCode.INVALID_VERSION);
});

test("a message that takes long is passed on, and logged as slow, once a second at most", async () => {
  const records: unknown[] = [];
  const category = "blaze-relay";
  await configure({
    sinks: { test: ({ level, properties }) => void records.push([level, properties.bytes]) },
    loggers: [
      { category, sinks: ["test"], lowestLevel: "warning" },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
    reset: true,
  });
  try {
    // Each look at the clock takes 30 ms.
    const host = new FakeHost();
    const now = host.now.bind(host);
    host.now = () => (host.pass(30), now());
    const chosen = limits();
    const sessions = new EcgSessions(new Channels(), chosen, host);
    const meter = new Meter(ecgDialect, host.now, chosen.slowMessageMs);
    const accept = sessions.accept({ grant: everything, stream: "bed-3" });
    const peer = new Peer(meter.metered(accept));
    const bytes = peer.say(1, MessageType.ECG_DATA, data);
    peer.say(1, MessageType.ECG_DATA, data);
    assertEquals(records, [["warning", bytes.length]]);
  } finally {
    const meta = { category: ["logtape", "meta"], lowestLevel: "error" as const };
    await configure({ sinks: {}, loggers: [meta], reset: true });
  }
});

// -- Batches

test("splitBatch takes apart what was joined, and leaves a fault to the message it is in", () => {
  const messages = VERSIONS.map((version) =>
    encode({
      version,
      type: MessageType.ECG_DATA,
      timestamp: version === 3 ? 1n : null,
      payload: data,
    })
  );
  assertEquals(splitBatch(concat(...messages)), messages);
  assertEquals(splitBatch(messages[0]!), [messages[0]]);
  assertEquals(splitBatch(new Uint8Array(0)), [new Uint8Array(0)]);
  const torn = concat(messages[0]!, Uint8Array.of(3, 1, 0));
  assertEquals(splitBatch(torn), [messages[0], Uint8Array.of(3, 1, 0)]);
  const long = new Uint8Array(MAX_BATCH + 1).fill(1);
  assertEquals(splitBatch(long), [long]);
});

test("splitBatch of any bytes gives back all of them", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const own = Uint8Array.from(bytes);
    assertEquals(concat(...splitBatch(own)), own);
  }));
});

test("who negotiated batches gets what one turn brings in one message, alarms before it", () => {
  const lab = new Lab();
  const watcher = lab.connect();
  watcher.say(3, MessageType.VERSION_CHECK, { version: 3, capabilities: ["batch"] });
  watcher.say(3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  lab.host.pass(0);
  const first = splitBatch(watcher.take()!).map((one) => decode(one).type);
  assertEquals(first, [MessageType.SUBSCRIPTION_ACK, MessageType.PING]);
  watcher.say(3, MessageType.PONG, null);
  const monitor = lab.connect({ stream: "bed-3" });
  /** What came, message by message, once the timer has gone off. */
  const turn = () => {
    lab.host.pass(0);
    const taken = watcher.received.splice(0).map((bytes) =>
      splitBatch(bytes).map((one) => decode(one))
    );
    if (taken.flat().some(({ type }) => type === MessageType.PING)) {
      watcher.say(3, MessageType.PONG, null);
    }
    return taken.map((batch) => batch.filter(({ type }) => type !== MessageType.PING));
  };
  // Credit grows with what is seen to arrive.
  for (let n = 0; n < 40; n++) monitor.say(3, MessageType.ECG_DATA, data);
  while (turn().length > 0);
  for (let n = 0; n < 3; n++) monitor.say(3, MessageType.ECG_DATA, { ...data, n });
  monitor.say(3, MessageType.ANOMALY_ALERT, { alarm: true });
  const [alarm, batch, ...more] = turn();
  assertEquals(alarm!.map(({ payload }) => payload), [{ alarm: true }]);
  assertEquals(batch!.map(({ payload }) => payload), [0, 1, 2].map((n) => ({ ...data, n })));
  assertEquals(more, []);
});

test("a batch from a client is read like its messages, each fault answered; else it is a fault", () => {
  const lab = new Lab();
  const watcher = lab.watcher(Version.V1);
  const good = encode({ version: 1, type: MessageType.ECG_DATA, payload: data });
  const bad = good.slice();
  bad[7]! ^= 1;
  const batch = concat(good, bad, good);
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.send(batch);
  assertEquals(monitor.nextError(), ErrorCode.INVALID_DATA);
  monitor.say(1, MessageType.VERSION_CHECK, { version: 1, capabilities: ["batch"] });
  monitor.send(batch);
  lab.host.pass(0);
  assertEquals(monitor.nextError(), ErrorCode.CHECKSUM_MISMATCH);
  assertEquals([monitor.received.length, watcher.received.length], [0, 2]);
});

test("a message of the past that is too long unpacked is left out, and its stream can be watched", () => {
  const lab = new Lab();
  const samples = Int32Array.from({ length: 20_000 }, (_, i) => i % 7);
  const signal = packSamples(7, 0, [samples]);
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.say(Version.V3, MessageType.ECG_DATA, { signal, scale, notes: "x".repeat(1_000_000) });
  monitor.say(Version.V3, MessageType.ECG_DATA, data);
  assertEquals(monitor.received, []);
  const late = lab.connect();
  late.say(Version.V1, MessageType.SUBSCRIBE, { stream: "bed-3", last_seconds: 5 });
  assertEquals(late.next().payload, { stream: "bed-3", status: "subscribed", history: 1 });
  assertEquals(late.next().payload, data);
});

test("a watcher that is closed while it subscribes leaves nothing behind", () => {
  const lab = new Lab({ bufferedBytes: 2_000 });
  const slow = lab.connect();
  slow.buffered = 1_990;
  slow.say(Version.V3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  assertEquals(slow.closedWith?.code, Close.tooSlow.code);
  assertEquals([lab.channels.size, lab.sessions.streams.size, lab.host.waiting], [0, 0, 0]);
});
