import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Close } from "../src/close.ts";
import { MAX_QUEUE_MS } from "../src/session/credit.ts";
import { Flag, MessageType, Version } from "../src/wire/ecg/codes.ts";
import { Lab, type Peer, VERSIONS } from "./kit/ecg_lab.ts";
import { everything } from "./kit/blaze.ts";
import { type Arrival, Hub, type Pipe, SlowPeer } from "./kit/slow_peer.ts";

/** Bytes of signal in a message, and messages in a second. */
const BYTES = 500;
const PER_SECOND = 10;
const RATE = 5_300;

interface Gap {
  status: string;
  stream: string | null;
  messages: number;
  samples: number;
  from: number;
  to: number;
}

const isGap = ({ type, payload }: Arrival): boolean =>
  type === MessageType.SUBSCRIPTION_ACK && (payload as { status?: string }).status === "gap";
const gapOf = ({ payload }: Arrival) => payload as unknown as Gap;
const isAlarm = ({ type }: Arrival): boolean => type === MessageType.ANOMALY_ALERT;

function watch(lab: Lab, pipe: Pipe, version: Version = Version.V3, seconds = 0): SlowPeer {
  const peer = new SlowPeer(lab.sessions.accept({ grant: everything }), lab.host, pipe);
  const history = seconds > 0 ? { last_seconds: seconds } : {};
  // Whoever names capabilities is asked from the start.
  peer.say(version, MessageType.VERSION_CHECK, { version, capabilities: [] });
  peer.say(version, MessageType.SUBSCRIBE, { stream: "bed-3", ...history });
  return peer;
}

/** Message number `n` at its time; every tenth second one is an alarm, sent beside it. */
function publish(lab: Lab, monitor: Peer, n: number): void {
  const signal = new Int8Array(BYTES).fill(n % 100);
  const time = BigInt(n) * 100_000n;
  monitor.say(Version.V3, MessageType.ECG_DATA, { signal, n }, 0, time);
  if (n % PER_SECOND === 5) monitor.say(Version.V3, MessageType.ANOMALY_ALERT, { n }, 0, time);
  lab.host.pass(1000 / PER_SECOND);
}

function run(pipe: Pipe, seconds: number, version: Version = Version.V3) {
  const lab = new Lab();
  const peer = watch(lab, pipe, version);
  lab.host.pass(500);
  const start = lab.host.now();
  const monitor = lab.connect({ stream: "bed-3" });
  let most = 0;
  for (let n = 0; n < seconds * PER_SECOND; n++) {
    publish(lab, monitor, n);
    most = Math.max(most, peer.onWay);
  }
  lab.host.pass(10_000);
  return { peer, start, most, sent: seconds * PER_SECOND };
}

/** Every message has come or is in a gap, exactly once and in order. Answers those that came. */
function account(arrivals: readonly Arrival[], sent: number, exactTimes: boolean): number[] {
  const came: number[] = [];
  let expected = 0;
  for (const arrival of arrivals) {
    if (isGap(arrival)) {
      const { stream, messages, samples, from, to } = gapOf(arrival);
      assertEquals([stream, samples], ["bed-3", messages * BYTES]);
      if (exactTimes) assertEquals([from, to], [expected * 1e5, (expected + messages - 1) * 1e5]);
      expected += messages;
    } else if (arrival.type === MessageType.ECG_DATA) {
      const { n } = arrival.payload as { n: number };
      assertEquals(n, expected);
      expected++;
      came.push(n);
    }
  }
  assertEquals(expected, sent);
  return came;
}

function alarmDelays(arrivals: readonly Arrival[], start: number): number[] {
  const alarms = arrivals.filter(isAlarm).map(({ payload, at }) => ({
    n: (payload as { n: number }).n,
    at,
  }));
  assertEquals(alarms.map(({ n }) => n), alarms.map((_, i) => 5 + i * PER_SECOND));
  return alarms.map(({ n, at }) => at - start - n * 1000 / PER_SECOND);
}

for (const version of VERSIONS) {
  for (const [share, part] of [["half", 2], ["a tenth", 10]] as const) {
    test(`a V${version} watcher at ${share} of the rate gets every alarm, and knows what it lost`, () => {
      const pipe = { rate: RATE / part, delay: 20 };
      const { peer, start, most, sent } = run(pipe, 60, version);
      const came = account(peer.arrivals, sent, true);
      assert(came.length > 0.6 * sent / part, `${came.length} of ${sent} came`);
      assert(came.length < 1.1 * sent / part + 10, `${came.length} of ${sent} came`);
      const delays = alarmDelays(peer.arrivals, start);
      assertEquals(delays.length, 60);
      const drain = most / pipe.rate * 1000;
      assert(Math.max(...delays) <= 250 + drain + 2 * pipe.delay, `${delays.map(Math.round)}`);
      // The credit itself: one message, which is the shortest round trip too, and 200 ms more. PINGs,
      // alarms and word of gaps go in any case.
      const words = 150;
      const bound = BYTES + 60 + pipe.rate * (MAX_QUEUE_MS + 2 * pipe.delay) / 1000;
      assert(most <= bound + words, `${most} bytes on the way`);
    });
  }
}

