import http2 from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { startRelay } from "../main.ts";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import { utf8Bytes } from "../src/wire/bytes.ts";
import { withRelay } from "./kit/relay.ts";
import { rawUpgrade } from "./kit/socket.ts";

const HOST = "Host: 127.0.0.1";
const UPGRADE = ["Upgrade: websocket", "Connection: Upgrade"];
const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION = "Sec-WebSocket-Version: 13";
const BODY = '{"to":"/echo"}';

/** Whatever a client may send that is no good request, and what it is told. */
const BAD: Record<string, { lines: string[]; body?: string; status: number[] }> = {
  "a Host with a space": { lines: ["GET /health HTTP/1.1", "Host: a b"], status: [400] },
  "a Host with a path": { lines: ["GET /health HTTP/1.1", "Host: a/limits?"], status: [400] },
  "a Host with a user": { lines: ["GET /health HTTP/1.1", "Host: u:p@a"], status: [400] },
  "a Host with a fragment": { lines: ["GET /health HTTP/1.1", "Host: a#b"], status: [400] },
  "a Host that is cut": { lines: ["GET /health HTTP/1.1", "Host: [::1"], status: [400] },
  "a Host of escapes": { lines: ["GET /health HTTP/1.1", "Host: %%%"], status: [400] },
  "a Host beyond ASCII": { lines: ["GET /health HTTP/1.1", "Host: ä"], status: [400] },
  "a port beyond ports": { lines: ["GET /health HTTP/1.1", "Host: a:99999"], status: [400] },
  "an empty Host": { lines: ["GET /health HTTP/1.1", "Host: "], status: [400] },
  // Deno cannot tell it from HTTP/2, which has none.
  "no Host": { lines: ["GET /health HTTP/1.1"], status: [200, 400] },
  "two Hosts": { lines: ["GET /health HTTP/1.1", "Host: a", "Host: b"], status: [400] },
  "a bad Host before a stream": {
    lines: ["POST /stream HTTP/1.1", "Host: a b", `Content-Length: ${BODY.length}`],
    body: BODY,
    status: [400],
  },
  "a bad Host before an upgrade": {
    lines: ["GET /echo HTTP/1.1", "Host: a b", ...UPGRADE, KEY, VERSION],
    status: [400],
  },
  "a target without a slash": { lines: ["GET health HTTP/1.1", HOST], status: [400] },
  "a target that is a star": { lines: ["GET * HTTP/1.1", HOST], status: [400] },
  "a target with no path": { lines: ["GET ?a=b HTTP/1.1", HOST], status: [400] },
  "a target with an odd authority": { lines: ["GET //[/health HTTP/1.1", HOST], status: [404] },
  "a target with bad escapes": { lines: ["GET /%zz HTTP/1.1", HOST], status: [404] },
  "an authority as the target": {
    lines: ["CONNECT 127.0.0.1:80 HTTP/1.1", HOST],
    status: [400, 404],
  },
  "an upgrade without a key": {
    lines: ["GET /echo HTTP/1.1", HOST, ...UPGRADE, VERSION],
    status: [400],
  },
  "an upgrade with a short key": {
    lines: ["GET /echo HTTP/1.1", HOST, ...UPGRADE, "Sec-WebSocket-Key: abc", VERSION],
    status: [400],
  },
  "an upgrade with a key that is no base64": {
    lines: [
      "GET /echo HTTP/1.1",
      HOST,
      ...UPGRADE,
      `Sec-WebSocket-Key: ${"!".repeat(22)}==`,
      VERSION,
    ],
    status: [400],
  },
  "an upgrade with two keys": {
    lines: ["GET /echo HTTP/1.1", HOST, ...UPGRADE, KEY, KEY, VERSION],
    status: [400],
  },
  "an upgrade without a version": {
    lines: ["GET /echo HTTP/1.1", HOST, ...UPGRADE, KEY],
    status: [426],
  },
  "an upgrade of version 8": {
    lines: ["GET /echo HTTP/1.1", HOST, ...UPGRADE, KEY, "Sec-WebSocket-Version: 8"],
    status: [426],
  },
  "an upgrade without Connection": {
    lines: ["GET /echo HTTP/1.1", HOST, "Upgrade: websocket", KEY, VERSION],
    status: [400],
  },
  "an upgrade with another Connection": {
    lines: ["GET /echo HTTP/1.1", HOST, "Upgrade: websocket", "Connection: close", KEY, VERSION],
    status: [400],
  },
  "an upgrade to something else": {
    lines: ["GET /echo HTTP/1.1", HOST, "Upgrade: h2c", "Connection: Upgrade", KEY, VERSION],
    status: [426],
  },
  "an upgrade by HEAD": {
    lines: ["HEAD /echo HTTP/1.1", HOST, ...UPGRADE, KEY, VERSION],
    status: [405],
  },
  "an upgrade by POST": {
    lines: ["POST /echo HTTP/1.1", HOST, ...UPGRADE, KEY, VERSION, "Content-Length: 0"],
    // Deno answers by itself where a Content-Length comes with it.
    status: [400, 405],
  },
  "an upgrade by OPTIONS": {
    lines: ["OPTIONS /echo HTTP/1.1", HOST, ...UPGRADE, KEY, VERSION],
    status: [405],
  },
  "an upgrade without a Host": {
    lines: ["GET /echo HTTP/1.1", ...UPGRADE, KEY, VERSION],
    status: [400],
  },
  "an upgrade of HTTP/1.0 without a Host": {
    lines: ["GET /echo HTTP/1.0", ...UPGRADE, KEY, VERSION],
    status: [400],
  },
};

