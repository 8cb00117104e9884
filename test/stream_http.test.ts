import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { startRelay } from "../main.ts";
import type { Accept } from "../src/link/link.ts";
import { type Limits } from "../src/limits.ts";
import { type Bytes, concat } from "../src/wire/bytes.ts";
import type { FrameEvent } from "../src/wire/websocket/frame_decoder.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { LiteralStream, masked } from "./kit/http_stream.ts";
import { withRelay } from "./kit/relay.ts";

const token = "a-token-for-tests-only";
const bearer = { authorization: `Bearer ${token}` };

const textOf = (event: FrameEvent | "end"): string => {
  if (event === "end" || event.type === "close") throw new Error(JSON.stringify(event));
  return new TextDecoder().decode(event.data as Bytes);
};

/** A relay whose links can be waited for. */
async function withWatchedRelay(
  limits: Partial<Limits>,
  run: (url: string, closed: Promise<number>) => Promise<void>,
): Promise<void> {
  const ended = Promise.withResolvers<number>();
  const wrap = (accept: Accept): Accept => (link) => {
    const events = accept(link);
    return {
      message: (message) => events.message(message),
      text: () => events.text(),
      drained: () => events.drained(),
      closed(code, reason) {
        events.closed(code, reason);
        ended.resolve(code);
      },
    };
  };
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" }, { limits, wrap });
  try {
    await run(relay.url, ended.promise);
  } finally {
    await relay.stop();
  }
}

// --- opening ------------------------------------------------------------------------------------

test("POST /stream opens, and says what a client has to know", async () => {
  await withRelay(async (relay) => {
    const answer = await fetch(`${relay.url}/stream`, {
      method: "POST",
      body: JSON.stringify({ to: "/echo", protocols: ["blaze-relay"] }),
    });
    assertEquals(answer.status, 201);
    assertEquals(answer.headers.get("cache-control"), "no-store");
    const { id, ...said } = await answer.json();
    assert(/^[0-9a-f]{12}-[0-9a-f]{32}$/.test(id), id);
    assertEquals(said, {
      protocol: "blaze-relay",
      idleSeconds: 30,
      httpGraceMs: 15_000,
      httpPostBytes: 262_144,
      httpPostsAhead: 8,
      httpPostsAtOnce: 16,
      httpMessageBytes: 4_194_304,
      httpFragments: 1_024,
      httpKeptBytes: 20_971_520,
    });
    const byQuery = await fetch(`${relay.url}/stream?to=/echo`, { method: "POST" });
    assertEquals(byQuery.status, 201);
    assertEquals((await byQuery.json()).protocol, "");
  });
});

const SAY = 'Say where to: {"to": "/sync/bugs"}; want ';

test("POST /stream refuses what it cannot open, as an upgrade would be refused", async () => {
  const json = (value: unknown) => JSON.stringify(value);
  const refused: [name: string, body: string, status: number, error: string][] = [
    ["nothing", "", 400, SAY + "JSON with a path of this relay in `to`."],
    ["no JSON", "{", 400, SAY + "JSON with a path of this relay in `to`."],
    ["no target", "{}", 400, SAY + "JSON with a path of this relay in `to`."],
    ["null", "null", 400, SAY + "JSON with a path of this relay in `to`."],
    [
      "a target that is no text",
      json({ to: 5 }),
      400,
      SAY + "JSON with a path of this relay in `to`.",
    ],
    ["a target that is no address", json({ to: "/\t/[" }), 400, SAY + "JSON with a path"],
    ["protocols that are no list", json({ to: "/echo", protocols: 5 }), 400, SAY + "a list of"],
    ["protocols of numbers", json({ to: "/echo", protocols: [5] }), 400, SAY + "a list of"],
    ["another host", json({ to: "//example.com/sync/a" }), 400, "a path of this relay"],
    ["another host, written oddly", json({ to: "/\\example.com/sync/a" }), 400, "a path of this"],
    ["a whole address", json({ to: "http://example.com/" }), 400, "a path of this relay"],
    ["a stream in a stream", json({ to: "/stream/x" }), 400, "a path of this relay"],
    ["a header in a protocol", json({ to: "/echo", protocols: ["a\r\nb: c"] }), 400, "Say where"],
    ["too many protocols", json({ to: "/echo", protocols: Array(17).fill("a") }), 400, "Say where"],
    ["an address with nothing", json({ to: "/nothing" }), 404, "Nothing at /nothing"],
    ["an address without a protocol", json({ to: "/health" }), 400, "/health speaks no WebSocket"],
    ["too much", json({ to: "/" + "a".repeat(9000) }), 413, "at most 8192 bytes"],
  ];
  await withRelay(async (relay) => {
    for (const [name, body, status, error] of refused) {
      const answer = await fetch(`${relay.url}/stream`, { method: "POST", body });
      assertEquals(answer.status, status, name);
      assertStringIncludes((await answer.json()).error, error, name);
    }
    const { links } = await (await fetch(`${relay.url}/ready`)).json();
    assertEquals(links, 0);
  });
});

