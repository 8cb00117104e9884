import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Bytes, concat, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { FrameDecoder } from "../src/wire/websocket/frame_decoder.ts";
import { encodeFrame } from "../src/wire/websocket/frame_encoder.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { Endpoint } from "../src/link/endpoint.ts";
import type { Accept, Link } from "../src/link/link.ts";
import { HttpLink } from "../src/link/http/http_link.ts";
import { Downstream } from "../src/link/http/downstream.ts";
import { ByteRing } from "../src/link/http/byte_ring.ts";
import { HttpLinks } from "../src/link/http/http_links.ts";
import { Upstream } from "../src/link/http/upstream.ts";
import { limits } from "../src/limits.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { fc, holds } from "./kit/random.ts";

const bytes = (...values: number[]): Bytes => Uint8Array.from(values);
const key = bytes(1, 2, 3, 4);
const MAX = 1 << 20;
const roomy = { maxFrame: MAX, maxMessage: MAX, maxFragments: 100 };

// --- the ring -----------------------------------------------------------------------------------

test("ByteRing holds what a plain array would, over growing, wrapping and dropping", () => {
  const step = fc.record({
    append: fc.uint8Array({ maxLength: 3000 }),
    drop: fc.double({ min: 0, max: 1, noNaN: true }),
    read: fc.double({ min: 0, max: 1, noNaN: true }),
    most: fc.nat(5000),
  });
  holds(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const ring = new ByteRing();
      let all: number[] = [];
      let start = 0;
      for (const { append, drop, read, most } of steps) {
        ring.append(append);
        all = all.concat(...append);
        const from = start + Math.floor(read * (all.length - start));
        assertEquals(hex(ring.read(from, most)), hex(bytes(...all.slice(from, from + most))));
        start += Math.floor(drop * (all.length - start));
        ring.drop(start);
        assertEquals([ring.start, ring.end, ring.length], [start, all.length, all.length - start]);
      }
    }),
    60,
  );
});

// --- upstream -----------------------------------------------------------------------------------

test("Upstream takes every piece once and in order, however they come", () => {
  const cases = fc.integer({ min: 1, max: 30 }).chain((count) =>
    fc.record({
      count: fc.constant(count),
      arrivals: fc.array(fc.nat(count - 1), { maxLength: 200 }),
    })
  );
  holds(fc.property(cases, fc.integer({ min: 0, max: 9 }), ({ count, arrivals }, window) => {
    const upstream = new Upstream(window);
    const taken: number[] = [];
    const arrive = (number: number) => {
      if (!upstream.admits(number)) return;
      for (const piece of upstream.take(number, bytes(number))) taken.push(piece[0]!);
    };
    arrivals.forEach(arrive);
    // Whoever sends goes on until each has been answered.
    for (let number = 0; number < count; number++) arrive(number);
    assertEquals(taken, Array.from({ length: count }, (_, i) => i));
    assertEquals(upstream.next, count);
  }));
});

test("Upstream admits repeats and a window ahead, and nothing further", () => {
  const upstream = new Upstream(2);
  assertEquals([0, 1, 2, 3].map((number) => upstream.admits(number)), [true, true, true, false]);
  assertEquals([...upstream.take(3, bytes(3))], []);
  assertEquals([...upstream.take(0, bytes(0))].length, 1);
  assertEquals([...upstream.take(0, bytes(9))], []);
  assertEquals(upstream.admits(3), true);
});

// --- downstream ---------------------------------------------------------------------------------

/** Reads what is there, up to `most` bytes, without waiting for more. */
async function readSome(
  reader: ReadableStreamDefaultReader<Bytes>,
  most: number,
): Promise<{ data: Bytes; done: boolean }> {
  const { value, done } = await reader.read();
  return { data: (value ?? bytes()).slice(0, most), done };
}

test("Downstream goes on in a new response where the client says, and ends the older one", async () => {
  let detached = 0;
  const downstream = new Downstream(() => detached++);
  downstream.append(bytes(1, 2, 3, 4, 5));
  const first = downstream.attach(0, false)!.getReader();
  assertEquals((await readSome(first, 3)).data, bytes(1, 2, 3));
  const second = downstream.attach(3, false)!.getReader();
  assertEquals(await first.read(), { value: undefined, done: true });
  assertEquals((await readSome(second, 9)).data, bytes(4, 5));
  assertEquals(detached, 0);
  assertEquals(downstream.buffered, 2);
});