test("a watcher that keeps up loses nothing, also where the way is long", () => {
  for (const delay of [1, 50, 300]) {
    const { peer, start, sent } = run({ rate: 20 * RATE, delay }, 30);
    const late = peer.arrivals.filter((one) => one.type === MessageType.ECG_DATA)
      .map(({ at, payload }) => at - start - 100 * (payload as { n: number }).n - delay);
    assertEquals(account(peer.arrivals, sent, true).length, sent);
    // A question now and then may hold one message back, until its answer is there.
    assert(Math.max(...late) <= 4 * delay + 200, `${Math.max(...late)} ms late at ${delay} ms`);
  }
});

test("a watcher that never answers gets everything, whatever is under way", () => {
  const lab = new Lab();
  const peer = watch(lab, { rate: RATE / 2, delay: 20 });
  peer.answers = false;
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 300; n++) publish(lab, monitor, n);
  assert(peer.onWay > 50_000, `${peer.onWay} bytes under way`);
  lab.host.pass(60_000);
  assertEquals(account(peer.arrivals, 300, true).length, 300);
});

test("a watcher of the seed's text is left in peace for a second, and asked from then on", () => {
  const lab = new Lab();
  const pipe = { rate: RATE / 2, delay: 20 };
  const peer = new SlowPeer(lab.sessions.accept({ grant: everything }), lab.host, pipe);
  peer.say(Version.V2, MessageType.SUBSCRIBE, { stream: "bed-3" });
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 10; n++) publish(lab, monitor, n);
  assert(peer.onWay > 2_000, `${peer.onWay} bytes under way`);
  assertEquals(peer.asked, 0);
  for (let n = 10; n < 100; n++) publish(lab, monitor, n);
  assert(peer.asked > 5 && peer.onWay < 1_000, `${peer.onWay} bytes under way`);
  lab.host.pass(10_000);
  account(peer.arrivals, 100, true);
});

test("a watcher that becomes slow is bounded soon, and one that recovers gets everything", () => {
  const lab = new Lab();
  const peer = watch(lab, { rate: 20 * RATE, delay: 20 });
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 100; n++) publish(lab, monitor, n);
  peer.pipe.rate = RATE / 2;
  for (let n = 100; n < 300; n++) publish(lab, monitor, n);
  assert(peer.onWay < RATE / 2, `${peer.onWay} bytes under way`);
  peer.pipe.rate = 20 * RATE;
  const lostBefore = peer.arrivals.filter(isGap).length;
  assert(lostBefore > 0);
  for (let n = 300; n < 320; n++) publish(lab, monitor, n);
  const from = lab.host.now();
  for (let n = 320; n < 420; n++) publish(lab, monitor, n);
  lab.host.pass(5_000);
  const came = account(peer.arrivals, 420, true);
  assertEquals(came.filter((n) => n >= 320).length, 100);
  const late = peer.arrivals.filter((one) => one.at > from && one.type === MessageType.ECG_DATA)
    .map(({ at, payload }) => at - from - 100 * ((payload as { n: number }).n - 320));
  assert(Math.max(...late.slice(5)) < 300, `${late.map(Math.round)}`);
});

test("a shortest round trip that was believed for long is looked at anew", () => {
  // Without a fresh look the queue of a watcher that always lags would pass for its distance.
  const { peer, start } = run({ rate: RATE / 2, delay: 20 }, 300);
  const delays = alarmDelays(peer.arrivals, start);
  assert(Math.max(...delays.slice(-60)) <= 500, `${delays.slice(-60).map(Math.round)}`);
});

test("alarms go ahead of all that waits, each in its order", () => {
  const lab = new Lab();
  const peer = watch(lab, { rate: 1_000, delay: 5 });
  lab.host.pass(500);
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 5; n++) monitor.say(3, MessageType.ECG_DATA, { signal: [n] }, 0, BigInt(n));
  for (let n = 0; n < 3; n++) {
    monitor.say(3, MessageType.FEATURE_DATA, { alarm: n }, Flag.PRIORITY, BigInt(100 + n));
  }
  lab.host.pass(5_000);
  const order = peer.arrivals.slice(2).map(({ timestamp }) => Number(timestamp));
  assertEquals(order.slice(0, 4), [0, 100, 101, 102]);
  assertEquals(order.slice(4), [1, 2, 3, 4]);
});

test("alarms are never dropped: a reader that takes none is closed at twice the limit", () => {
  const lab = new Lab({ bufferedBytes: 2_000 });
  const peer = watch(lab, { rate: 1, delay: 5 });
  const monitor = lab.connect({ stream: "bed-3" });
  let sent = 0;
  for (; peer.closedWith === undefined && sent < 1_000; sent++) {
    monitor.say(Version.V3, MessageType.ANOMALY_ALERT, { sent }, 0, 0n);
  }
  assertEquals(peer.closedWith, Close.tooSlow.code);
  // The hello was on its way before anybody counted.
  assert(peer.onWay > 3_800 && peer.onWay <= 4_300, `${peer.onWay} bytes`);
});

