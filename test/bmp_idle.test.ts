/**
 * When a stream with HTTP ends: behind its answer, when its request never becomes whole, and with its
 * connection. Time stands still until a test moves it, and bytes need no socket.
 */
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BmpServer, type BmpServerOptions } from "../src/bmp/bmp_server.ts";
import { Shares } from "../src/bmp/shares.ts";
import { host } from "../src/host.ts";
import { MUX } from "../src/link/mux/settings.ts";
import type { Handler } from "../src/runtime/runtime.ts";
import { BmpDecoder } from "../src/wire/bmp/bmp_decoder.ts";
import { encode } from "../src/wire/bmp/bmp_encoder.ts";
import { carriesPayload, type Kind } from "../src/wire/bmp/bmp_frame.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { bytes, text } from "./kit/mux.ts";

/** A quarter of the limit later, it has been looked at. */
const LONG = MUX.idleMs * 1.25;
const GREETING = "bx1?80:2000";

/** A relay's side whose time a test moves, and peers of it, byte by byte. */
class Bench {
  readonly time = new FakeHost();
  readonly server: BmpServer;

  constructor(handler: Handler, options: Partial<BmpServerOptions> = {}) {
    const { time } = this;
    this.server = new BmpServer({
      connections: 10,
      connectionsPerAddress: 10,
      httpStreams: 100,
      idleSeconds: 30,
      clock: {
        now: () => time.now(),
        after: (ms, run) => time.after(ms, run),
        afterTurn: host.afterTurn,
      },
      ...options,
    }, handler);
  }

  connect(acks = true): BytePeer {
    return new BytePeer(this.server, acks);
  }
}

class BytePeer {
  got = "";
  #wake = () => {};
  readonly #mux;
  readonly #decoder = new BmpDecoder({ form: "binary4" });

  constructor(server: BmpServer, private readonly acks: boolean) {
    this.#mux = server.connect({
      buffered: 0,
      write: (chunk) => {
        this.got += text(chunk);
        for (const { head, last } of this.#decoder.feed(chunk)) {
          if (last && carriesPayload(head.kind)) this.#ack(head.id, head.sid);
        }
        this.#wake();
      },
      end: () => {},
    }, "10.0.0.1")!;
  }

  #ack(id: string, sid: string): void {
    if (!this.acks || sid === "") return;
    queueMicrotask(() => this.#mux.receive(encode("binary4", { kind: "ack", id, sid })));
  }

  send(kind: Kind, id: string, payload?: string, sid = "0"): void {
    const frame = payload === undefined ? { kind, id, sid: "" } : {
      kind,
      id,
      sid,
      payload: bytes(payload),
    };
    this.#mux.receive(encode("binary4", frame));
  }

  async until(part: string): Promise<void> {
    while (!this.got.includes(part)) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  close(): void {
    this.#mux.close();
  }
}

const closeOf = (id: string) => `\0${id}\x01\0\x03\x01`;
const turns = async () => {
  for (let n = 0; n < 10; n++) await new Promise<void>((resolve) => setImmediate(resolve));
};

const post = (path: string, ...headers: string[]) =>
  [`POST ${path} HTTP/1.1`, "host: x", ...headers, "", ""].join("\r\n");

/** `/read` reads its body, `/nope` does not. */
const reading: Handler = async (request) => {
  if (request.url.endsWith("/read")) return new Response(await request.text());
  return new Response("no\n", { status: 404 });
};

/** name, the first frame, later ones, a part of the answer before any time has passed */
const unfinished: [string, string, string[], string?][] = [
  ["half a head", "POST /read HTT", []],
  ["a head without the body that it tells of", post("/read", "content-length: 14"), []],
  ["a part of the body", post("/read", "content-length: 14") + "abc", ["def"]],
  ["a cut chunk", `${post("/read", "transfer-encoding: chunked")}5\r\nabc`, []],
  ["a body that nobody wants", post("/nope", "content-length: 14"), [], "404"],
  ["a body that waits for a word", post("/read", "content-length: 14", "expect: 100-continue"), []],
  ["a chunk without a size", `${post("/nope", "transfer-encoding: chunked")}zz\r\n`, [], "400"],
  [
    "a bad chunk behind a good one",
    `${post("/read", "transfer-encoding: chunked")}3\r\nabc\r\n`,
    ["zz\r\n"],
    "400",
  ],
];