test("Downstream wakes a response that waits", async () => {
  const downstream = new Downstream(() => {});
  const reader = downstream.attach(0, false)!.getReader();
  const waiting = reader.read();
  downstream.append(bytes(7));
  assertEquals((await waiting).value, bytes(7));
  await reader.cancel();
});

test("Downstream refuses positions that were acknowledged, or never reached", async () => {
  const downstream = new Downstream(() => {});
  downstream.append(bytes(1, 2, 3, 4));
  assertEquals(downstream.attach(1, false), undefined);
  assertEquals(downstream.acknowledge(1), false);
  const reader = downstream.attach(0, false)!.getReader();
  await reader.read();
  assertEquals(downstream.acknowledge(5), false);
  assertEquals(downstream.acknowledge(3), true);
  assertEquals(downstream.acknowledge(2), true);
  assertEquals(downstream.attach(2, false), undefined);
  assertEquals(downstream.attach(5, false), undefined);
  assert(downstream.attach(3, false));
});

test("Downstream ends a short response after its first bytes", async () => {
  let detached = 0;
  const downstream = new Downstream(() => detached++);
  const reader = downstream.attach(0, true)!.getReader();
  const waiting = reader.read();
  downstream.append(bytes(1));
  assertEquals((await waiting).value, bytes(1));
  assertEquals((await reader.read()).done, true);
  assertEquals(detached, 1);
});

test("Downstream hands on what there is before it ends", async () => {
  const downstream = new Downstream(() => {});
  downstream.append(new Uint8Array(100_000));
  downstream.end();
  downstream.append(bytes(1));
  let length = 0;
  for await (const chunk of downstream.attach(0, false)!) length += chunk.length;
  assertEquals(length, 100_000);
  assertEquals(downstream.done, false);
  assertEquals(downstream.attach(100_000, false), undefined);
  assertEquals(downstream.done, true);
});

test("Downstream says when a response is cancelled, or cut", async () => {
  let detached = 0;
  const downstream = new Downstream(() => detached++);
  await downstream.attach(0, false)!.cancel();
  assertEquals(detached, 1);
  const reader = downstream.attach(0, false)!.getReader();
  const waiting = reader.read();
  downstream.cut();
  assertEquals((await waiting).done, true);
  assertEquals(detached, 2);
});

// --- the endpoint -------------------------------------------------------------------------------

/** Two endpoints that hear each other at once, and what each told its owner. */
function pair(idleMs = 1000): {
  host: FakeHost;
  told: string[];
  client: Endpoint;
  server: Endpoint;
  cut: () => void;
} {
  const host = new FakeHost();
  const told: string[] = [];
  let connected = true;
  const options = { limits: roomy, idleMs, closeMs: 500, clock: host };
  const events = (name: string, other: () => Endpoint) => ({
    write: (frame: Bytes) => {
      if (connected) other().receive(frame);
    },
    message: (data: string | Bytes) =>
      void told.push(`${name} ${typeof data === "string" ? `"${data}"` : hex(data)}`),
    pong: (data: Bytes) => void told.push(`${name} pong ${hex(data)}`),
    closed: (code: number, reason: string, clean: boolean) =>
      void told.push(`${name} closed ${code} "${reason}" ${clean ? "clean" : "lost"}`),
  });
  const client: Endpoint = new Endpoint(
    { role: "client", ...options },
    events("client", () => server),
  );
  const server: Endpoint = new Endpoint(
    { role: "server", ...options },
    events("server", () => client),
  );
  return { host, told, client, server, cut: () => connected = false };
}

test("Endpoint carries text, binary and pings both ways", () => {
  const { told, client, server } = pair();
  client.send("grüße");
  server.send(bytes(1, 2));
  client.ping(bytes(9));
  assertEquals(told, ['server "grüße"', "client 0102", "client pong 09"]);
});

for (const first of ["client", "server"] as const) {
  test(`Endpoint closes cleanly when the ${first} begins`, () => {
    const { told, host, ...ends } = pair();
    ends[first].close(4000, "enough");
    const second = first === "client" ? "server" : "client";
    // The answer comes within the call, so who began hears of it first.
    assertEquals(told, [`${first} closed 4000 "" clean`, `${second} closed 4000 "enough" clean`]);
    ends[first].send("late");
    ends[second].close(1000);
    assertEquals([ends[first].state, ends[second].state], ["closed", "closed"]);
    assertEquals(told.length, 2);
    assertEquals(host.waiting, 0, "timers are called off");
  });
}