test("POST /stream counts a stream as a link of its address", async () => {
  await withRelay(async (relay) => {
    await LiteralStream.open(relay.url, "/echo");
    await LiteralStream.open(relay.url, "/echo");
    const error = await LiteralStream.open(relay.url, "/echo").catch((error) => error);
    assertStringIncludes(String(error), "429 Too many links from this address");
    const { links } = await (await fetch(`${relay.url}/ready`)).json();
    assertEquals(links, 2);
  }, { limits: { linksPerAddress: 2 } });
});

test("a stream wants the token with every request", async () => {
  await withRelay(async (relay) => {
    for (const headers of [{}, { authorization: "Bearer another-token-altogether" }]) {
      const answer = await fetch(`${relay.url}/stream?to=/echo`, { method: "POST", headers });
      assertEquals(answer.status, 401);
      await answer.body?.cancel();
    }
    const stream = await LiteralStream.open(relay.url, "/echo", bearer);
    const thief = new LiteralStream(stream.address);
    const answer = await thief.get();
    assertEquals(answer.status, 401);
    await answer.body?.cancel();
    assertEquals((await thief.post(0, masked("stolen"))).status, 401);
    assertEquals((await stream.post(0, masked("mine"))).status, 200);
    assertEquals(textOf(await stream.next()), "mine");
    stream.break();
  }, { token });
});

// --- pages of other sites -----------------------------------------------------------------------

test("a relay with a token answers pages of any site, and preflights without it", async () => {
  await withRelay(async (relay) => {
    const origin = "https://app.example";
    const preflight = await fetch(`${relay.url}/stream/x`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
    assertEquals(preflight.status, 204);
    assertEquals(preflight.headers.get("access-control-allow-origin"), origin);
    for (
      const name of [
        "authorization",
        "stream-number",
        "stream-received",
        "stream-poll",
        "stream-leave",
      ]
    ) {
      assertStringIncludes(preflight.headers.get("access-control-allow-headers")!, name);
    }
    for (const [headers, status] of [[{}, 401], [bearer, 201]] as const) {
      const answer = await fetch(`${relay.url}/stream?to=/echo`, {
        method: "POST",
        headers: { origin, ...headers },
      });
      assertEquals(answer.status, status);
      assertEquals(answer.headers.get("access-control-allow-origin"), origin);
      assertEquals(answer.headers.get("vary"), "Origin");
      await answer.body?.cancel();
    }
    const refused = await fetch(`${relay.url}/stream?to=/nothing`, {
      method: "POST",
      headers: { origin, ...bearer },
    });
    assertEquals(refused.status, 404);
    assertEquals(refused.headers.get("access-control-allow-origin"), origin);
    await refused.body?.cancel();
  }, { token });
});

test("a relay without a token keeps pages of other sites out, preflight and all", async () => {
  await withRelay(async (relay) => {
    for (const method of ["OPTIONS", "POST"]) {
      const answer = await fetch(`${relay.url}/stream?to=/echo`, {
        method,
        headers: { origin: "https://evil.example" },
      });
      assertEquals(answer.status, 403);
      assertEquals(answer.headers.get("access-control-allow-origin"), null);
      await answer.body?.cancel();
    }
    const local = await fetch(`${relay.url}/stream?to=/echo`, {
      method: "POST",
      headers: { origin: "http://localhost:5173" },
    });
    assertEquals(local.status, 201);
    assertEquals(local.headers.get("access-control-allow-origin"), "http://localhost:5173");
    await local.body?.cancel();
  });
});

// --- downstream ---------------------------------------------------------------------------------

test("GET /stream/:id asks proxies to keep nothing and to change nothing", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    const answer = await stream.get();
    assertEquals(answer.status, 200);
    assertEquals(answer.headers.get("x-accel-buffering"), "no");
    assertEquals(answer.headers.get("cache-control"), "no-store, no-transform");
    assertEquals(answer.headers.get("content-type"), "application/octet-stream");
    stream.break();
  });
});