for (
  const [who, greeting, acks] of [
    ["a stranger", "0", true],
    ["a stranger who acks nothing", "0", false],
    ["a peer of ours", GREETING, true],
  ] as const
) {
  test(`a request of ${who} that never becomes whole is closed when it idles`, async () => {
    for (const [name, first, later, answer] of unfinished) {
      const bench = new Bench(reading);
      const peer = bench.connect(acks);
      peer.send("create", "a", first, greeting);
      await turns();
      for (const piece of later) {
        peer.send("data", "a", piece, "1");
        await turns();
      }
      if (answer) await peer.until(`HTTP/1.1 ${answer} `);
      for (let passed = 0; passed < LONG; passed += MUX.idleMs / 4) {
        bench.time.pass(MUX.idleMs / 4);
        await turns();
      }
      assertEquals(bench.server.streams, 0, name);
      assertStringIncludes(peer.got, closeOf("a"), name);
      peer.close();
    }
  });
}

test("what is broken in the middle is answered once, and ended as soon as that is acked", async () => {
  for (const path of ["/read", "/nope"]) {
    const peer = new Bench(reading).connect();
    peer.send("create", "a", post(path, "transfer-encoding: chunked"));
    await turns();
    peer.send("data", "a", "zz\r\n", "1");
    await peer.until(closeOf("a"));
    assertEquals(peer.got.split("HTTP/1.1 ").length, 2, path);
    assertStringIncludes(peer.got, path === "/read" ? "HTTP/1.1 400" : "HTTP/1.1 404");
    peer.close();
  }
});

test("what follows what is broken is acked and not parsed again and again", async () => {
  const warnings: string[] = [];
  const hear = (warning: Error) => warnings.push(warning.name);
  process.on("warning", hear);
  const peer = new Bench(reading).connect(false);
  for (const id of ["a", "b"]) {
    peer.send("create", id, post("/read", "transfer-encoding: chunked"));
    for (let n = 1; n <= 20; n++) {
      peer.send("data", id, "zz\r\n", `${n}`);
      // One after the other, and all in a heap.
      if (id === "a") await turns();
    }
  }
  await peer.until("\0b\x01\0\x01");
  await turns();
  process.off("warning", hear);
  assertEquals(warnings, []);
  for (let n = 0; n <= 20; n++) {
    assertStringIncludes(peer.got, `\x05\x01\0\x01\0${`${n}`.length}\x01${n}`);
  }
  peer.close();
});

test("half an answer is cut by what breaks its request, and not continued with another", async () => {
  const peer = new Bench(() =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(bytes("first")),
      }),
    )
  ).connect();
  peer.send("create", "a", post("/", "transfer-encoding: chunked"), GREETING);
  await peer.until("first");
  peer.send("data", "a", "zz\r\n", "1");
  await peer.until(closeOf("a"));
  assert(!peer.got.includes("400"), peer.got);
  peer.close();
});

test("requests in a row of a stranger are answered, and its stream ends behind the last", async () => {
  const first = Promise.withResolvers<void>();
  const peer = new Bench(async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/1") await first.promise;
    return new Response(`answer to ${pathname}`);
  }).connect();
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
  peer.send("create", "a", get("/1") + get("/2") + get("/3"));
  await turns();
  first.resolve();
  await peer.until(closeOf("a"));
  assertEquals(peer.got.match(/answer to ..|HTTP\/1.1 .../g), [
    ..."123".split("").flatMap((n) => ["HTTP/1.1 200", `answer to /${n}`]),
  ]);
  peer.close();
});

test("an expectation that nobody knows is left out", async () => {
  const peer = new Bench(reading).connect();
  peer.send("create", "a", `${post("/read", "expect: a miracle", "content-length: 5")}hello`);
  await peer.until(closeOf("a"));
  assertStringIncludes(peer.got, "HTTP/1.1 200");
  assertStringIncludes(peer.got, "hello");
  peer.close();
});

const upgrading = ["GET / HTTP/1.1", "host: x", "connection: upgrade", "upgrade: websocket", "", ""]
  .join("\r\n");