/** The first line of the answer to these bytes, and what it says. */
function ask(port: number, text: string): Promise<{ status: number; answer: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(utf8Bytes(text)));
    socket.once("error", reject);
    let answer = "";
    socket.on("data", (chunk: Uint8Array) => {
      answer += new TextDecoder().decode(chunk);
      if (!answer.includes("\r\n\r\n")) return;
      resolve({ status: Number(answer.split(" ")[1]), answer });
      socket.destroy();
    });
    socket.once("close", () => reject(new Error(`closed after ${JSON.stringify(answer)}`)));
  });
}

const written = ({ lines, body = "" }: { lines: string[]; body?: string }): string =>
  `${lines.join("\r\n")}\r\n\r\n${body}`;

test("requests that are none are refused, never with a 500, and leave nothing behind", () =>
  withRelay(async (relay) => {
    for (const [what, request] of Object.entries(BAD)) {
      const { status, answer } = await ask(relay.port, written(request));
      assert(request.status.includes(status), `${what}: ${answer.split("\r\n")[0]}`);
    }
    const port = await ask(relay.port, written(BAD["a port beyond ports"]!));
    assertStringIncludes(port.answer, "The Host header names no host.");
    const { status, answer } = await ask(relay.port, written(BAD["an upgrade of version 8"]!));
    assertEquals(status, 426);
    assert(/^sec-websocket-version: 13\r$/im.test(answer), answer);
    const ready = await (await fetch(`${relay.url}/ready`)).json();
    assertEquals([ready.status, ready.links], ["ready", 0]);
  }));

test("the same holds inside a BMP stream", async () => {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "", bmp: { port: 0 } });
  const bmp = await BmpConnection.open({ url: `${relay.url}/bmp` });
  try {
    const some = ["a Host with a space", "a Host with a path", "a bad Host before an upgrade"];
    for (
      const what of [
        ...some,
        ...Object.keys(BAD).filter((one) => one.startsWith("an upgrade ")),
      ]
    ) {
      const request = BAD[what]!;
      const stream = bmp.openStream();
      const writer = stream.writable.getWriter();
      await writer.write(utf8Bytes(written(request)));
      const { value } = await stream.readable.getReader().read();
      const line = new TextDecoder().decode(value).split("\r\n")[0]!;
      assert(request.status.includes(Number(line.split(" ")[1])), `${what}: ${line}`);
      stream.close();
    }
  } finally {
    bmp.close();
    await relay.stop();
  }
});

test("an upgrade of HTTP/1.0 inside a BMP stream is refused, with a Host and without", async () => {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "", bmp: { port: 0 } });
  const bmp = await BmpConnection.open({ url: `${relay.url}/bmp` });
  try {
    for (const host of [[HOST], []]) {
      const lines = ["GET /echo HTTP/1.0", ...host, ...UPGRADE, KEY, VERSION];
      const stream = bmp.openStream();
      await stream.writable.getWriter().write(utf8Bytes(written({ lines })));
      const { value } = await stream.readable.getReader().read();
      assertEquals(new TextDecoder().decode(value).slice(0, 13), "HTTP/1.1 400 ", String(host));
      stream.close();
    }
  } finally {
    bmp.close();
    await relay.stop();
  }
});

test("HTTP/1.0 needs no Host", () =>
  withRelay(async (relay) => {
    const health = await ask(relay.port, "GET /health?a=b HTTP/1.0\r\n\r\n");
    assertEquals([health.status, health.answer.includes('{"status":"ok"}')], [200, true]);
    const lines = ["POST /stream HTTP/1.0", `Content-Length: ${BODY.length}`];
    assertEquals((await ask(relay.port, written({ lines, body: BODY }))).status, 201);
    assertEquals((await ask(relay.port, "GET /[ HTTP/1.0\r\n\r\n")).status, 404);
  }));