test("Endpoint keeps a quiet connection alive for ever, and pings only then", () => {
  const { host, told, client, server } = pair();
  host.pass(60_000);
  assertEquals([client.state, server.state], ["open", "open"]);
  assert(told.length > 0 && told.every((line) => / pong $/.test(line)), told.join());
});

test("Endpoint without an idle time lets a peer be quiet for ever", () => {
  const { host, told, server, client } = pair(0);
  host.pass(1e9);
  assertEquals([told, host.waiting, client.state, server.state], [[], 0, "open", "open"]);
});

test("Endpoint gives up on a peer that has gone quiet", () => {
  const { host, told, server, cut } = pair();
  cut();
  host.pass(999);
  assertEquals(server.state, "open");
  host.pass(2);
  assertEquals(told, [
    'client closed 1006 "nothing heard for 1000 ms" lost',
    'server closed 1006 "nothing heard for 1000 ms" lost',
  ]);
});

test("Endpoint does not wait for ever for the answer to a close", () => {
  const { host, told, client, cut } = pair();
  cut();
  client.close(1000);
  host.pass(499);
  assertEquals(told, []);
  host.pass(1);
  assertEquals(told, ['client closed 1006 "no answer to the close" lost']);
});

test("Endpoint answers a violation with its code and hears no more", () => {
  const host = new FakeHost();
  const sent: Bytes[] = [];
  const told: unknown[] = [];
  const server = new Endpoint(
    { role: "server", limits: roomy, idleMs: 1000, closeMs: 500, clock: host },
    {
      write: (frame) => void sent.push(frame),
      message: (data) => void told.push(data),
      closed: (...args) => void told.push(args),
    },
  );
  const good = encodeFrame(Opcode.text, utf8Bytes("ok"), { mask: key });
  server.receive(concat(good, encodeFrame(Opcode.text, utf8Bytes("unmasked")), good));
  server.receive(concat(good));
  assertEquals(told, ["ok", [1002, "MASK_MISSING", false]]);
  const [close] = [...new FrameDecoder("client", roomy).push(concat(...sent))];
  assertEquals(close, { type: "close", code: 1002, reason: "MASK_MISSING" });
});

test("Endpoint cuts a reason to 123 bytes, between characters", () => {
  const { told, client } = pair();
  client.close(4000, "ä".repeat(100));
  assertEquals(told[1], `server closed 4000 "${"ä".repeat(61)}" clean`);
});

// --- the link -----------------------------------------------------------------------------------

interface Heard {
  link: Link;
  messages: string[];
  drained: number;
  texts: number;
  closed: string | undefined;
}

/** A protocol that writes down what it hears. */
function listener(): { heard: Heard; accept: Accept } {
  const heard: Heard = {
    link: undefined as unknown as Link,
    messages: [],
    drained: 0,
    texts: 0,
    closed: undefined,
  };
  const accept: Accept = (link) => {
    heard.link = link;
    return {
      message: (message) => void heard.messages.push(hex(message)),
      text: () => void heard.texts++,
      drained: () => void heard.drained++,
      closed: (code, reason) => void (heard.closed = `${code} ${reason}`),
    };
  };
  return { heard, accept };
}

function stream(changes: Parameters<typeof limits>[0] = {}) {
  const host = new FakeHost();
  const { heard, accept } = listener();
  let gone = 0;
  const link = new HttpLink("10.0.0.1", accept, limits(changes), host, () => gone++);
  return { host, heard, link, gone: () => gone };
}

const masked = (opcode: Opcode, payload: Uint8Array): Bytes =>
  encodeFrame(opcode, payload, { mask: key });

test("HttpLink reads frames across posts, text as text", () => {
  const { heard, link } = stream();
  const wire = concat(
    masked(Opcode.binary, bytes(1, 2, 3)),
    masked(Opcode.text, utf8Bytes("no protocol has any")),
  );
  link.post(1, wire.slice(4));
  assertEquals(heard.messages, []);
  link.post(0, wire.slice(0, 4));
  link.post(0, wire.slice(0, 4));
  assertEquals(heard.messages, ["010203"]);
  assertEquals(heard.texts, 1);
  assertEquals(link.next, 2);
});

test("HttpLink counts as buffered what was not acknowledged, and says when all was", async () => {
  const { heard, link } = stream();
  heard.link.send(bytes(1, 2, 3));
  assertEquals(link.buffered, 5);
  const reader = link.attach(0, false)!.getReader();
  assertEquals((await reader.read()).value!.length, 5);
  assertEquals(link.buffered, 5);
  assert(link.acknowledge(4));
  assertEquals([link.buffered, heard.drained], [1, 0]);
  assert(link.acknowledge(5));
  assertEquals([link.buffered, heard.drained], [0, 1]);
});