test("an answer that comes too late is cancelled, also one to an upgrade", async () => {
  for (const request of ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", upgrading]) {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<Response>();
    const peer = new Bench(() => {
      asked.resolve();
      return answer.promise;
    }).connect();
    peer.send("create", "a", request);
    await asked.promise;
    peer.close();
    await turns();
    await new Promise<void>((resolve) =>
      answer.resolve(
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(bytes("first")),
            cancel: () => resolve(),
          }),
        ),
      )
    );
  }
});

test("an upgrade behind a request that is not answered ends the stream", async () => {
  for (const greeting of ["0", GREETING]) {
    const asked: string[] = [];
    const peer = new Bench((request, peer) => {
      asked.push(request.url);
      if (request.headers.has("upgrade")) {
        return peer.upgrade(() => ({ message() {}, text() {}, drained() {}, closed() {} }));
      }
      return new Promise(() => {});
    }).connect();
    peer.send("create", "a", `GET /slow HTTP/1.1\r\nhost: x\r\n\r\n${upgrading}`, greeting);
    await peer.until(closeOf("a"));
    assertEquals(asked, ["http://x/slow"]);
    assert(!peer.got.includes(" 101 "), peer.got);
    peer.close();
  }
});

test("an upgrade that is answered as a request ends with its connection, as others do", async () => {
  const cancelled = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const peer = new Bench((request) => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    return new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(bytes("first")),
        cancel: () => cancelled.resolve(),
      }),
    );
  }).connect();
  peer.send("create", "a", upgrading);
  await peer.until("first");
  peer.close();
  await cancelled.promise;
  await aborted.promise;
});

test("an upgrade that is refused is answered to its end", async () => {
  const peer = new Bench(() => Response.json({ error: "no" }, { status: 403 })).connect();
  peer.send("create", "a", upgrading);
  await peer.until(closeOf("a"));
  assertStringIncludes(peer.got, "HTTP/1.1 403");
  assertStringIncludes(peer.got.toLowerCase(), "connection: close");
  assertStringIncludes(peer.got, '{"error":"no"}');
  peer.close();
});

test("a body that goes on keeps its stream, and so does a reader that is slow", async () => {
  const read = Promise.withResolvers<void>();
  const bench = new Bench(async (request) => {
    if (request.url.endsWith("/slow")) await read.promise;
    return new Response(await request.text());
  });
  const peer = bench.connect();
  peer.send("create", "drip", post("/", "content-length: 5"), GREETING);
  peer.send("create", "slow", `${post("/slow", "content-length: 6")}abc`);
  await turns();
  for (const byte of "1234") {
    peer.send("data", "drip", byte);
    await turns();
    bench.time.pass(MUX.idleMs * 0.8);
    await turns();
  }
  peer.send("data", "drip", "5");
  await peer.until("12345");
  // It is asked for the rest only now, and has as long as anybody for that.
  read.resolve();
  await turns();
  bench.time.pass(MUX.idleMs / 2);
  await turns();
  peer.send("data", "slow", "def");
  await peer.until("abcdef");
  peer.close();
});

test("silent streams of one connection leave room for all others", async () => {
  const bench = new Bench(reading);
  const greedy = Array.from({ length: 9 }, () => bench.connect());
  for (const peer of greedy) {
    for (let n = 0; n < 100; n++) {
      peer.send("create", `s${n}`, post("/read", "content-length: 14"));
      peer.send("data", `s${n}`, "abc", "1");
    }
    await turns();
  }
  const other = bench.connect();
  for (const id of ["a", "b"]) {
    other.send("create", id, `${post("/read", "content-length: 5")}hello`);
    await other.until(closeOf(id));
  }
  assertEquals(other.got.split("hello").length, 3);
  for (const peer of [...greedy, other]) peer.close();
  assertEquals(bench.server.streams, 0);
});

test("Shares keeps a part for each holder, and lends the rest", () => {
  const shares = new Shares(100, 10);
  const fill = (share: { take(): boolean }) => {
    let taken = 0;
    while (share.take()) taken++;
    return taken;
  };
  const all = Array.from({ length: 10 }, () => shares.open());
  const taken = all.map(fill);
  assertEquals(taken.slice(0, 3), [42, 22, 12]);
  assert(taken.every((count) => count >= 2) && taken.reduce((a, b) => a + b) <= 100, `${taken}`);
  // What they give back is there again, and no more than that.
  for (const [i, share] of all.entries()) {
    for (let n = 0; n < taken[i]!; n++) share.free();
  }
  assertEquals(all.map(fill), taken);
});
