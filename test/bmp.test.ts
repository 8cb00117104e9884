import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { connect, type Socket as TcpSocket } from "node:net";
import process from "node:process";
import { test } from "node:test";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Relay, startRelay } from "../main.ts";
import { BlazePair } from "../src/client/pair/pair_client.ts";
import { BmpConnection, type BmpOptions } from "../src/client/bmp/bmp_connection.ts";
import { tcp, type TcpOptions } from "../src/client/bmp/tcp.ts";
import { ConfigError, readConfig } from "../src/config.ts";
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import { Socket } from "../src/client/socket.ts";
import { concat, utf8Bytes, utf8Text } from "../src/wire/bytes.ts";
import { BmpServer } from "../src/bmp/bmp_server.ts";
import { listenBmp } from "../src/bmp/listen.ts";
import type { MuxCarrier } from "../src/link/mux/mux.ts";
import { BmpDecoder } from "../src/wire/bmp/bmp_decoder.ts";
import { encode } from "../src/wire/bmp/bmp_encoder.ts";
import { answers, BODY, withBmp } from "./kit/bmp.ts";
import { bytes, text } from "./kit/mux.ts";
import { skipped } from "./kit/skip.ts";

const local = (port: number) => tcp({ hostname: "127.0.0.1", port });

/** Opens, hands over, and closes whatever happens. */
async function withClient(options: BmpOptions, run: (bmp: BmpConnection) => Promise<void>) {
  const bmp = await BmpConnection.open(options);
  try {
    await run(bmp);
  } finally {
    bmp.close();
    await bmp.closed;
  }
}

async function withRelay(run: (relay: Relay) => Promise<void>, token = ""): Promise<void> {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token, bmp: { port: 0 } });
  try {
    await run(relay);
  } finally {
    await relay.stop();
  }
}

/** A byte-level client: what it got, and when it was cut. */
async function raw(port: number): Promise<
  {
    socket: TcpSocket;
    got: () => string;
    until: (part: string) => Promise<void>;
    times: (part: string, times: number) => Promise<void>;
    cut: Promise<void>;
  }
> {
  const socket = connect(port, "127.0.0.1");
  let got = "";
  let wake = () => {};
  socket.on("data", (chunk: Uint8Array) => {
    got += text(chunk);
    wake();
  });
  socket.on("error", () => {});
  const times = async (part: string, times: number) => {
    while (got.split(part).length <= times) await new Promise<void>((resolve) => wake = resolve);
  };
  const cut = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
  return {
    socket,
    got: () => got,
    until: (part) => times(part, 1),
    times,
    cut,
  };
}

// --- HTTP in streams ---

const ways: [string, (port: number) => BmpOptions][] = [
  ["TCP", (port) => ({ dial: local(port) })],
  ["TCP in jumbo chunks", (port) => ({ dial: local(port), settings: { chunkBytes: 16_384 } })],
  ["TCP in the text form", (port) => ({ dial: local(port), form: "text" })],
  ["TCP in the form between", (port) => ({ dial: local(port), form: "binary3" })],
];

for (const [way, options] of ways) {
  test(`fetch over ${way} does what fetch does`, () =>
    withBmp(({ port }) =>
      withClient(options(port), async (bmp) => {
        const hello = await bmp.fetch("http://any.example/hello?x=1");
        assertEquals([hello.status, hello.ok, hello.url], [
          200,
          true,
          "http://any.example/hello?x=1",
        ]);
        assertEquals(await hello.text(), "hello");
        const big = new Uint8Array(await (await bmp.fetch("/big")).arrayBuffer());
        assertEquals(big, BODY);
        const echoed = await bmp.fetch("/echo", { method: "POST", body: BODY });
        assertEquals(new Uint8Array(await echoed.arrayBuffer()), BODY);
        const body = new Blob([BODY]).stream();
        const streamed = await bmp.fetch(
          "/echo",
          { method: "POST", body, duplex: "half" } as RequestInit,
        );
        assertEquals(new Uint8Array(await streamed.arrayBuffer()), BODY);
        assertEquals((await (await bmp.fetch("/chunked")).text()).split("\n").length, 6);
        const head = await bmp.fetch("/big", { method: "HEAD" });
        assertEquals([head.headers.get("content-length"), await head.text()], ["100000", ""]);
        assertEquals((await bmp.fetch(new Request("http://x/none"))).status, 404);
        const both = await Promise.all(["/big", "/hello"].map(async (path) =>
          (await (await bmp.fetch(path)).arrayBuffer()).byteLength
        ));
        assertEquals(both, [100_000, 5]);
      })
    ));
}