test("HttpLink sends something at once into a response that has nothing to say", async () => {
  const { link } = stream();
  const reader = link.attach(0, false)!.getReader();
  assertEquals(hex((await reader.read()).value!), "8900");
});

test("HttpLink waits the grace time for a response, and is lost then", () => {
  const { host, heard, link, gone } = stream({ httpGraceMs: 1000 });
  host.pass(999);
  assertEquals(heard.closed, undefined);
  host.pass(1);
  assertEquals(heard.closed, "1006 nobody has come back for the stream");
  assertEquals(gone(), 1);
  heard.link.send(bytes(1));
  heard.link.close(1000, "");
  assertEquals(link.buffered, 0);
  assertEquals(host.waiting, 0, "timers are called off");
});

test("HttpLink survives a broken response, and starts the grace time anew each time", async () => {
  const { host, heard, link } = stream({ httpGraceMs: 1000, idleSeconds: 3600 });
  for (let i = 0; i < 5; i++) {
    const body = link.attach(0, false)!;
    host.pass(5000);
    await body.cancel();
    host.pass(900);
  }
  assertEquals(heard.closed, undefined);
  host.pass(100);
  assertEquals(heard.closed, "1006 nobody has come back for the stream");
});

test("HttpLink ends its response after its close, and takes the answer", async () => {
  const { host, heard, link, gone } = stream({ httpGraceMs: 1000 });
  heard.link.send(bytes(1));
  const reader = link.attach(0, false)!.getReader();
  heard.link.close(4429, "too_fast");
  const { value } = await reader.read();
  assertEquals(hex(value!.slice(0, 7)), "820101880a114d");
  assertEquals((await reader.read()).done, true);
  assertEquals(heard.closed, "4429 too_fast");
  link.post(0, masked(Opcode.close, bytes(0x11, 0x4d)));
  assertEquals(heard.closed, "4429 too_fast");
  host.pass(1000);
  assertEquals(gone(), 1);
});

test("HttpLink answers a close and can be read to its end for the grace time", async () => {
  const { host, heard, link, gone } = stream({ httpGraceMs: 1000 });
  heard.link.send(bytes(7));
  link.post(0, masked(Opcode.close, bytes(0x03, 0xe8, 0x68, 0x69)));
  assertEquals(heard.closed, "1000 hi");
  host.pass(900);
  const reader = link.attach(0, false)!.getReader();
  assertEquals(hex((await reader.read()).value!), "820107880203e8");
  assertEquals((await reader.read()).done, true);
  host.pass(100);
  assertEquals(gone(), 1);
});

test("HttpLink gives up when too much is not acknowledged, after the session has acted", () => {
  const { host, heard, link } = stream({ httpKeptBytes: 100 });
  heard.link.send(new Uint8Array(90));
  heard.link.send(new Uint8Array(90));
  assertEquals([link.buffered, heard.closed], [92, undefined]);
  host.pass(0);
  assertEquals([heard.closed, link.lost], ["1006 too many bytes not acknowledged", true]);
});

test("HttpLink is lost when its client claims what cannot be", () => {
  for (
    const claim of [
      (link: HttpLink) => link.acknowledge(1),
      (link: HttpLink) => link.attach(1, false) !== undefined,
    ]
  ) {
    const { heard, link, gone, host } = stream();
    assertEquals(claim(link), false);
    assert(heard.closed?.startsWith("1006 "), heard.closed);
    assertEquals([link.lost, gone(), host.waiting], [true, 1, 0]);
  }
});

test("StreamLink that has said close can be read for the grace time, unless its client lies", async () => {
  const { host, heard, link, gone } = stream({ httpGraceMs: 10_000 });
  heard.link.close(4429, "too_fast");
  host.pass(5_000); // as long as an answer to the close may take
  const reader = link.attach(0, false)!.getReader();
  assertEquals(hex((await reader.read()).value!), "880a114d" + hex(utf8Bytes("too_fast")));
  assertEquals([link.lost, gone()], [false, 0]);
  assertEquals(link.acknowledge(13), false);
  assertEquals([link.lost, gone(), heard.closed], [true, 1, "4429 too_fast"]);
});