test("other methods than those of an address are told which it has", () =>
  withRelay(async (relay) => {
    const cases = [
      ["POST", "/health", "GET"],
      ["PUT", "/", "GET"],
      ["POST", "/echo", "GET"],
      ["OPTIONS", "/sync/bugs", "GET"],
      ["DELETE", "/ecg/ward/bed-3", "GET"],
      ["POST", "/metrics.json", "GET"],
      ["POST", "/viewer/viewer.js", "GET"],
      ["GET", "/stream", "POST"],
      ["PUT", "/stream/x", "GET, POST"],
      ["HEAD", "/stream/x", "GET, POST"],
    ] as const;
    for (const [method, path, allow] of cases) {
      const answer = await fetch(relay.url + path, { method });
      await answer.text();
      assertEquals([answer.status, answer.headers.get("allow")], [405, allow], method + path);
    }
    for (const method of ["GET", "POST", "OPTIONS", "HEAD"]) {
      const answer = await fetch(`${relay.url}/nothing/health`, { method });
      await answer.text();
      assertEquals([answer.status, answer.headers.get("allow")], [404, null], method);
    }
  }));

test("a HEAD says what a GET does", () =>
  withRelay(async (relay) => {
    for (const path of ["/", "/health", "/limits", "/viewer", "/viewer/viewer.js", "/nothing"]) {
      const get = await fetch(relay.url + path);
      const length = String((await get.arrayBuffer()).byteLength);
      const { answer } = await ask(relay.port, `HEAD ${path} HTTP/1.1\r\n${HOST}\r\n\r\n`);
      const head = new Map(
        answer.split("\r\n").slice(1).map((line) => line.split(": ") as [string, string])
          .map(([name, value]) => [name.toLowerCase(), value]),
      );
      assertEquals(head.get("content-length"), length, path);
      assertEquals(head.get("content-type"), get.headers.get("content-type") ?? undefined, path);
      assertEquals(Number(answer.split(" ")[1]), get.status, path);
    }
  }));

test("good requests pass: hosts of every kind, and subprotocols without a space", () =>
  withRelay(async (relay) => {
    for (const host of ["a", "a_b.example:80", "127.0.0.1", "[::1]:8080", "xn--4ca", "a:"]) {
      const { status } = await ask(relay.port, `GET /health HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assertEquals(status, 200, host);
    }
    for (const offer of ["blaze-relay,bearer.x", " , ,blaze-relay", "bearer.x , blaze-relay"]) {
      const { socket, head } = await rawUpgrade(relay, "/echo", {
        "Sec-WebSocket-Protocol": offer,
      });
      assert(/^HTTP\/1.1 101 /.test(head), `${offer}: ${head}`);
      assert(/^sec-websocket-protocol: blaze-relay\r$/im.test(head), `${offer}: ${head}`);
      socket.destroy();
    }
  }));

test("a connection that breaks is counted as 1006, however it breaks", () =>
  withRelay(async (relay) => {
    const { socket: cut } = await rawUpgrade(relay, "/sync/bugs");
    cut.destroy();
    const { socket: odd } = await rawUpgrade(relay, "/sync/bugs");
    odd.on("error", () => {});
    // A reserved opcode.
    odd.write(Uint8Array.of(0x83, 0x80, 0, 0, 0, 0));
    let closes: Record<string, number> = {};
    while (Object.values(closes).reduce((sum, count) => sum + count, 0) < 2) {
      const { protocols } = await (await fetch(`${relay.url}/metrics.json`)).json();
      closes = protocols.find(({ protocol }: { protocol: string }) => protocol === "blaze").closes;
    }
    assertEquals(Object.keys(closes).filter((code) => Number(code) < 1000), []);
    assert(closes[1006]! >= 1, JSON.stringify(closes));
    odd.destroy();
  }));

test("a relay that speaks HTTP/2 does so without a Host", {
  skip: "Bun" in globalThis && "Bun's server speaks HTTP/1.1 only",
}, () =>
  withRelay(async (relay) => {
    const client = http2.connect(relay.url);
    const request = client.request({ ":path": "/health" });
    const status = await new Promise((resolve, reject) => {
      request.on("response", (headers) => resolve(headers[":status"]));
      request.on("error", reject);
    });
    assertEquals(status, 200);
    client.destroy();
  }));