test("a response that breaks in the middle of a frame is resumed at that byte", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    await stream.chunk();
    const messages = ["first", "second ".repeat(50), "third"];
    await stream.post(0, concat(...messages.map((message) => masked(message))));
    await stream.chunk(9);
    stream.break();
    await stream.post(1, masked("sent meanwhile"));
    for (const message of [...messages, "sent meanwhile"]) {
      assertEquals(textOf(await stream.next()), message);
    }
    stream.break();
  });
});

test("a second response replaces the first", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    const first = await stream.get();
    const second = await stream.get();
    // The first may bring what it had in hand; then it ends by itself.
    await first.arrayBuffer();
    const reader = second.body!.getReader();
    assert(!(await reader.read()).done);
    stream.break();
  });
});

test("a short response ends after its first bytes", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    await stream.post(0, masked("hello"));
    const whole = new Uint8Array(await (await stream.get({ "stream-poll": "1" })).arrayBuffer());
    assertEquals(new TextDecoder().decode(whole.subarray(2)), "hello");
    // Bun sends no headers before there are bytes, so the answer is not awaited here.
    const next = stream.get({ "stream-poll": "1" }, whole.length);
    await stream.post(1, masked("again"));
    assertEquals((await (await next).arrayBuffer()).byteLength, 7);
  });
});

/** What a relay answers to each request that a stream knows. */
async function answers(stream: LiteralStream): Promise<number[]> {
  const asked = [
    () => fetch(stream.address, { headers: { "stream-received": `${stream.received}` } }),
    () => fetch(stream.address, { headers: { "stream-received": "0", "stream-poll": "1" } }),
    () => fetch(stream.address, { method: "POST", headers: { "stream-number": "0" }, body: "x" }),
    () => fetch(stream.address, { method: "POST", headers: { "stream-received": "0" } }),
    () => fetch(stream.address, { method: "POST", headers: { "stream-leave": "1" } }),
  ];
  const statuses: number[] = [];
  for (const ask of asked) {
    const answer = await ask();
    statuses.push(answer.status);
    await answer.body?.cancel();
  }
  return statuses;
}

const LOST: [how: string, lose: (stream: LiteralStream) => Promise<number>][] = [
  ["asks for what was never sent", async (stream) => (await stream.get({}, 1_000_000)).status],
  ["asks for what it has acknowledged", async (stream) => (await stream.get({}, 1)).status],
  [
    "acknowledges what was never sent",
    async (stream) =>
      (await stream.post(undefined, new Uint8Array(0), { "stream-received": "1000000" })).status,
  ],
  [
    "acknowledges what was never sent, with a piece",
    async (stream) => (await stream.post(1, masked("x"), { "stream-received": "1000000" })).status,
  ],
];

for (const [how, lose] of LOST) {
  test(`a stream whose client ${how} is lost: 410 to that and to all that follows`, () =>
    withWatchedRelay({}, async (url, closed) => {
      const stream = await LiteralStream.open(url, "/echo");
      await stream.post(0, masked("hello"));
      await stream.next();
      await stream.post(undefined, new Uint8Array(0), { "stream-received": `${stream.received}` });
      stream.break();
      assertEquals(await lose(stream), 410);
      assertEquals(await closed, 1006);
      assertEquals(await answers(stream), [410, 410, 410, 410, 410]);
    }));
}

test("a stream that was silent for too long is lost: its response ends, and 410 follows", () =>
  withWatchedRelay({ idleSeconds: 1 }, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    await stream.chunk();
    assertEquals(await closed, 1006);
    assertEquals(await stream.next(), "end");
    assertEquals(await answers(stream), [410, 410, 410, 410, 410]);
  }));

