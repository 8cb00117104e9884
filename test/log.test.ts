import { test } from "node:test";
import { configure, type LogRecord } from "@logtape/logtape";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BmpServer } from "../src/bmp/bmp_server.ts";
import type { LinkEvents } from "../src/link/link.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { logLine } from "../src/log.ts";
import { Metrics } from "../src/metrics/metrics.ts";
import { utf8Bytes } from "../src/wire/bytes.ts";
import { peerEncode } from "./kit/ecg_peer.ts";
import { Device, PROFILE } from "./kit/blaze.ts";
import { type RelayProcess, withRelayProcess } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

const line = (...message: unknown[]): string =>
  logLine({
    category: ["blaze-relay"],
    level: "debug",
    message,
    rawMessage: "",
    timestamp: 0,
    properties: {},
  });

test("a record of the log is one line of printable characters, whatever is in it", () => {
  const hostile = [
    ..."\n\r\0\x07\b\t\x1b\x7f\x85\x9b\u2028\u2029\u061c\u200e\u200f\u202e\u2066\u2069\u200b\ufeff\u00ad\u2060\ud800",
  ];
  for (const one of hostile) {
    const text = line("", `a${one}b`, " joined ", { name: one }, "");
    assertEquals([...text].filter((character) => hostile.includes(character)), ["\n"]);
    assert(text.endsWith("\n"));
  }
  assertStringIncludes(line("", "a\nb\x1b[2J"), String.raw`a\nb\u{1b}[2J`);
  assertStringIncludes(line("", "grüße 心 🫀"), "grüße 心 🫀");
});

test("a record of the log takes values that are no text", () => {
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  assertStringIncludes(line("", loop, ""), "object");
  assertStringIncludes(line("", 5n, ""), "bigint");
  assertStringIncludes(line("", undefined, ""), "-");
  const fault = line("failed: ", new TypeError("why\nnot"), "");
  assertStringIncludes(fault, String.raw`TypeError: why\nnot`);
  assertEquals(fault.trimEnd().split("\n").length, 1);
});

test("names of databases cannot write into the log", () =>
  withRelayProcess("Bun" in globalThis ? "bun" : "deno", async (relay) => {
    const name = "x\n2026-01-01 00:00:00.000 +00:00 [ERR] blaze-relay: forged\x1b[31m";
    let greeting!: Uint8Array<ArrayBuffer>;
    const events = { text() {}, drained() {}, closed() {} };
    const database = name.replaceAll(":", "");
    new Device(() => ({ ...events, message: (sent) => void (greeting = sent) }))
      .greet(1, PROFILE, { database });
    const socket = await TestSocket.connect(relay, "/sync");
    socket.send(greeting);
    await socket.next();
    socket.close();
    while (!relay.output().includes("joined")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert(!relay.output().includes("\x1b"), relay.output());
    assert(!/^2026-01-01/m.test(relay.output()), relay.output());
  }, ["--log-level", "debug"]));

test("the log has one line for one event, with the address it comes from", () =>
  withRelayProcess("Bun" in globalThis ? "bun" : "deno", async (relay) => {
    const devices = await Promise.all(
      ["/sync", "/ecg"].map((path) => TestSocket.connect(relay, path)),
    );
    for (const device of devices) {
      device.send(new Uint8Array([1, 2, 3]));
      device.close();
    }
    const lines = () => relay.output().split("\n").filter((line) => line.includes("[DBG]"));
    while (lines().filter((line) => line.includes("closed")).length < 2) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const protocol of ["blaze", "ecg"]) {
      const said = (word: string) =>
        lines().filter((line) => line.includes(`${protocol} link`) && line.includes(word));
      assertEquals([said("opened").length, said("closed").length], [1, 1], relay.output());
      assertEquals(said("refused").length, 1, relay.output());
    }
    assertEquals(lines().filter((line) => !line.includes("from 127.0.0.1")), []);
  }, ["--log-level", "debug"]));

