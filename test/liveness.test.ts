import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BlazePair, EcgClient, type EcgStatus } from "../src/client/mod.ts";
import { Connection } from "../src/client/connection.ts";
import { Liveness, type LivenessOptions } from "../src/client/liveness.ts";
import { inMemory } from "../src/client/transport/transport_memory.ts";
import { onWake } from "../src/client/wake.ts";
import { host as systemHost } from "../src/host.ts";
import { FakeHost } from "./kit/fake_host.ts";
import type { CarrierEvents, CarrierTarget } from "../src/client/transport/carrier.ts";
import { nativeTransport } from "../src/client/transport/native_transport.ts";
import { eventually, group, withDevices } from "./kit/group.ts";
import { mutesUpgrades, proxy, swallows } from "./kit/proxy.ts";
import { puppet } from "./kit/puppet.ts";
import { withRelay } from "./kit/relay.ts";

// --- what is silent, and for how long ---------------------------------------------------------

function watch(options: LivenessOptions = {}) {
  const host = new FakeHost();
  const told: string[] = [];
  const say = (what: string) => void told.push(`${what} ${host.now()}`);
  const liveness = new Liveness(options, host, say);
  const link = {
    buffered: 0,
    begun: true,
    probe() {
      if (!link.begun) return false;
      say("ping");
      // It waits for a moment, too.
      link.buffered += 7;
      host.after(1, () => link.buffered -= 7);
      return true;
    },
  };
  liveness.begin(link);
  return { host, told, liveness, link };
}

test("Liveness asks after 10 s of silence, and gives up 5 s later", () => {
  const { host, told, liveness } = watch();
  host.pass(60_000);
  assertEquals(told, ["ping 10000", "nothing heard for 15000 ms 15000"]);
  assertEquals(host.waiting, 0);
  liveness.check();
  assertEquals(told.length, 2, "it is watched no more");
});

test("Liveness asks nothing while anything is heard, and begins anew with every answer", () => {
  const { host, told, liveness } = watch();
  for (let i = 0; i < 10; i++) {
    host.pass(9_999);
    liveness.heard();
  }
  assertEquals(told, []);
  host.pass(14_999);
  assertEquals(told, ["ping 109990"]);
  liveness.heard();
  host.pass(9_999);
  assertEquals(told.length, 1);
  host.pass(1);
  assertEquals(told, ["ping 109990", "ping 124989"]);
  liveness.end();
  host.pass(60_000);
  assertEquals([told.length, host.waiting], [2, 0]);
});

test("Liveness has numbers that can be set, and 0 for never", () => {
  const quick = watch({ idleMs: 100, answerMs: 50 });
  quick.host.pass(1_000);
  assertEquals(quick.told, ["ping 100", "nothing heard for 150 ms 150"]);
  const never = watch({ idleMs: 0 });
  never.liveness.check();
  never.host.pass(3_600_000);
  assertEquals([never.told, never.host.waiting], [[], 0]);
});

test("Liveness asks at once when told to, and waits no longer for being told twice", () => {
  const { host, told, liveness } = watch();
  host.pass(1_000);
  liveness.check();
  host.pass(4_000);
  liveness.check();
  host.pass(1_000);
  assertEquals(told, ["ping 1000", "ping 5000", "nothing heard for 6000 ms 6000"]);
});

test("Liveness waits for a protocol to begin, but not for ever", () => {
  const { host, told, link, liveness } = watch();
  link.begun = false;
  liveness.check();
  host.pass(9_000);
  assertEquals(told, [], "too early to ask, so nobody owes an answer");
  host.pass(6_000);
  assertEquals(told, ["nothing heard for 15000 ms 15000"]);
});

test("Liveness does not blame a relay for the time in which nobody here was awake", () => {
  const { host, told, liveness } = watch();
  host.pass(10_000);
  host.block(3_600_000);
  assertEquals(told, ["ping 10000", "ping 3610000"]);
  host.pass(4_999);
  liveness.heard();
  host.pass(1);
  assertEquals(told.length, 2);
});