test("a hundred requests at once share one connection, and streams are kept", () =>
  withBmp(({ port, bmp: server }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      await (await bmp.fetch("/hello")).text();
      for (let round = 0; round < 3; round++) {
        const all = await Promise.all(
          Array.from({ length: 100 }, async () => (await bmp.fetch("/hello")).text()),
        );
        assertEquals(new Set(all), new Set(["hello"]));
      }
      assertEquals([server.connections, bmp.streams, server.streams], [1, 100, 100]);
    })
  ));

test("many requests on one stream that is kept leave no listeners behind", () =>
  withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const warnings: string[] = [];
      const hear = (warning: Error) => warnings.push(warning.name);
      process.on("warning", hear);
      for (let n = 0; n < 20; n++) await (await bmp.fetch("/hello")).text();
      await new Promise((resolve) => setImmediate(resolve));
      process.off("warning", hear);
      assertEquals(warnings, []);
    })
  ));

test("towards strangers each request has its own stream", () =>
  withBmp(({ port, bmp: server }) =>
    withClient({ dial: local(port), form: "text" }, async (bmp) => {
      for (let i = 0; i < 5; i++) assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      assertEquals(bmp.streams, 0);
      await (await bmp.fetch("/hello")).text();
      assert(server.streams <= 1, `${server.streams} streams are left`);
    })
  ));

test("a body arrives piece by piece, as it is made", async () => {
  let next = (_piece: string | undefined) => {};
  await withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const response = await bmp.fetch("/");
      const reader = response.body!.getReader();
      for (const piece of ["one", "two", "three"]) {
        next(piece);
        assertEquals(utf8Text((await reader.read()).value!), piece);
      }
      next(undefined);
      assert((await reader.read()).done);
    }), () =>
    new Response(
      new ReadableStream({
        start(controller) {
          next = (piece) => piece ? controller.enqueue(utf8Bytes(piece)) : controller.close();
        },
      }),
    ));
});

test("a body that nobody reads is skipped, and its stream serves on", () =>
  withBmp(({ port, bmp: server }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      for (let i = 0; i < 5; i++) {
        const answer = await bmp.fetch("/none", { method: "POST", body: BODY });
        assertEquals([answer.status, await answer.text()], [404, "nothing here"]);
        assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      }
      assertEquals([bmp.streams, server.streams], [1, 1]);
    })
  ));

test("an upload that nobody reads holds back itself and nobody else", async () => {
  const read = Promise.withResolvers<void>();
  let pulled = 0;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        if (pulled >= 6_000_000) return controller.close();
        pulled += 60_000;
        controller.enqueue(new Uint8Array(60_000));
      },
    }, { highWaterMark: 0 });
  await withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const init = { method: "POST", body: endless(), duplex: "half" } as RequestInit;
      const upload = bmp.fetch("/slow", init);
      for (let i = 0; i < 50; i++) assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      assert(pulled < 1_000_000, `${pulled} bytes left for a reader that does not read`);
      read.resolve();
      assertEquals(await (await upload).text(), "6000000");
    }), async (request, peer) => {
    if (!request.url.endsWith("/slow")) return answers(request, peer);
    await read.promise;
    return new Response(String((await request.arrayBuffer()).byteLength));
  });
});

test("a download that nobody reads holds back itself and nobody else", async () => {
  let made = 0;
  await withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const slow = await bmp.fetch("/slow");
      for (let i = 0; i < 50; i++) assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      assert(made < 1_500_000, `${made} bytes were made for a reader that does not read`);
      assertEquals((await slow.arrayBuffer()).byteLength, 6_000_000);
    }), (request, peer) => {
    if (!request.url.endsWith("/slow")) return answers(request, peer);
    return new Response(
      new ReadableStream({
        pull(controller) {
          made += 60_000;
          controller.enqueue(new Uint8Array(60_000));
          if (made === 6_000_000) controller.close();
        },
      }, { highWaterMark: 0 }),
    );
  });
});