test("a piece that is still under way when its stream is lost is answered with 410", () =>
  withWatchedRelay({}, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    const rest = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(masked("never ")),
      async pull(controller) {
        begun.resolve();
        await rest.promise;
        controller.close();
      },
    });
    const answer = fetch(stream.address, {
      method: "POST",
      headers: { "stream-number": "0" },
      body,
      ...{ duplex: "half" },
    });
    await begun.promise;
    assertEquals((await stream.get({}, 1)).status, 410);
    assertEquals(await closed, 1006);
    rest.resolve();
    assertEquals((await answer).status, 410);
  }));

test("who has read the close and asks for more gets 410, and may still answer it", () =>
  withWatchedRelay({}, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    await stream.post(0, Uint8Array.of(0x82, 0x01, 0x00));
    assertEquals(await stream.next(), { type: "close", code: 1002, reason: "MASK_MISSING" });
    assertEquals(await stream.next(), "end");
    assertEquals(await closed, 1002);
    assertEquals((await stream.get()).status, 410);
    const answer = masked(Uint8Array.of(0x03, 0xea), Opcode.close);
    assertEquals(await stream.post(1, answer), { status: 200, next: 2 });
  }));

test("a client that does not read is closed as too slow, and everybody else goes on", async () => {
  await withRelay(async (relay) => {
    const [slow, other] = [
      await LiteralStream.open(relay.url, "/echo"),
      await LiteralStream.open(relay.url, "/echo"),
    ];
    const response = await slow.get();
    const piece = masked(new Uint8Array(30_000));
    for (let number = 0; number < 6; number++) await slow.post(number, piece.slice());
    await other.post(0, masked("quick"));
    assertEquals(textOf(await other.next()), "quick");
    // What was sent before it was given up can still be read.
    await response.body!.cancel();
    const events: FrameEvent[] = [];
    for (;;) {
      const event = await slow.next();
      if (event === "end") break;
      events.push(event);
    }
    const last = events.pop();
    assert(last?.type === "close" && last.code === 4431);
    assertEquals(events.length, 3);
    other.break();
  }, { limits: { bufferedBytes: 100_000 } });
});

// --- upstream -----------------------------------------------------------------------------------

test("posts may come twice and out of order; each is taken once", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    const wire = concat(masked("one"), masked("two"), masked("three"));
    const [a, b, c] = [wire.slice(0, 5), wire.slice(5, 17), wire.slice(17)];
    assertEquals(await stream.post(2, c), { status: 200, next: 0 });
    assertEquals(await stream.post(0, a), { status: 200, next: 1 });
    assertEquals(await stream.post(0, a), { status: 200, next: 1 });
    assertEquals(await stream.post(2, c), { status: 200, next: 1 });
    assertEquals(await stream.post(1, b), { status: 200, next: 3 });
    assertEquals(await stream.post(1, b), { status: 200, next: 3 });
    for (const word of ["one", "two", "three"]) assertEquals(textOf(await stream.next()), word);
    stream.break();
  });
});

test("posts are refused beyond the window, beyond their size, and with nonsense for a number", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    assertEquals((await stream.post(2, masked("x"))).status, 200);
    const ahead = await stream.post(3, masked("x"));
    assertEquals([ahead.status, ahead.next], [409, 0]);
    assertEquals((await stream.post(0, new Uint8Array(1001))).status, 413);
    for (const number of ["-1", "1.5", "x", "9".repeat(16)]) {
      const answer = await stream.post(undefined, masked("x"), { "stream-number": number });
      assertEquals(answer.status, 400, number);
    }
    assertEquals((await stream.post(0, masked("ok"))).next, 1);
    assertEquals(textOf(await stream.next()), "ok");
    stream.break();
  }, { limits: { httpPostsAhead: 2, httpPostBytes: 1000 } });
});

test("a post with a body of unknown length is read up to the limit and no further", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 65_536;
        if (sent > 64 << 20) controller.close();
        else controller.enqueue(new Uint8Array(65_536));
      },
    });
    // Some runtimes hear of the answer only as a connection that was closed on them.
    const status = await fetch(stream.address, {
      method: "POST",
      headers: { "stream-number": "0" },
      body: endless,
      ...{ duplex: "half" },
    }).then((answer) => answer.status, () => 413);
    assertEquals(status, 413);
    assert(sent < 64 << 20, `${sent} bytes were read`);
    assertEquals((await stream.post(0, masked("still here"))).status, 200);
  });
});