test("Liveness gives up on a silent way although its timers are late each time, as in hidden pages", () => {
  const { host, told } = watch();
  for (let i = 0; i < 4; i++) host.block(60_000);
  assertEquals(told.at(-1), "nothing heard for 180000 ms 180000");
});

test("Liveness lets an upload go on that hides its question", () => {
  const { host, told, link } = watch();
  for (link.buffered = 1_000_000; link.buffered > 0; link.buffered -= 100_000) host.pass(4_000);
  assertEquals(told, ["ping 10000"]);
  host.pass(20_000);
  assertEquals(told.length, 2);
});

test("Liveness gives a way that is only slow more time on each link, and takes it back", () => {
  const { host, told, link, liveness } = watch();
  /** Milliseconds from a question to giving up. */
  const patience = (): number => {
    told.length = 0;
    liveness.begin(link);
    host.pass(200_000);
    const [asked, gaveUp] = told.map((line) => Number(line.split(" ").at(-1)));
    return gaveUp! - asked!;
  };
  assertEquals([1, 2, 3, 4, 5, 6].map(patience), [5, 10, 20, 40, 80, 80].map((s) => 1000 * s));
  for (let i = 0; i < 3; i++) {
    liveness.begin(link);
    host.pass(10_000);
    liveness.heard();
  }
  assertEquals(patience(), 10_000);
  liveness.begin(link);
  host.pass(19_000);
  liveness.heard();
  for (let i = 0; i < 10; i++) {
    host.pass(9_000);
    liveness.heard();
  }
  host.pass(200_000);
  assertEquals(patience(), 5_000, "after a link that lived long");
});

// --- what wakes -------------------------------------------------------------------------------

/** A page, as far as waking is concerned. */
function surroundings() {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  return Object.assign(page, { document });
}

test("onWake tells of a network that is back, of a page that is shown, and of a sleep", () => {
  const host = new FakeHost();
  const page = surroundings();
  let woken = 0;
  const stop = onWake(() => void woken++, host, page);
  page.dispatchEvent(new Event("online"));
  assertEquals(woken, 1);
  page.document.visibilityState = "hidden";
  page.document.dispatchEvent(new Event("visibilitychange"));
  assertEquals(woken, 1);
  page.document.visibilityState = "visible";
  page.document.dispatchEvent(new Event("visibilitychange"));
  assertEquals(woken, 2);
  host.pass(3_600_000);
  assertEquals(woken, 2, "time that passes is no sleep");
  host.sleep(60_000);
  host.pass(2_000);
  assertEquals(woken, 3);
  host.pass(60_000);
  assertEquals(woken, 3);
  stop();
  page.dispatchEvent(new Event("online"));
  page.document.dispatchEvent(new Event("visibilitychange"));
  assertEquals([woken, host.waiting], [3, 0]);
});

test("the host's time of day follows a clock that is set, which performance.now() does not", () => {
  const { now } = Date;
  const before = systemHost.unixMicros();
  try {
    Date.now = () => now() + 3_600_000;
    const after = systemHost.unixMicros();
    assert(after - before >= 3_599_000_000n && after - before < 3_700_000_000n);
  } finally {
    Date.now = now;
  }
  assert(systemHost.unixMicros() - before < 100_000_000n);
});

// --- a connection, in time that stands still --------------------------------------------------

function connect(options: LivenessOptions = {}) {
  const host = new FakeHost();
  const { transport, ...rest } = puppet();
  const attempts = rest.attempts;
  const told: string[] = [];
  const pings: number[] = [];
  const connection = new Connection(
    { url: new URL("ws://relay"), host, transport, ...options },
    () => ({
      message() {},
      text() {},
      drained() {},
      closed() {},
      probe: () => pings.push(host.now()) > 0,
    }),
    {
      offline: (code, reason) => void told.push(`${code} ${reason}`),
      ended: ({ code }) => void told.push(`ended ${code}`),
    },
  );
  return { host, attempts, told, pings, connection };
}