test("a stream that a watcher leaves is forgotten with all that waits, and without a gap", () => {
  const lab = new Lab();
  const peer = watch(lab, { rate: 500, delay: 5 });
  lab.host.pass(500);
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 100; n++) publish(lab, monitor, n);
  peer.say(Version.V3, MessageType.UNSUBSCRIBE, { stream: "bed-3" });
  const at = lab.host.now();
  lab.host.pass(20_000);
  const after = peer.arrivals.filter((one) => one.at > at + 3_000);
  assertEquals(after, []);
  const last = peer.arrivals.at(-1)!;
  assertEquals(last.payload, { stream: "bed-3", status: "unsubscribed" });
});

test("the last seconds asked for wait their turn like everything else", () => {
  const lab = new Lab();
  const monitor = lab.connect({ stream: "bed-3" });
  for (let n = 0; n < 100; n++) publish(lab, monitor, n);
  const pipe = { rate: 2 * RATE, delay: 20 };
  const peer = watch(lab, pipe, Version.V3, 10);
  assert(peer.onWay < 2 * BYTES, `${peer.onWay} bytes under way at once`);
  for (let n = 100; n < 200; n++) publish(lab, monitor, n);
  lab.host.pass(1_000);
  const ack = peer.arrivals[1]!.payload as { history: number };
  assertEquals(ack.history, 110);
  const data = peer.arrivals.filter(({ type }) => type === MessageType.ECG_DATA);
  assertEquals((data.at(-1)!.payload as { n: number }).n, 199);
});

// -- With the runtime's topics

function inTopics(pipe: Pipe, answers = true) {
  const lab = new Lab();
  const hub = new Hub();
  const open = (one: Pipe) =>
    new SlowPeer(lab.sessions.accept({ grant: everything }), lab.host, one, hub);
  const peer = open(pipe);
  peer.answers = answers;
  peer.say(Version.V3, MessageType.VERSION_CHECK, { version: 3, capabilities: [] });
  peer.say(Version.V3, MessageType.SUBSCRIBE, { stream: "bed-3" });
  const monitor = open({ rate: 1e9, delay: 0 });
  let n = 0;
  const publishFor = (seconds: number) => {
    for (const end = n + seconds * PER_SECOND; n < end; n++) {
      const payload = { stream: "bed-3", signal: new Int8Array(BYTES).fill(n % 100), n };
      monitor.say(Version.V3, MessageType.ECG_DATA, payload, BigInt(n) * 100_000n);
      lab.host.pass(1000 / PER_SECOND);
    }
    return n;
  };
  return { lab, peer, publishFor };
}

test("a watcher that keeps up is served by the topic, and asked a few times a second", () => {
  const { lab, peer, publishFor } = inTopics({ rate: 20 * RATE, delay: 20 });
  publishFor(5);
  const before = peer.byTopic;
  const sent = publishFor(10);
  assertEquals(peer.byTopic - before, 100);
  lab.host.pass(1_000);
  assertEquals(account(peer.arrivals, sent, true).length, sent);
  // Nothing goes on when nothing is published.
  assertEquals(lab.host.waiting, 0);
});

test("a watcher that falls behind leaves the topic, is bounded, and comes back with every gap told", () => {
  const { lab, peer, publishFor } = inTopics({ rate: 20 * RATE, delay: 20 });
  publishFor(5);
  peer.pipe.rate = RATE / 2;
  const before = peer.byTopic;
  publishFor(10);
  // One round of questions, and the time an answer may take.
  assert(peer.byTopic - before <= 8, `${peer.byTopic - before} more by topic`);
  assert(peer.onWay < RATE / 2, `${peer.onWay} bytes under way`);
  peer.pipe.rate = 20 * RATE;
  publishFor(10);
  const back = peer.byTopic;
  const sent = publishFor(5);
  assertEquals(peer.byTopic - back, 50);
  lab.host.pass(5_000);
  const came = account(peer.arrivals, sent, true);
  assert(came.length < sent && came.length > sent - 100, `${came.length} of ${sent}`);
});

test("a watcher at half the rate from the start never sees the topic", () => {
  const { lab, peer, publishFor } = inTopics({ rate: RATE / 2, delay: 20 });
  const sent = publishFor(30);
  assertEquals(peer.byTopic, 0);
  lab.host.pass(10_000);
  account(peer.arrivals, sent, true);
});

test("a watcher that never answers is served by the topic after two seconds", () => {
  const { lab, peer, publishFor } = inTopics({ rate: RATE / 2, delay: 20 }, false);
  const sent = publishFor(10);
  assert(peer.byTopic >= 79, `${peer.byTopic} by topic`);
  lab.host.pass(60_000);
  assertEquals(account(peer.arrivals, sent, true).length, sent);
});