/** The lines of a relay's log behind their time, once `until` is among them. */
async function linesOf(relay: RelayProcess, until: string): Promise<string[]> {
  for (let patience = 2_000; !relay.output().includes(until); patience--) {
    if (patience === 0) throw new Error(`no "${until}" in\n${relay.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return relay.output().split("\n").filter((line) => / \[DBG\] /.test(line))
    .map((line) => line.replace(/^.*blaze-relay: /, ""));
}

const here = "Bun" in globalThis ? "bun" : "deno";

test("links of every protocol are in the log, in the order of what happens to them", () =>
  withRelayProcess(here, async (relay) => {
    const echo = await TestSocket.connect(relay, "/echo");
    echo.close(4321, "my password");
    await linesOf(relay, "echo link from 127.0.0.1 closed");
    const watcher = await TestSocket.connect(relay, "/ecg");
    watcher.send(peerEncode(3, 0xfd, { version: 3, capabilities: ["packed-signal"] }));
    watcher.send(peerEncode(3, 0x20, { stream: "bed-3" }));
    watcher.send(peerEncode(3, 0x01, { no: "signal" }));
    watcher.send(peerEncode(3, 0x21, { stream: "bed-3" }));
    await linesOf(relay, "left bed-3");
    watcher.close(1000);
    await linesOf(relay, "ecg link from 127.0.0.1 closed");
    const device = await TestSocket.connect(relay, "/sync");
    device.send(Uint8Array.of(1, 2, 3));
    const lines = await linesOf(relay, "blaze link from 127.0.0.1 closed");
    const from = "from 127.0.0.1";
    assertEquals(lines.slice(0, 8), [
      `echo link opened ${from}`,
      `echo link ${from} closed with 4321`,
      `ecg link opened ${from}`,
      `ecg link ${from} speaks version 3`,
      `ecg link ${from} watches bed-3`,
      `ecg link ${from} refused 0x201: signal`,
      `ecg link ${from} left bed-3`,
      `ecg link ${from} closed with 1000 normal`,
    ]);
    assertEquals(lines[8], `blaze link opened ${from}`);
    assertStringIncludes(lines[9]!, `blaze link ${from} refused 4400: `);
    assertEquals(lines[10], `blaze link ${from} closed with 4400 bad_frame`);
    assert(!relay.output().includes("password"), relay.output());
  }, ["--log-level", "debug"]));

test("every request that is refused leaves a line, without its query and its token", () =>
  withRelayProcess(here, async ({ url, ...relay }) => {
    const authorization = "Bearer not-the-right-token";
    const ask = async (path: string, init: RequestInit, token = "") => {
      const { body } = await fetch(url + path, { ...init, headers: { authorization: token } });
      await body?.cancel();
    };
    const right = "Bearer 0123456789abcdef";
    await ask("/sync/bugs?token=0123456789abcdef", {}, authorization);
    await ask("/metrics", {});
    await ask("/echo", {}, right);
    await ask("/health", { method: "POST" });
    await ask("/nothing/here", {});
    await ask("/stream?to=/sync/bugs", { method: "POST" }, authorization);
    await ask("/health", {});
    await ask(`/${"x".repeat(2_000)}`, {});
    const from = "from 127.0.0.1 refused";
    const lines = await linesOf({ url, ...relay }, "/xxx");
    const [, bring] = lines;
    assertStringIncludes(bring!, `GET /metrics ${from} 401: Bring the token`);
    lines.splice(1, 1);
    assert(lines.at(-1)!.length < 700, lines.at(-1));
    assertEquals(lines.slice(0, -1), [
      `GET /sync/bugs ${from} 401: This token is not valid.`,
      `GET /echo ${from} 426: This address speaks WebSocket: connect with ws:// or wss://.`,
      `POST /health ${from} 405: Ask with GET.`,
      `GET /nothing/here ${from} 404: Nothing at /nothing/here; GET / lists what there is.`,
      `POST /stream ${from} 401: This token is not valid.`,
    ]);
    for (const secret of ["0123456789abcdef", "not-the-right"]) {
      assert(!relay.output().includes(secret), relay.output());
    }
  }, ["--log-level", "debug", "--token", "0123456789abcdef"]));

test("strangers at the BMP port write one line a second at most into the log", async () => {
  const records: LogRecord[] = [];
  await configure({
    sinks: { kept: (record) => void records.push(record) },
    loggers: [
      { category: "blaze-relay", sinks: ["kept"], lowestLevel: "info" },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
    reset: true,
  });
  const options = { connections: 10, connectionsPerAddress: 2, httpStreams: 10, idleSeconds: 30 };
  const bmp = new BmpServer(options, () => new Response(null));
  let ended = 0;
  const dial = () => bmp.connect({ buffered: 0, write() {}, end: () => void ended++ }, "192.0.2.1");
  try {
    // This is no BMP, and each is ended for it.
    for (let i = 0; i < 10; i++) dial()!.receive(utf8Bytes("GET / HTTP/1.1\r\n\r\n"));
    assertEquals([records.length, ended], [0, 10]);
    for (let i = 0; i < 100; i++) dial();
    assertEquals([bmp.connections, ended], [2, 108]);
    assertEquals(records.map(({ level }) => level), ["warning"]);
    assertStringIncludes(logLine(records[0]!), "192.0.2.1 refused: too many connections (1 ref");
  } finally {
    await bmp.stop(0);
    await configure({
      sinks: {},
      loggers: [{ category: ["logtape", "meta"], lowestLevel: "error" }],
      reset: true,
    });
  }
});

test("messages that take long are logged for every protocol", async () => {
  const records: LogRecord[] = [];
  const meta = { category: ["logtape", "meta"], lowestLevel: "error" as const };
  await configure({
    sinks: { kept: (record) => void records.push(record) },
    loggers: [{ category: "blaze-relay", sinks: ["kept"], lowestLevel: "warning" }, meta],
    reset: true,
  });
  try {
    let now = 0;
    const metrics = new Metrics(() => now, { channels: () => 0, memory: () => undefined }, 50);
    const slow: LinkEvents = {
      message: () => void (now += 51),
      text() {},
      drained() {},
      closed() {},
    };
    for (const meter of [metrics.ecg, metrics.blaze]) {
      const peer = new MemoryPeer(meter.metered(() => slow));
      peer.send(new Uint8Array(12));
    }
    assertEquals(records.map(({ properties }) => properties.protocol), ["ecg", "blaze"]);
  } finally {
    await configure({ sinks: {}, loggers: [meta], reset: true });
  }
});