/** Sockets tell one event a microtask. */
const turn = () => new Promise<void>((resolve) => queueMicrotask(() => queueMicrotask(resolve)));

test("Connection drops a silent link without waiting for its goodbye, and connects anew", async () => {
  const { host, attempts, told, pings, connection } = connect();
  attempts[0]!.opened("");
  await turn();
  host.pass(15_000);
  await turn();
  assertEquals(pings, [10_000]);
  assertEquals(told, ["1006 nothing heard for 15000 ms"]);
  assertEquals([attempts[0]!.aborted, attempts[0]!.closedWith], [true, undefined]);
  host.pass(250);
  assertEquals(attempts.length, 2);
  connection.close();
  assertEquals(host.waiting, 0, "nothing is left that would keep a process alive");
});

test("Connection asks after a sleep, and tries at once where it waited for a network", async () => {
  const backoff = { first: 20_000, most: 20_000 };
  const { host, attempts, pings, told, connection } = connect({ backoff } as LivenessOptions);
  attempts[0]!.opened("");
  await turn();
  host.sleep(60_000);
  host.pass(2_000);
  assertEquals(pings, [2_000]);
  host.pass(5_000);
  await turn();
  assertEquals(told.length, 1);
  host.pass(1_000);
  assertEquals(attempts.length, 1, "ten seconds are not over");
  host.sleep(60_000);
  host.pass(2_000);
  assertEquals(attempts.length, 2);
  attempts[1]!.opened("");
  await turn();
  attempts[1]!.closed(4429, "too_fast", true);
  await turn();
  host.sleep(60_000);
  host.pass(5_000);
  assertEquals(attempts.length, 2, "the relay itself said to go away: no network is to blame");
  connection.close();
  assertEquals(host.waiting, 0);
});

test("Connection gives up an attempt that nobody answers", async () => {
  const { host, attempts, told, connection } = connect();
  host.pass(20_000);
  assert(attempts[0]!.aborted);
  // It asks over plain HTTP why, and nobody is there.
  await eventually(() => told.length > 0, "offline");
  assertEquals(told, ["1006 nobody answers"]);
  connection.close();
  assertEquals(host.waiting, 0);
});

// --- real ways --------------------------------------------------------------------------------

const quick = { idleMs: 150, answerMs: 150, openMs: 300, backoff: { first: 10, most: 50 } };

/** A relay behind a proxy that can be made to swallow what flows on the connections it has. */
const withSwallower = (run: (url: string, swallow: () => void) => Promise<void>) =>
  withRelay(async (relay) => {
    const { spoil, swallow } = swallows();
    const between = await proxy(relay.url, spoil);
    try {
      await run(between.url, swallow);
    } finally {
      await between.stop();
    }
  });

for (const transport of ["websocket", "http"] as const) {
  test(`a pair notices that its way swallows everything, and meets again, over ${transport}`, () =>
    withSwallower(async (url, swallow) => {
      const options = { url, database: "bugs", trust: "first", transport, ...quick } as const;
      const [a, b] = [BlazePair.open(options), BlazePair.open(options)];
      const losses: number[] = [];
      for (const device of [a, b]) {
        device.onStatus((status) => status.kind === "offline" && losses.push(status.code));
      }
      const arrivals = b[Symbol.asyncIterator]();
      await Promise.all([a.ready, b.ready]);
      losses.length = 0;
      swallow();
      await eventually(() => losses.filter((code) => code === 1006).length >= 2, "both notice");
      await Promise.all([a.ready, b.ready]);
      await a.collection("bugs").insert({ title: "back" });
      assertEquals((await arrivals.next()).value.operation.changes, { title: "back" });
      a.close();
      b.close();
    }));

  test(`an ECG watcher notices it too, and goes on watching, over ${transport}`, () =>
    withSwallower(async (url, swallow) => {
      const watcher = EcgClient.open({ url, stream: "bed-3", transport, ...quick });
      const statuses: EcgStatus["kind"][] = [];
      watcher.onStatus(({ kind }) => statuses.push(kind));
      const messages = await watcher.watch();
      statuses.length = 0;
      swallow();
      await eventually(() => statuses.includes("offline"), "it notices");
      await eventually(() => statuses.at(-1) === "online", "it is back");
      await watcher.ping(); // the SUBSCRIBE went before it
      const monitor = EcgClient.open({ url, stream: "bed-3" });
      await monitor.publish({ signal: [1] });
      assertEquals((await messages.next()).value.payload, { signal: [1] });
      monitor.close();
      watcher.close();
    }));
}