test("a piece whose connection breaks takes no number, and leaves no trace in the log", async () => {
  const said: unknown[] = [];
  const { error } = console;
  console.error = (...words) => void said.push(words);
  try {
    await withRelay(async (relay) => {
      const stream = await LiteralStream.open(relay.url, "/echo");
      const { pathname } = new URL(stream.address);
      const sockets: Socket[] = [];
      const probe = async () => (await stream.post(1000, masked("x"))).status;
      // One is being read once it takes the only place, which a probe may have taken before it.
      while (await probe() !== 429) {
        const socket = connect(relay.port, "127.0.0.1");
        socket.write(
          `POST ${pathname} HTTP/1.1\r\nhost: x\r\nstream-number: 0\r\ncontent-length: 9\r\n\r\n1`,
        );
        sockets.push(socket);
      }
      for (const socket of sockets) socket.destroy();
      while (await probe() === 429);
      await stream.post(0, masked("whole"));
      assertEquals(textOf(await stream.next()), "whole");
    }, { limits: { httpPostsAtOnce: 1 } });
  } finally {
    console.error = error;
  }
  assertEquals(said, []);
});

test("a violation of RFC 6455 is answered with its close code", async () => {
  await withRelay(async (relay) => {
    const stream = await LiteralStream.open(relay.url, "/echo");
    await stream.post(0, concat(masked("before")));
    assertEquals(textOf(await stream.next()), "before");
    await stream.post(1, Uint8Array.of(0x82, 0x01, 0x00));
    assertEquals(await stream.next(), { type: "close", code: 1002, reason: "MASK_MISSING" });
    assertEquals(await stream.next(), "end");
  });
});

// --- ids ----------------------------------------------------------------------------------------

test("a stream of another instance is answered with 421, one that nobody has with 410", async () => {
  await withRelay(async (here) => {
    await withRelay(async (there) => {
      const stream = await LiteralStream.open(here.url, "/echo");
      const [, id] = stream.address.split("/stream/");
      const elsewhere = new LiteralStream(`${there.url}/stream/${id}`);
      assertEquals((await elsewhere.post(0, masked("x"))).status, 421);
      for (const unknown of ["x", "%00", `${id!.slice(0, 13)}${"0".repeat(32)}`]) {
        const answer = await fetch(`${here.url}/stream/${unknown}`);
        assertEquals(answer.status, 410, unknown);
        await answer.body?.cancel();
      }
    });
  });
});

// --- the end ------------------------------------------------------------------------------------

test("a client that vanishes is noticed, and given up after the grace time", async () => {
  await withWatchedRelay({ httpGraceMs: 1_000 }, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    await stream.chunk();
    stream.break();
    assertEquals(await closed, 1006);
    assertEquals((await stream.post(0, masked("too late"))).status, 410);
  });
});

test("a HEAD does not hold a stream", async () => {
  await withWatchedRelay({ httpGraceMs: 1_000 }, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    assertEquals((await fetch(stream.address, { method: "HEAD" })).status, 405);
    assertEquals(await closed, 1006);
  });
});

test("a client that leaves is gone at once", async () => {
  await withWatchedRelay({}, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    await stream.chunk();
    const answer = await fetch(stream.address, {
      method: "POST",
      headers: { "stream-leave": "1" },
    });
    assertEquals(answer.status, 204);
    assertEquals(await closed, 1001);
    assertEquals(await stream.next(), "end");
    assertEquals((await stream.post(0, masked("too late"))).status, 410);
  });
});

test("a relay that stops says 1012 and ends its responses", async () => {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" });
  const stream = await LiteralStream.open(relay.url, "/echo");
  await stream.chunk();
  const stopped = relay.stop(50);
  assertEquals(await stream.next(), { type: "close", code: 1012, reason: "restarting" });
  assertEquals(await stream.next(), "end");
  await stopped;
});

test("a closing handshake from the client ends everything cleanly", async () => {
  await withWatchedRelay({}, async (url, closed) => {
    const stream = await LiteralStream.open(url, "/echo");
    await stream.post(0, masked(Uint8Array.of(0x0f, 0xa0), Opcode.close));
    assertEquals(await closed, 4000);
    assertEquals(await stream.next(), { type: "close", code: 4000, reason: "" });
    assertEquals(await stream.next(), "end");
  });
});
