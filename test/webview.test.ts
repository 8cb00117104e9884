import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { openAdmission } from "../src/admission.ts";
import { Channels } from "../src/channel/channels.ts";
import { BlazePair } from "../src/client/mod.ts";
import { Socket } from "../src/client/socket.ts";
import { webview, type WebviewMessage } from "../src/client/transport/webview_transport.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import type { Accept } from "../src/link/link.ts";
import { LinkRegistry } from "../src/link/registry.ts";
import { HttpLinks } from "../src/link/http/http_links.ts";
import { type StreamWriter, WebviewHost } from "../src/link/webview_host.ts";
import { Metrics } from "../src/metrics/metrics.ts";
import { BlazeSessions } from "../src/session/blaze/blaze_session.ts";
import { EcgSessions } from "../src/session/ecg/ecg_session.ts";
import { echo } from "../src/session/echo.ts";
import { type Bytes, concat, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { encodeFrame } from "../src/wire/websocket/frame_encoder.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { pack, unpack } from "../src/wire/websocket/uint32.ts";
import { acceptAt } from "../routes/accept.ts";
import { createApp } from "../routes/app.ts";
import { FakeHost } from "./kit/fake_host.ts";

const key = Uint8Array.of(1, 2, 3, 4);
const packed = (opcode: Opcode, payload: Uint8Array) =>
  pack(encodeFrame(opcode, payload, { mask: key }));

/** A host with one connection, and what both sides of it heard. */
function connected(maxStreams = 4) {
  const clock = new FakeHost();
  const webviewHost = new WebviewHost(clock, { maxMessage: 100, maxStreams });
  const heard: string[] = [];
  const written: Bytes[] = [];
  const writer: StreamWriter = {
    write: (bytes) => void written.push(bytes),
    finish: () => void heard.push("finish"),
  };
  const accept: Accept = () => ({
    message: (message) => void heard.push(`message ${hex(message)}`),
    text: () => void heard.push("text"),
    drained: () => {},
    closed: (code, reason) => void heard.push(`closed ${code} ${reason}`),
  });
  const connect = (url: string) => webviewHost.connect(url, writer, accept);
  return { clock, webviewHost, heard, written, connect };
}

test("WebviewHost takes the prototype's messages: one frame in words, at an address without a query", () => {
  const { webviewHost, heard, written, connect } = connected();
  const connection = connect("wsock://localhost/connect");
  assertEquals(webviewHost.message(packed(Opcode.binary, utf8Bytes("hi"))), true);
  connection.ping(utf8Bytes("ping-0"));
  assertEquals(heard, ["message 6869"]);
  assertEquals(hex(concat(...written)), "8906" + hex(utf8Bytes("ping-0")));
});

test("WebviewHost closes what it cannot unpack, and harms no other connection", () => {
  const good = packed(Opcode.binary, Uint8Array.of(1));
  const refused: [name: string, message: Record<string, unknown>, closed: string][] = [
    ["a length that lies", { ...good, length: 1 }, "1002 LENGTH_MISMATCH"],
    ["a length that is text", { ...good, length: "7" }, "1002 BAD_LENGTH"],
    ["a length over the limit", { ...good, length: 1e9 }, "1009 TOO_LARGE"],
    ["no words", { length: 1 }, "1002 BAD_SHAPE"],
    ["a word that is none", { length: 4, data: [-1] }, "1002 BAD_WORD"],
    ["bytes after the end", { length: 1, data: [0xffff] }, "1002 BAD_PADDING"],
    ["a frame without a mask", pack(Uint8Array.of(0x82, 0)) as never, "1002 MASK_MISSING"],
  ];
  for (const [name, message, closed] of refused) {
    const { webviewHost, heard, connect } = connected();
    connect("wsock://localhost/connect?stream=1");
    connect("wsock://localhost/connect?stream=2");
    assertEquals(webviewHost.message({ ...message, stream: 1 }), true, name);
    webviewHost.message({ ...packed(Opcode.close, Uint8Array.of(3, 234)), stream: 1 });
    assertEquals(heard.filter((line) => line.startsWith("closed")), [`closed ${closed}`], name);
    assertEquals(webviewHost.message({ ...good, stream: 2 }), true);
    assertEquals(heard.at(-1), "message 01", name);
  }
});

test("WebviewHost leaves alone what belongs to no connection", () => {
  const { webviewHost, heard, connect } = connected();
  connect("wsock://localhost/connect?stream=3");
  for (const message of [null, undefined, 5, "x", {}, { stream: "3" }, { stream: NaN }]) {
    assertEquals(webviewHost.message(message), false);
  }
  assertEquals(heard, []);
});

test("WebviewHost replaces the connection of a page that was loaded again, and limits their number", () => {
  const { webviewHost, heard, connect } = connected(2);
  connect("wsock://localhost/connect?stream=0");
  connect("wsock://localhost/connect?stream=0");
  assertEquals(heard, ["finish", "closed 1006 the page asks anew"]);
  connect("wsock://localhost/connect?stream=1");
  assertEquals(webviewHost.size, 2);
  assertThrows(() => connect("wsock://localhost/connect?stream=2"), RangeError);
  webviewHost.lost();
  assertEquals(webviewHost.size, 0);
});

test("webview() sends each frame in words, with its length and its stream", async () => {
  const sent: WebviewMessage[] = [];
  const asked: string[] = [];
  Object.assign(globalThis, {
    saucer: { internal: { sendBinary: (message: WebviewMessage) => void sent.push(message) } },
  });
  const frame = encodeFrame(Opcode.binary, Uint8Array.of(7));
  let control!: ReadableStreamDefaultController<Uint8Array>;
  const socket = new Socket("ws://localhost/sync/bugs?x=1", [], {
    transport: webview({
      fetch: (url) => {
        asked.push(url);
        return Promise.resolve(
          new Response(new ReadableStream({ start: (made) => void (control = made) })),
        );
      },
    }),
  });
  await new Promise((resolve) => socket.onopen = resolve);
  const message = new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
  control.enqueue(frame);
  assertEquals(new Uint8Array(await (await message).data.arrayBuffer()), Uint8Array.of(7));
  socket.send(Uint8Array.of(1, 2, 3, 4, 5));
  socket.send("x");
  Reflect.deleteProperty(globalThis, "saucer");
  assertEquals(sent.map(({ length }) => length), [11, 7]);
  assert(sent.every(({ data }) => Array.isArray(data)));
  assertEquals(unpack(sent[0], 100)[0], 0x82);
  const address = new URL(asked[0]!);
  assertEquals([address.protocol, address.host, address.pathname], [
    "wsock:",
    "localhost",
    "/connect",
  ]);
  assertEquals(address.searchParams.get("to"), "/sync/bugs?x=1");
  assertEquals(address.searchParams.get("stream"), String(sent[0]!.stream));
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  control.close();
  assertEquals((await closed).code, 1006);
});

test("webview() without a port says what is missing", () => {
  assertThrows(
    () => new Socket("ws://localhost/", [], { transport: webview() }),
    TypeError,
    "saucer.internal.sendBinary",
  );
});

test("a desktop program embeds the relay: two pages sync without any network", async () => {
  const chosen = limits();
  const channels = new Channels();
  const app = createApp({
    runtime: "a webview",
    admission: openAdmission(),
    limits: chosen,
    links: new LinkRegistry(),
    streams: new HttpLinks(chosen, host),
    blaze: new BlazeSessions(channels, chosen, host),
    ecg: new EcgSessions(channels, chosen, host),
    echo: echo(chosen, host),
    metrics: new Metrics(() => host.now(), { channels: () => channels.size, memory: () => 0 }),
    ready: () => true,
  });
  const page = () => {
    const webviewHost = new WebviewHost(host);
    return webview({
      port: (message) => setTimeout(() => webviewHost.message(structuredClone(message))),
      async fetch(url) {
        const to = new URL(new URL(url).searchParams.get("to")!, "http://localhost");
        const accepted = await acceptAt((request, env) => app.fetch(request, env), {
          url: to,
          headers: new Headers(),
          address: "webview",
          protocols: [],
        });
        if (accepted instanceof Response) return accepted;
        let control!: ReadableStreamDefaultController<Uint8Array>;
        const body = new ReadableStream<Uint8Array>({ start: (made) => void (control = made) });
        webviewHost.connect(url, {
          write: (bytes) => control.enqueue(bytes),
          finish: () => control.close(),
        }, accepted.accept);
        return new Response(body);
      },
    });
  };
  const [ann, bob] = [page(), page()].map((transport) =>
    BlazePair.open({ url: "ws://localhost", database: "bugs", trust: "first", transport })
  ) as [BlazePair, BlazePair];
  const incoming = bob[Symbol.asyncIterator]();
  const [a, b] = await Promise.all([ann.ready, bob.ready]);
  assertEquals(a.code, b.code);
  await ann.collection("bugs").insert({ title: "no network" });
  assertEquals((await incoming.next()).value.operation.changes, { title: "no network" });
  ann.close();
  bob.close();
});