test("devices of a group notice it too, and have everything in the end", () =>
  withSwallower((url, swallow) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, url, 2, quick);
      const [a, b] = devices.map(({ client }) => client);
      await a!.collection("bugs").insert({ title: "before" });
      await eventually(() => b!.collection("bugs").list().length === 1, "the first arrives");
      swallow();
      await a!.collection("bugs").insert({ title: "meanwhile" });
      await eventually(() => b!.collection("bugs").list().length === 2, "the second arrives");
      for (const { statuses } of devices) {
        assert(statuses.some((status) => status.kind === "offline" && status.code === 1006));
      }
    })
  ));

test("a WebSocket that opens and carries nothing is followed by a stream over HTTP", () =>
  withRelay(async (relay) => {
    const between = await proxy(relay.url, mutesUpgrades);
    try {
      const memory = inMemory();
      const options = { database: "bugs", memory, trust: "first", ...quick } as const;
      const open = () => BlazePair.open({ url: between.url, ...options });
      const [a, b] = [open(), open()];
      const arrivals = b[Symbol.asyncIterator]();
      await a.collection("bugs").insert({ title: "through" });
      assertEquals((await arrivals.next()).value.operation.changes, { title: "through" });
      assertEquals(memory.get(between.url.replace("http", "ws")), "http");
      await Promise.all([a.close(), b.close()]);
    } finally {
      await between.stop();
    }
  }));

/** A WebSocket, and how many messages it has brought. */
function counted() {
  const counter = {
    heard: 0,
    transport: (target: CarrierTarget, events: CarrierEvents) =>
      nativeTransport(target, {
        ...events,
        message(data) {
          counter.heard++;
          events.message(data);
        },
      }),
  };
  return counter;
}

test("a quiet link stays: the relay answers the PINGs of pairs, of groups and of ECG clients", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const counters = Array.from({ length: 6 }, counted);
      const [one, two, three, four, five, six] = counters.map(({ transport }) => (
        // Long enough for every Handshake to be on its way: before that there is nothing to ask with.
        { url, transport, idleMs: 200, answerMs: 60_000 }
      ));
      const alone = BlazePair.open({ ...one!, database: "nobody else comes", trust: "first" });
      const pair = [two!, three!].map((options) =>
        BlazePair.open({ ...options, database: "a", trust: "first" })
      );
      const watcher = EcgClient.open({ ...four!, stream: "bed-3" });
      const faults: unknown[] = [];
      const listen = ({ kind, ...rest }: { kind: string }) => {
        if (kind === "offline" || kind === "fault") faults.push(rest);
      };
      alone.onStatus(listen);
      watcher.onStatus(listen);
      for (const device of pair) device.onStatus(listen);
      const { client } = kit.create({ ...five!, database: "bugs" });
      client.onStatus(listen);
      await client.ready;
      const other = kit.open({ ...six!, invitation: await client.invite() }).client;
      other.onStatus(listen);
      await Promise.all([other.ready, watcher.ready, ...pair.map(({ ready }) => ready)]);
      for (const counter of counters) counter.heard = 0;
      await eventually(() => counters.every(({ heard }) => heard >= 5), "five answers each");
      assertEquals(faults, []);
      for (const device of [alone, ...pair, watcher]) device.close();
    })
  ));