test("an aborted request ends its stream and is aborted at the server", async () => {
  const asked = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  await withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const abort = new AbortController();
      const waiting = bmp.fetch("/wait", { signal: abort.signal });
      await asked.promise;
      abort.abort();
      await assertRejects(() => waiting, DOMException);
      await aborted.promise;
      assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      await assertRejects(() => bmp.fetch("/hello", { signal: abort.signal }), DOMException);
    }), (request, peer) => {
    if (!request.url.endsWith("/wait")) return answers(request, peer);
    request.signal.addEventListener("abort", () => aborted.resolve());
    asked.resolve();
    return new Promise(() => {});
  });
});

test("a body that fails half way fails at the client too", () =>
  withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const response = await bmp.fetch("/");
      await assertRejects(() => response.text());
      assertEquals((await bmp.fetch("/throw")).status, 500);
    }), (request) => {
    if (request.url.endsWith("/throw")) throw new Error("this handler always throws");
    let pulls = 0;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          if (pulls++ > 2) controller.error(new Error("no more"));
          else controller.enqueue(new Uint8Array(10));
        },
      }),
    );
  }));

test("a stream that was kept and is gone is replaced", () =>
  withBmp(
    ({ port, bmp: server }) =>
      withClient({ dial: local(port), settings: { idleMs: 60_000 } }, async (bmp) => {
        for (let i = 0; i < 3; i++) {
          assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
          // The server drops what idles; the next request may meet that.
          while (server.streams > 0) await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }),
    answers,
    { settings: { idleMs: 20 } },
  ));

test("requests in flight fail when the connection ends, and none can be made after", () =>
  withBmp(async ({ port }) => {
    const bmp = await BmpConnection.open({ dial: local(port) });
    const waiting = bmp.fetch("/wait");
    bmp.close();
    await assertRejects(() => waiting, TypeError);
    await assertRejects(() => bmp.fetch("/hello"), TypeError);
    assertEquals(await bmp.closed, undefined);
  }, () => new Promise(() => {})));

test("open fails where nobody listens", async () => {
  await assertRejects(() => BmpConnection.open({ dial: local(1) }));
  await assertRejects(() => BmpConnection.open({ url: "ws://127.0.0.1:1/bmp" }));
  await assertRejects(() => BmpConnection.open({}), TypeError);
});

test("openStream gives two web streams", () =>
  withBmp(({ port }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      const { readable, writable, closed } = bmp.openStream();
      const writer = writable.getWriter();
      await writer.write(bytes("GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
      let got = "";
      for await (const chunk of readable) got += text(chunk);
      assert(got.startsWith("HTTP/1.1 200 OK\r\n") && got.endsWith("\r\n\r\nhello"), got);
      assertEquals(await closed, undefined);
      await assertRejects(() => writer.write(bytes("more")));
    })
  ));

// --- the relay: WebSocket in streams, /bmp, tokens ---

test("a WebSocket runs in a stream, over TCP, over another WebSocket, and over an HTTP stream", () =>
  withRelay(async (relay) => {
    const url = `${relay.url}/bmp`;
    const stream = { url, transport: "http" } as const;
    for (const options of [{ dial: local(relay.bmpPort!) }, { url }, stream]) {
      await withClient(options, async (bmp) => {
        const socket = new Socket("ws://relay/echo", ["blaze-relay"], { transport: bmp.transport });
        socket.binaryType = "arraybuffer";
        const opened = Promise.withResolvers<void>();
        socket.onopen = () => opened.resolve();
        await opened.promise;
        assertEquals(socket.protocol, "blaze-relay");
        for (const size of [0, 1, 125, 126, 65_536, 1_000_000]) {
          const back = new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
          socket.send(new Uint8Array(size).fill(7));
          assertEquals(
            new Uint8Array((await back).data as ArrayBuffer),
            new Uint8Array(size).fill(7),
          );
        }
        const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
        socket.close(1000, "done");
        const { code, wasClean } = await closed;
        assertEquals([code, wasClean], [1000, true]);
        assertEquals((await bmp.fetch("/health")).status, 200);
      });
    }
  }));

test("two hundred databases sync through one TCP connection", () =>
  withRelay((relay) =>
    withClient({ dial: local(relay.bmpPort!) }, async (bmp) => {
      const url = "ws://relay";
      const pairs = Array.from({ length: 100 }, (_, n) =>
        [0, 1].map(() =>
          BlazePair.open({ url, database: `db-${n}`, trust: "first", transport: bmp.transport })
        ));
      try {
        await Promise.all(
          pairs.flat().map((client) =>
            client.ready
          ),
        );
        const ready = await (await bmp.fetch("/ready")).json() as { links: number };
        assertEquals([ready.links, bmp.streams], [200, 201]);
        const heard = pairs.map(([, there]) => there![Symbol.asyncIterator]().next());
        await Promise.all(pairs.map(([here], n) => here!.collection("bugs").insert({ n })));
        const got = await Promise.all(heard);
        assertEquals(
          got.map(({ value }) => Number(value.operation.changes.n)),
          pairs.map((_, n) => n),
        );
      } finally {
        for (const client of pairs.flat()) client.close();
      }
    })
  ));

test("EcgClient runs over a stream of /bmp", () =>
  withRelay((relay) =>
    withClient({ url: `${relay.url}/bmp` }, async (bmp) => {
      const options = { url: "ws://relay", stream: "bed-3", transport: bmp.transport };
      const [watcher, monitor] = [EcgClient.open(options), EcgClient.open(options)];
      try {
        const watched = await watcher.watch();
        await monitor.publish({ signal: new Float64Array([0.5, 1]), sampling_rate: 360 });
        const { value } = await watched[Symbol.asyncIterator]().next();
        assertEquals(value.payload.sampling_rate, 360);
      } finally {
        watcher.close();
        monitor.close();
      }
    })
  ));

test("a token is asked for by /bmp, and by every request in a stream", () =>
  withRelay(async (relay) => {
    await assertRejects(() => BmpConnection.open({ url: `${relay.url}/bmp` }));
    const token = "0123456789abcdef";
    for (
      const options of [{ dial: local(relay.bmpPort!), token }, { url: `${relay.url}/bmp`, token }]
    ) {
      // 426: admitted, and told to upgrade.
      await withClient(
        options,
        async (bmp) => assertEquals((await bmp.fetch("/echo")).status, 426),
      );
    }
    await withClient({ dial: local(relay.bmpPort!) }, async (bmp) => {
      assertEquals((await bmp.fetch("/echo")).status, 401);
      const socket = new Socket("ws://relay/echo", [], { transport: bmp.transport });
      const { code, reason } = await new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
      assertEquals(code, 4401);
      assertStringIncludes(reason, "Bring the token");
    });
  }, "0123456789abcdef"));

test("a client whose connection is gone hears that it is offline, and nothing is thrown", () =>
  withRelay(async (relay) => {
    const bmp = await BmpConnection.open({ dial: local(relay.bmpPort!) });
    const watcher = EcgClient.open({
      url: "ws://relay",
      stream: "bed-3",
      transport: bmp.transport,
      backoff: { first: 1, most: 1 },
    });
    const offline = Promise.withResolvers<void>();
    let times = 0;
    watcher.onStatus(({ kind }) => {
      if (kind === "offline" && ++times === 3) offline.resolve();
    });
    bmp.close();
    await offline.promise;
    watcher.close();
  }));

// --- peers that do not behave ---

test("bytes that are no BMP end their connection and no other", () =>
  withBmp(({ port, bmp: server }) =>
    withClient({ dial: local(port) }, async (bmp) => {
      await (await bmp.fetch("/hello")).text();
      for (
        const bad of [
          "GET / HTTP/1.1\r\n\r\n",
          `\0${"x".repeat(1_000)}`,
          "<::io_0::><::::><::FFFFFFFF::>",
          "<::io_0::><::::><::zz::>",
          "\0\xff\x01\0\x06\x01\x000\x01\x001\x01x",
        ]
      ) {
        const peer = await raw(port);
        peer.socket.write(bytes(bad));
        await peer.cut;
      }
      assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      assertEquals(server.connections, 1);
    })
  ));

test("what is no HTTP in a stream gets 400 and its stream closed, and nothing else ends", () =>
  withBmp(async ({ port }) => {
    const peer = await raw(port);
    peer.socket.write(
      encode("text", { kind: "create", id: "bad", payload: bytes("hello?\r\n\r\n") }),
    );
    await peer.until("<::bad::><::<-io_eof->::>");
    peer.socket.write(encode("text", { kind: "ack", id: "bad" }));
    await peer.until("<::bad::><::<-io_close->::>");
    assertStringIncludes(peer.got(), "HTTP/1.1 400 Bad Request");
    const good = bytes("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
    peer.socket.write(encode("text", { kind: "create", id: "good", payload: good }));
    await peer.until("HTTP/1.1 200 OK");
    peer.socket.destroy();
  }));

test("a request whose frames come byte by byte is answered", () =>
  withBmp(async ({ port }) => {
    const peer = await raw(port);
    const request = bytes("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
    for (
      const byte of encode("binary4", { kind: "create", id: "io_0", sid: "0", payload: request })
    ) {
      peer.socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await peer.until("200 OK");
    peer.socket.destroy();
  }));

test("a request that ends with eof is answered all the same", () =>
  withBmp(async ({ port }) => {
    const peer = await raw(port);
    const request = bytes("GET /chunked HTTP/1.1\r\nhost: x\r\n\r\n");
    peer.socket.write(concat(
      encode("text", { kind: "create", id: "io_0", payload: request }),
      encode("text", { kind: "eof", id: "io_0" }),
    ));
    await peer.until("HTTP/1.1 200 OK");
    // Every frame of the answer wants an ack.
    const acks = setInterval(
      () => peer.socket.write(encode("text", { kind: "ack", id: "io_0" })),
      5,
    );
    await peer.until("piece 4");
    clearInterval(acks);
    peer.socket.destroy();
  }));

test("a peer that never acks is answered once, and its stream ends in time", () =>
  withBmp(
    async ({ port, bmp: server }) => {
      const peer = await raw(port);
      const request = bytes("GET /big HTTP/1.1\r\nhost: x\r\n\r\n");
      peer.socket.write(encode("text", { kind: "create", id: "io_0", payload: request }));
      await peer.until("<::io_0::><::<-io_close->::>");
      const decoder = new BmpDecoder();
      const frames = [...decoder.feed(bytes(peer.got()))].filter(({ last }) => last);
      assertEquals(frames.map(({ head }) => head.kind), ["ack", "data", "close"]);
      assertEquals([server.streams, server.connections], [0, 1]);
      peer.socket.destroy();
    },
    answers,
    { settings: { idleMs: 100 } },
  ));

test("a half-closed connection is over", () =>
  withBmp(async ({ port, bmp: server }) => {
    const peer = await raw(port);
    peer.socket.end(
      encode("text", { kind: "create", id: "a", payload: bytes("GET / HTTP/1.1\r\n") }),
    );
    await peer.cut;
    assertEquals([server.connections, server.streams], [0, 0]);
  }));

test("connections beyond the limit are ended, in all and from one address", () =>
  withBmp(
    ({ port }) =>
      withClient({ dial: local(port) }, async (bmp) => {
        await (await bmp.fetch("/hello")).text();
        await (await raw(port)).cut;
        assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
      }),
    answers,
    { connectionsPerAddress: 1 },
  ));

test("a connection that is reset before anybody looks is nobody's", async () => {
  const addresses: string[] = [];
  class Counting extends BmpServer {
    override connect(carrier: MuxCarrier, address: string) {
      addresses.push(address);
      return super.connect(carrier, address);
    }
  }
  const bmp = new Counting(
    { connections: 100, connectionsPerAddress: 100, httpStreams: 100, idleSeconds: 30 },
    answers,
  );
  const server = await listenBmp({ hostname: "127.0.0.1", port: 0 }, bmp);
  // While this process waits, nobody accepts.
  const code = `const { connect } = await import("node:net");
    for (let n = 0; n < 10; n++) {
      const socket = connect(${server.port}, "127.0.0.1", () => socket.resetAndDestroy());
    }`;
  const run = spawnSync(process.execPath, ["Bun" in globalThis ? "-e" : "eval", code]);
  assertEquals(run.status, 0, String(run.stderr));
  await withClient({ dial: local(server.port) }, async (client) => {
    assertEquals(await (await client.fetch("/hello")).text(), "hello");
  });
  assertEquals(addresses, ["127.0.0.1"]);
  await bmp.stop(0);
  await server.stop(0);
});

test("streams with HTTP in them beyond the limit get a 503", () =>
  withBmp(
    ({ port }) =>
      withClient({ dial: local(port) }, async (bmp) => {
        const waiting = [bmp.fetch("/wait"), bmp.fetch("/wait")];
        for (const one of waiting) one.catch(() => {});
        const refused = await bmp.fetch("/hello");
        assertEquals(refused.status, 503);
        await refused.text();
      }),
    () => new Promise(() => {}),
    { httpStreams: 2 },
  ));

test("a million creates end their connection and no other", () =>
  withBmp(
    ({ port, bmp: server }) =>
      withClient({ dial: local(port) }, async (bmp) => {
        await (await bmp.fetch("/hello")).text();
        const peer = await raw(port);
        const payload = bytes("G");
        for (let n = 0; n < 1_000_000 && !peer.socket.destroyed; n += 1_000) {
          const frames = Array.from(
            { length: 1_000 },
            (_, i) => encode("binary4", { kind: "create", id: `${n + i}`, sid: "0", payload }),
          );
          if (!peer.socket.write(concat(...frames))) {
            await new Promise<void>((resolve) => {
              peer.socket.once("drain", resolve);
              peer.socket.once("close", resolve);
            });
          }
        }
        await peer.cut;
        assertEquals(await (await bmp.fetch("/hello")).text(), "hello");
        assertEquals([server.connections, server.streams], [1, 1]);
      }),
    answers,
    { settings: { streams: 500 } },
  ));

test("requests in a row are answered in order, and too many of them end their stream", () =>
  withBmp(async ({ port, bmp: server }) => {
    const peer = await raw(port);
    const request = "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n";
    const create = (id: string, times: number) =>
      encode("binary4", {
        kind: "create",
        id,
        sid: "bx1?40:2000",
        payload: bytes(request.repeat(times)),
      });
    peer.socket.write(create("few", 3));
    await peer.times("200 OK", 3);
    peer.socket.write(create("many", 30));
    await peer.until("\0many\x01\0\x03\x01");
    peer.socket.write(create("more", 1));
    await peer.until("\0more\x01\0\x01\x000\x01");
    assertEquals(server.streams, 2);
    peer.socket.destroy();
  }));

test("an upgrade in a stream that is not valid is refused", () =>
  withRelay(async (relay) => {
    const peer = await raw(relay.bmpPort!);
    const rows = [
      ["no key", "sec-websocket-version: 13\r\n", "400"],
      ["a bad key", "sec-websocket-version: 13\r\nsec-websocket-key: x\r\n", "400"],
      [
        "another version",
        "sec-websocket-version: 8\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "426",
      ],
    ];
    for (const [name, headers, status] of rows) {
      const payload = bytes(
        `GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n${headers}\r\n`,
      );
      peer.socket.write(encode("text", { kind: "create", id: name!, payload }));
      await peer.until(`<::${name}::><::<-io_eof->::>`);
      peer.socket.write(encode("text", { kind: "ack", id: name! }));
      await peer.until(`<::${name}::><::<-io_close->::>`);
      assertStringIncludes(peer.got().split(`<::${name}::>`)[2]!, `HTTP/1.1 ${status} `);
    }
    peer.socket.destroy();
  }));

// --- the program ---

const openssl = spawnSync("openssl", ["version"]).status === 0;

test("BMP runs over TLS, with the certificate checked", {
  skip: openssl ? false : skipped("no openssl to make a certificate; apt-get install openssl"),
}, async () => {
  const folder = mkdtempSync(`${tmpdir()}/bmp-tls-`);
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  try {
    const made = spawnSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
      ...["-keyout", key, "-out", cert],
    ]);
    assertEquals(made.status, 0, String(made.stderr));
    const bmp = { port: 0, tls: { cert, key } };
    const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "", bmp });
    try {
      const at = { hostname: "localhost", port: relay.bmpPort! };
      const ca = readFileSync(cert, "utf8");
      await withClient({ dial: tcp({ ...at, tls: { ca } }) }, async (client) => {
        assertEquals(await (await client.fetch("/health")).json(), { status: "ok" });
        const limits = await Promise.all(
          Array.from(
            { length: 50 },
            async () => (await (await client.fetch("/limits")).text()).length,
          ),
        );
        assertEquals(new Set(limits).size, 1);
      });
      await assertRejects(() => BmpConnection.open({ dial: tcp({ ...at, tls: true }) }));
      // Somebody who speaks no TLS is cut, and nobody else notices.
      const plain = await raw(relay.bmpPort!);
      plain.socket.write(encode("text", { kind: "create", id: "a", payload: bytes("GET /") }));
      await plain.cut;
    } finally {
      await relay.stop();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("BMP over TLS is dialled by address and by another name, and certificates have to fit", {
  skip: openssl ? false : skipped("no openssl to make a certificate; apt-get install openssl"),
}, async () => {
  const folder = mkdtempSync(`${tmpdir()}/bmp-tls-`);
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  /** A relay whose certificate is for `names` only. */
  const serve = async (names: string, run: (port: number, ca: string) => Promise<void>) => {
    const made = spawnSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "1", "-subj", "/CN=relay.example", "-addext", `subjectAltName=${names}`],
      ...["-keyout", key, "-out", cert],
    ]);
    assertEquals(made.status, 0, String(made.stderr));
    const bmp = { port: 0, tls: { cert, key } };
    const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "", bmp });
    await run(relay.bmpPort!, readFileSync(cert, "utf8")).finally(() => relay.stop());
  };
  const healthy = (options: TcpOptions) =>
    withClient({ dial: tcp(options) }, async (client) => {
      assertEquals(await (await client.fetch("/health")).json(), { status: "ok" });
    });
  const hostname = "127.0.0.1";
  try {
    await serve("IP:127.0.0.1", (port, ca) => healthy({ hostname, port, tls: { ca } }));
    await serve("DNS:relay.example", async (port, ca) => {
      const servername = "relay.example";
      await healthy({ hostname, port, tls: { ca, servername } });
      await healthy({ hostname: "localhost", port, tls: { ca, servername } });
      for (const tls of [{ ca }, { servername }, { ca, servername: "other.example" }]) {
        await assertRejects(() => BmpConnection.open({ dial: tcp({ hostname, port, tls }) }));
      }
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("readConfig takes BMP settings, off unless asked for", () => {
  assertEquals(readConfig([], {}).bmp, undefined);
  assertEquals(readConfig(["--bmp-port", "0"], {}).bmp, { port: 0 });
  const tls = { BMP_PORT: "9443", BMP_TLS_CERT: "a.pem", BMP_TLS_KEY: "b.pem" };
  assertEquals(readConfig([], tls).bmp, { port: 9443, tls: { cert: "a.pem", key: "b.pem" } });
  assertEquals([
    readConfig([], {}).bmpChunkBytes,
    readConfig([], { BMP_CHUNK: "16384" }).bmpChunkBytes,
  ], [undefined, 16_384]);
  for (
    const bad of [{ BMP_PORT: "x" }, { BMP_PORT: "70000" }, { BMP_CHUNK: "4096" }, {
      BMP_PORT: "1",
      BMP_TLS_KEY: "b.pem",
    }]
  ) {
    assertThrows(() => readConfig([], bad as Record<string, string>), ConfigError);
  }
});

test("a relay that goes away says 1012 to WebSockets in streams", async () => {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "", bmp: { port: 0 } });
  const bmp = await BmpConnection.open({ dial: local(relay.bmpPort!) });
  const socket = new Socket("ws://relay/echo", [], { transport: bmp.transport });
  await new Promise((resolve) => socket.onopen = resolve);
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  await relay.stop();
  assertEquals((await closed).code, 1012);
  await bmp.closed;
});