test("StreamLink closes with 1009 what is larger than its limit, before it has arrived", () => {
  const { heard, link } = stream({ httpMessageBytes: 10 });
  link.post(0, masked(Opcode.binary, new Uint8Array(11)).slice(0, 6));
  assertEquals(heard.closed, "1009 FRAME_TOO_LARGE");
});

test("HttpLink pings a client that is quiet, and gives it up without an answer", async () => {
  const { host, heard, link } = stream({ idleSeconds: 10, httpGraceMs: 100_000 });
  heard.link.send(bytes(1));
  const reader = link.attach(0, false)!.getReader();
  await reader.read();
  host.pass(10_000);
  assertEquals(hex((await reader.read()).value!), "8900");
  link.post(0, masked(Opcode.pong, bytes()));
  host.pass(15_000);
  assertEquals(heard.closed, undefined);
  host.pass(5_000);
  assert(heard.closed?.startsWith("1006 nothing heard"), heard.closed);
});

// --- everything that can go wrong on the way ----------------------------------------------------

test("HttpLink loses and repeats nothing over responses that break and posts that go astray", async () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 30 });
  const chances = fc.infiniteStream(fc.nat(999));
  const property = fc.asyncProperty(messages, messages, chances, async (up, down, chance) => {
    const { heard, link } = stream({ httpPostsAhead: 3 });
    const below = (limit: number): number => chance.next().value! % limit;
    const received: string[] = [];
    const wire: Bytes[] = [];
    const client = new Endpoint(
      { role: "client", limits: roomy, idleMs: 1e9, closeMs: 1e9, clock: new FakeHost() },
      {
        write: (frame) => void wire.push(frame),
        message: (data) => void received.push(typeof data === "string" ? data : hex(data)),
        closed: () => {},
      },
    );

    // Upstream: one stream of bytes, cut anywhere, its pieces sent in any order, some again.
    for (const message of up) client.send(message);
    const all = concat(...wire);
    const pieces: Bytes[] = [];
    for (let at = 0; at < all.length;) {
      const length = 1 + below(300);
      pieces.push(all.slice(at, at += length));
    }
    for (let tries = 0; link.next < pieces.length && tries < 10_000; tries++) {
      const number = Math.max(0, link.next - 2 + below(6));
      if (number < pieces.length && link.admits(number)) link.post(number, pieces[number]!.slice());
    }

    // Downstream: responses that break anywhere, of which the client knows some bytes less.
    let position = 0;
    for (const message of down) heard.link.send(message);
    const end = down.reduce((sum, { length }) => sum + length + (length < 126 ? 2 : 4), 0);
    for (let tries = 0; position < end && tries < 1000; tries++) {
      const reader = link.attach(position, below(2) === 0)!.getReader();
      const { value } = await reader.read();
      const kept = value!.slice(0, 1 + below(value!.length));
      client.receive(kept);
      position += kept.length;
      if (below(2) === 0) link.acknowledge(position);
      await reader.cancel();
    }
    assertEquals(heard.messages, up.map((message) => hex(message)));
    assertEquals(received, down.map((message) => hex(message)));
    link.cut();
  });
  await holds(property, 100);
});

// --- ids ----------------------------------------------------------------------------------------

test("HttpLinks finds a stream for its owner only, and knows the ids of other instances", () => {
  const host = new FakeHost();
  const streams = new HttpLinks(limits(), host);
  const other = new HttpLinks(limits(), host);
  const { accept } = listener();
  const id = streams.open("home/ann", "10.0.0.1", accept);
  assert(/^[0-9a-f]{12}-[0-9a-f]{32}$/.test(id), id);
  assert(streams.find(id, "home/ann") instanceof HttpLink);
  assertEquals(streams.find(id, "home/bob"), undefined);
  assertEquals(streams.find(`${streams.instance}-${"0".repeat(32)}`, "home/ann"), undefined);
  assertEquals(other.find(id, "home/ann"), "elsewhere");
  for (const nonsense of ["", "x", `${other.instance}-`, "__proto__", `${id}0`]) {
    assertEquals(streams.find(nonsense, "home/ann"), undefined);
  }
  streams.cutAll();
  assertEquals([streams.size, host.waiting], [0, 0]);
});

test("HttpLinks forgets a stream that is over once its grace time has passed", () => {
  const host = new FakeHost();
  const streams = new HttpLinks(limits({ httpGraceMs: 1000 }), host);
  const { accept } = listener();
  streams.open("home/ann", "10.0.0.1", accept);
  host.pass(1000);
  assertEquals(streams.size, 0);
});
