import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BlazePair } from "../src/client/mod.ts";
import { Socket } from "../src/client/socket.ts";
import { webview, type WebviewMessage } from "../src/client/transport/webview_transport.ts";
import type { Accept, Link } from "../src/link/link.ts";
import { WebviewHost } from "../src/link/webview_host.ts";
import { hex, utf8Bytes } from "../src/wire/bytes.ts";
import { encodeFrame } from "../src/wire/websocket/frame_encoder.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { pack, unpack } from "../src/wire/websocket/uint32.ts";
import { embedRelay } from "../routes/embedded.ts";
import { FakeHost } from "./kit/fake_host.ts";

const key = Uint8Array.of(1, 2, 3, 4);
const packed = (opcode: Opcode, payload: Uint8Array) =>
  pack(encodeFrame(opcode, payload, { mask: key }));

/** A host with one connection, and what both sides of it heard. */
function connected(maxStreams = 4) {
  const clock = new FakeHost();
  const webviewHost = new WebviewHost(clock, { maxMessage: 100, maxStreams, maxUnread: 1000 });
  const heard: string[] = [];
  const accept: Accept = () => ({
    message: (message) => void heard.push(`message ${hex(message)}`),
    text: () => void heard.push("text"),
    drained: () => {},
    closed: (code, reason) => void heard.push(`closed ${code} ${reason}`),
  });
  const connect = (url: string) => webviewHost.connect(url, accept);
  return { clock, webviewHost, heard, connect };
}

test("WebviewHost takes the prototype's messages: one frame in words, at an address without a query", async () => {
  const { webviewHost, heard, connect } = connected();
  const { body, ping, close } = connect("wsock://localhost/connect");
  assertEquals(webviewHost.message(packed(Opcode.binary, utf8Bytes("hi"))), true);
  ping(utf8Bytes("ping-0"));
  assertEquals(heard, ["message 6869"]);
  close(1000);
  webviewHost.message(packed(Opcode.close, Uint8Array.of(3, 232)));
  const written = hex(new Uint8Array(await new Response(body).arrayBuffer()));
  assertEquals(written, "8900" + "8906" + hex(utf8Bytes("ping-0")) + "880203e8");
});

test("WebviewHost says something at once, so that every webview hands the response on", async () => {
  const { connect, heard, webviewHost } = connected();
  const pongs: string[] = [];
  const accept: Accept = () => ({
    message: (message) => void heard.push(`message ${hex(message)}`),
    text: () => {},
    drained: () => void heard.push("drained"),
    closed: (code, reason) => void heard.push(`closed ${code} ${reason}`),
  });
  const { body } = webviewHost.connect(
    "wsock://localhost/connect",
    accept,
    (data) => void pongs.push(hex(data)),
  );
  const reader = body.getReader();
  assertEquals(hex((await reader.read()).value!), "8900");
  webviewHost.message(packed(Opcode.pong, new Uint8Array(0)));
  webviewHost.message(packed(Opcode.pong, Uint8Array.of(7)));
  assertEquals(pongs, ["07"]);
  const next = reader.read();
  await Promise.resolve();
  webviewHost.message(packed(Opcode.ping, Uint8Array.of(1)));
  assertEquals(hex((await next).value!), "8a0101");
  await reader.cancel();
  assertEquals(heard.filter((line) => line !== "drained"), ["closed 1006 the page reads no more"]);
  assertEquals(webviewHost.size, 0);
  assertEquals(connect("wsock://localhost/connect").body.locked, false);
});

test("WebviewHost knows what the page has not read, and says when it has", async () => {
  const { webviewHost } = connected();
  let link!: Link;
  let drained = 0;
  const { body } = webviewHost.connect("wsock://localhost/connect", (made) => {
    link = made;
    return { message: () => {}, text: () => {}, drained: () => drained++, closed: () => {} };
  });
  link.send(new Uint8Array(50));
  assertEquals(link.buffered, 2 + 52);
  const reader = body.getReader();
  await reader.read();
  assertEquals(link.buffered, 52);
  await reader.read();
  assertEquals([link.buffered, drained], [0, 0]);
  const waiting = reader.read();
  await Promise.resolve();
  assertEquals(drained, 1);
  await reader.cancel();
  assertEquals((await waiting).done, true);
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
  connect("wsock://localhost/connect?stream=0");
  connect("wsock://localhost/connect?stream=3");
  const good = packed(Opcode.binary, Uint8Array.of(1));
  const strange = [null, undefined, 5, "x", {}, { stream: 3 }, { type: "resize", width: 5 }];
  for (const message of [...strange, { ...good, stream: "3" }, { ...good, stream: NaN }]) {
    assertEquals(webviewHost.message(message), false);
  }
  assertEquals(heard, []);
});

test("WebviewHost gives up a page that reads nothing and asks for ever more", () => {
  const { webviewHost, heard, clock, connect } = connected();
  const { body } = connect("wsock://localhost/connect");
  const ping = packed(Opcode.ping, new Uint8Array(98));
  // As many answers as fit beside the first ping, then one more.
  for (let at = 0; at < 9; at++) webviewHost.message(ping);
  clock.pass(0);
  assertEquals(heard, []);
  webviewHost.message(ping);
  webviewHost.message(ping);
  clock.pass(0);
  assertEquals(heard, ["closed 1006 the page reads nothing"]);
  assertEquals([webviewHost.size, body.locked], [0, false]);
});

test("WebviewHost replaces the connection of a page that was loaded again, and limits their number", () => {
  const { webviewHost, heard, connect } = connected(2);
  connect("wsock://localhost/connect?stream=0");
  connect("wsock://localhost/connect?stream=0");
  assertEquals(heard, ["closed 1006 the page asks anew"]);
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

test("an embedded relay answers the page it was told of, and refuses as any relay does", async () => {
  const page = embedRelay({ limits: { linksPerAddress: 1 } }).page({ origin: "app://bugs" });
  const wanted: [url: string, status: number][] = [
    ["wsock://localhost/connect", 200],
    ["wsock://localhost/connect?to=/echo&stream=1", 429],
    ["wsock://localhost/connect?to=/nothing&stream=1", 404],
    ["wsock://localhost/connect?to=/health&stream=1", 400],
    ["wsock://localhost/connect?to=http://example.com/echo&stream=1", 400],
    ["wsock://localhost/connect?to=//&stream=1", 400],
  ];
  for (const [url, status] of wanted) {
    const answer = await page.fetch(url);
    assertEquals(answer.status, status, url);
    assertEquals(answer.headers.get("access-control-allow-origin"), "app://bugs", url);
    assertEquals(answer.headers.get("cache-control"), "no-store", url);
    if (status !== 200) await answer.body?.cancel();
  }
  page.lost();
});

test("a desktop program embeds the relay: two pages sync without any network", async () => {
  const relay = embedRelay();
  const page = () => {
    const page = relay.page({ origin: "app://bugs" });
    return webview({
      port: (message) => setTimeout(() => page.message(structuredClone(message))),
      fetch: (url) => page.fetch(url),
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
