import { spawn } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BlazePair, EcgClient, Version } from "../src/client/mod.ts";
import { recording } from "../tools/demo/demo_recording.ts";
import { bunCommand, denoCommand, here, root, script } from "../tools/runtimes.ts";
import { peerDecode, peerEncode } from "./kit/ecg_peer.ts";
import { LiteralClient, literalOperation } from "./kit/literal.ts";
import { withRelayProcess } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";
import { skipped } from "./kit/skip.ts";

// This file runs on both runtimes, and each time against a relay on each: all four pairs.
const runtimes = [
  { name: "deno", command: denoCommand() },
  { name: "bun", command: bunCommand() },
] as const;

/** Runs something to its end. */
function run(args: readonly string[]): Promise<{ status: number | null; output: string }> {
  const [program, ...rest] = args;
  const child = spawn(program!, rest, { cwd: root, env: { ...process.env, NO_COLOR: "1" } });
  let output = "";
  child.stdout.on("data", (chunk) => output += chunk);
  child.stderr.on("data", (chunk) => output += chunk);
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, output })));
}

for (const { name, command } of runtimes) {
  const skip = command ? false : skipped(`${name} is not here; npm install -g ${name}`);

  test(
    `devices on this runtime sync through a relay on ${name}`,
    { skip },
    () =>
      withRelayProcess(name, async ({ url }) => {
        const [a, b] = [
          BlazePair.open({ url, database: "bugs", trust: "first" }),
          BlazePair.open({ url, database: "bugs", trust: "first" }),
        ];
        const arrivals = b[Symbol.asyncIterator]();
        for (let i = 0; i < 20; i++) {
          await a.collection("bugs").insert({ title: `bug ${i}`, text: "same ".repeat(i) });
          const { operation } = (await arrivals.next()).value;
          assertEquals(operation.changes, { title: `bug ${i}`, text: "same ".repeat(i) });
        }
        assertEquals((await a.ready).code, (await b.ready).code);
        a.close();
        b.close();
      }),
  );

  test(
    `literal clients on this runtime pair through a relay on ${name}`,
    { skip },
    () =>
      withRelayProcess(name, async (relay) => {
        const [a, b] = [new LiteralClient("bugs", "examples"), new LiteralClient("bugs")];
        const links = [
          await TestSocket.connect(relay, "/sync"),
          await TestSocket.connect(relay, "/sync"),
        ];
        links[0]!.send(a.handshake());
        links[1]!.send(b.handshake());
        a.acknowledge(a.read(await links[0]!.next()).payload);
        b.acknowledge(b.read(await links[1]!.next()).payload);
        const plaintext = literalOperation(1, "bugs", 1n);
        links[0]!.send(a.operation(plaintext));
        assertEquals(b.open(b.read(await links[1]!.next()).payload), plaintext);
        for (const link of links) link.close();
      }),
  );

  test(
    `a monitor on this runtime reaches watchers through a relay on ${name}`,
    { skip },
    () =>
      withRelayProcess(name, async (relay) => {
        const { url } = relay;
        const { signal, rate } = recording();
        const independent = await TestSocket.connect(relay, "/ecg/bed-3");
        await independent.next();
        independent.send(peerEncode(2, 0x20, {}));
        await independent.next();
        const watchers = await Promise.all(
          [Version.V1, Version.V2, Version.V3].map((version) =>
            EcgClient.open({ url, stream: "bed-3", version }).watch()
          ),
        );
        const monitor = EcgClient.open({ url, stream: "bed-3" });
        for (let second = 0; second < 3; second++) {
          const samples = [...signal.subarray(second * rate, (second + 1) * rate)];
          await monitor.publish({ signal: samples });
          for (const watcher of watchers) {
            assertEquals((await watcher.next()).value.payload, { signal: samples });
          }
          assertEquals(peerDecode(await independent.next()).payload, { signal: samples });
        }
        independent.close();
        monitor.close();
      }),
  );

  test(
    `SIGTERM sends everybody away with 1012 and ends a relay on ${name} with 0`,
    { skip },
    () =>
      withRelayProcess(name, async (relay) => {
        const sockets = await Promise.all(
          Array.from({ length: 5 }, () => TestSocket.connect(relay, "/ecg")),
        );
        const exit = new Promise<number | null>((resolve) => relay.child.once("exit", resolve));
        // Not child.kill: with Deno as the parent that hides the exit code behind the signal.
        process.kill(relay.child.pid!, "SIGTERM");
        for (const socket of sockets) assertEquals((await socket.closed()).code, 1012);
        assertEquals(await exit, 0);
      }),
  );

  test(`--help and bad flags say what to do, on ${name}`, { skip }, async () => {
    const start = [...script(name)!, "main.ts"];
    const help = await run([...start, "--help"]);
    assertEquals(help.status, 0);
    assertStringIncludes(help.output, "--port");
    const bad = await run([...start, "--port", "none"]);
    assertEquals([bad.status, bad.output.trim()], [
      2,
      '--port "none": want a number from 0 to 65535',
    ]);
  });

  test(
    `beyond loopback a relay on ${name} makes a token and shows it once`,
    { skip },
    () =>
      withRelayProcess(name, async ({ url, output }) => {
        const token = output().match(/token +(\S{36}) /)?.[1];
        assert(token, output());
        const local = url.replace("0.0.0.0", "127.0.0.1");
        assertEquals((await fetch(`${local}/ecg`)).status, 401);
        const headers = { authorization: `Bearer ${token}` };
        assertEquals((await fetch(`${local}/ecg`, { headers })).status, 426);
      }, ["--host", "0.0.0.0"]),
  );
}

test("the demo runs", async () => {
  const { status, output } = await run([...script(here)!, "tools/demo.ts"]);
  assertEquals(status, 0, output);
  for (const text of ["relay keeps", "laptop got", "V1 watcher", "V3 watcher", "every one equal"]) {
    assertStringIncludes(output, text);
  }
});
