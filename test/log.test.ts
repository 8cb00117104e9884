import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { logLine } from "../src/log.ts";
import { Device, PROFILE } from "./kit/blaze.ts";
import { withRelayProcess } from "./kit/relay.ts";
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
    ..."\n\r\0\x07\b\t\x1b\x7f\x85\x9b\u2028\u2029\u061c\u200e\u200f\u202e\u2066\u2069\ud800",
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
