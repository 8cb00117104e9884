import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { startRelay } from "../main.ts";
import { BmpConnection } from "../src/client/mod.ts";
import { tcp } from "../src/client/bmp/tcp.ts";
import { Socket } from "../src/client/socket.ts";
import { encode } from "../src/wire/bmp/bmp_encoder.ts";
import { utf8Bytes, utf8Text } from "../src/wire/bytes.ts";
import { LiteralStream } from "./kit/http_stream.ts";
import { rawUpgrade, TestSocket } from "./kit/socket.ts";

const start = () => startRelay({ host: "127.0.0.1", port: 0, token: "", bmp: { port: 0 } });

test("a relay that stops says 1012 on every carrier, to many at once", async () => {
  const relay = await start();
  const sockets = await Promise.all(
    Array.from({ length: 50 }, () => TestSocket.connect(relay, "/echo")),
  );
  const stream = await LiteralStream.open(relay.url, "/echo");
  await stream.chunk();
  const url = `${relay.url}/bmp`;
  const dial = tcp({ hostname: "127.0.0.1", port: relay.bmpPort! });
  const vacant = await TestSocket.connect(relay, "/bmp");
  const connections = [];
  for (const options of [{ dial }, { url }, { url, transport: "http" }] as const) {
    connections.push(await BmpConnection.open(options));
  }
  const inside = connections.flatMap(({ transport }) =>
    Array.from({ length: 20 }, () => new Socket("ws://relay/echo", [], { transport }))
  );
  await Promise.all(inside.map((socket) => once(socket, "open")));
  // Two of these carriers are links themselves: none may go before what it carries.
  const closes = inside.map(async (socket) => (await once(socket, "close"))[0].code);
  const stopped = relay.stop();
  assertEquals(await stream.next(), { type: "close", code: 1012, reason: "restarting" });
  assertEquals(await stream.next(), "end");
  for (const socket of sockets) assertEquals((await socket.closed()).code, 1012);
  assertEquals(await Promise.all(closes), inside.map(() => 1012));
  assertEquals(await vacant.closed(), { code: 1012, reason: "restarting" });
  await stopped;
  for (const bmp of connections) await bmp.closed;
});

const UPGRADE = [
  "GET /echo HTTP/1.1",
  "host: relay",
  "connection: upgrade",
  "upgrade: websocket",
  "sec-websocket-version: 13",
  "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
  "",
  "",
].join("\r\n");

test("a relay stops though somebody answers no close and reads nothing of what was asked for", async () => {
  const relay = await start();
  const { socket: silent } = await rawUpgrade(relay, "/echo");
  const carrier = await TestSocket.connect(relay, "/bmp");
  carrier.send(encode("text", { kind: "create", id: "mute", payload: utf8Bytes(UPGRADE) }));
  while (!utf8Text(await carrier.next()).includes("HTTP/1.1 101"));
  const asking = connect(relay.port, "127.0.0.1");
  asking.pause();
  asking.write("GET /viewer/viewer.js HTTP/1.1\r\nHost: relay\r\n\r\n".repeat(1_000));
  const mute = connect(relay.bmpPort!, "127.0.0.1");
  await Promise.all([once(asking, "connect"), once(mute, "connect")]);
  // The server has begun to answer, and can write no more.
  await once(asking, "readable");
  const gone = [silent, asking, mute].map((socket) =>
    new Promise((resolve) => socket.on("error", () => {}).on("close", resolve))
  );
  await relay.stop();
  assertEquals((await carrier.closed()).code, 1012);
  for (const socket of [silent, asking, mute]) socket.resume();
  await Promise.all(gone);
});
