import { spawn, spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import { hex } from "../src/wire/bytes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { openRecording } from "../tools/formats/open.ts";
import { startWiretap } from "../tools/inspect/wiretap.ts";
import { here, root, script } from "../tools/runtimes.ts";
import { withRelay, withRelayProcess } from "./kit/relay.ts";

const MITDB = "data/ecg/mitdb100_60s.json";
const TOOLS = [
  ...[
    "play",
    "record",
    "inspect",
    "monitor",
    "sizes",
    "errors",
    "web",
    "stream-test",
    "bmp-gateway",
    "mailbox",
  ],
  ...["demo", "ok", "test"],
];

/** Runs a tool on the runtime of this test. */
function run(tool: string, ...args: string[]) {
  const [program, ...first] = script(here)!;
  const { status, stdout, stderr } = spawnSync(
    program!,
    [...first, `tools/${tool}.ts`, ...args],
    { cwd: root, encoding: "utf8", timeout: 30_000 },
  );
  return { status, stdout, stderr };
}

test("every tool has a task in both files, explains itself, and refuses what it does not know", () => {
  const tasks = JSON.parse(readFileSync(`${root}deno.json`, "utf8")).tasks;
  const { scripts } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  for (const tool of TOOLS) {
    assertStringIncludes(tasks[tool], `tools/${tool}.ts`);
    assertStringIncludes(scripts[tool], `tools/${tool}.ts`);
    const help = run(tool, "--help");
    assertEquals([help.status, help.stderr], [0, ""], tool);
    assertStringIncludes(help.stdout, `deno task ${tool}`);
    const wrong = run(tool, "--nonsense");
    assertEquals(wrong.status, 2, tool);
    assertStringIncludes(wrong.stderr, "--help");
  }
});

test("the benchmarks explain themselves, and can be loaded", () => {
  const { status, stdout, stderr } = run("../bench/main", "--help");
  assertEquals([status, stderr], [0, ""]);
  assertStringIncludes(stdout, "bun run bench");
});

test("inspect names bytes given in hexadecimal; errors answers 1 for a capture with faults", () => {
  const bytes = encode({ version: 2, type: 1, payload: { signal: [1] } });
  const shown = run("inspect", hex(bytes));
  assertEquals(shown.status, 0);
  assertStringIncludes(shown.stdout, "0x01 ECG_DATA");
  assertEquals(run("inspect", "what is this").status, 2);
  const folder = mkdtempSync(join(tmpdir(), "blaze-relay-"));
  try {
    assertEquals(run("errors", join(folder, "missing.txt")).status, 2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("tools say in one line what they cannot open, before they begin", () => {
  const folder = mkdtempSync(join(tmpdir(), "blaze-relay-"));
  const there = join(folder, "there.edf");
  writeFileSync(there, "mine");
  mkdirSync(join(folder, "folder.edf"));
  try {
    for (
      const [words, tool, ...args] of [
        [/cannot be written: ENOENT/, "record", join(folder, "no/x.edf")],
        [/there already/, "record", there],
        [/^--url foo: want an address/, "record", join(folder, "x.edf"), "--url", "foo"],
        [/^--url 127\.0\.0\.1:1: want an address/, "monitor", "--url", "127.0.0.1:1"],
        [/is a folder/, "play", join(folder, "folder.edf")],
        [/^--token: want letters/, "monitor", "--token", "one two"],
        [/^--token: want letters/, "inspect", "--url", "ws://x", "--token", "one two"],
        [/^--from 100: .* ends at 60 seconds/, "play", MITDB, "--from", "100"],
        [/^--bpm: goes with a heart/, "play", MITDB, "--bpm", "80"],
        [/^--loop: goes with a file/, "play", "--loop"],
        [/cannot be read: EISDIR/, "inspect", folder],
        [/^--save: goes with --url/, "inspect", "01", "--save", join(folder, "y")],
        [/cannot be written: ENOENT/, "inspect", "--url", "ws://x", "--save", `${folder}/no/x`],
        [/cannot be written: ENOENT/, "errors", "--url", "ws://x", "--log", `${folder}/no/x`],
      ] as const
    ) {
      const { status, stdout, stderr } = run(tool, ...args);
      assertEquals([status, stdout], [2, ""], `${tool} ${args}: ${stderr}`);
      assertMatch(stderr, words);
      assertEquals(stderr.trim().split("\n").length, 1, stderr);
    }
    assertEquals(readdirSync(folder).sort(), ["folder.edf", "there.edf"]);
    assertEquals(readFileSync(there, "utf8"), "mine");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("sizes prints a table for a recording, and says what is wrong with one", () => {
  const { status, stdout } = run("sizes", "--lead", "MLII", "--seconds", "1", "--json");
  assertEquals(status, 0);
  const { tables } = JSON.parse(stdout);
  assert(tables[0].rows.length >= 8);
  assertEquals(run("sizes", "--lead", "XYZ").status, 2);
  assertStringIncludes(run("sizes", "/nowhere.edf").stderr, "MISSING_FILE");
});

test("play and record as programs: a file goes through a relay into EDF+ and WFDB", () =>
  withRelayProcess(here, async ({ url }) => {
    const folder = mkdtempSync(join(tmpdir(), "blaze-relay-"));
    try {
      const [program, ...first] = script(here)!;
      const player = spawn(program!, [
        ...[...first, "tools/play.ts", "--url", url, "--loop", "--quiet"],
        ...["data/ecg/mitdb100_60s.json", "--stream", "a", "--speed", "5", "--chunk", "0.1"],
      ], { cwd: root, stdio: "ignore" });
      try {
        for (const name of ["a.edf", "b.hea"]) {
          const path = join(folder, name);
          const args = [path, "--url", url, "--stream", "a", "--seconds", "4", "--quiet"];
          const recorder = spawn(program!, [...first, "tools/record.ts", ...args], { cwd: root });
          let said = "";
          recorder.stderr!.on("data", (chunk: unknown) => said += String(chunk));
          const status = await new Promise((resolve) => recorder.once("exit", resolve));
          assertEquals(status, 0, said);
          const { rate, leads, samples } = openRecording(path);
          assertEquals([rate, leads.map((lead) => lead.name)], [360, ["MLII", "V5"]]);
          assertEquals(samples[0]!.length, 1440);
          assert(samples[0]!.every(Number.isFinite));
        }
      } finally {
        player.kill("SIGKILL");
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }));

test("a closed terminal ends record with its file; closed pipes end watchers", () =>
  withRelay(async ({ url }) => {
    const folder = mkdtempSync(join(tmpdir(), "blaze-relay-"));
    const [program, ...first] = script(here)!;
    const source = EcgClient.open({ url, stream: "a" });
    const publishing = setInterval(() => {
      source.publish({ signal: new Float64Array(50), sampling_rate: 500 }).catch(() => {});
    }, 20);
    const start = (tool: string, ...args: string[]) => {
      const all = [...first, `tools/${tool}.ts`, "--url", url, ...args];
      const child = spawn(program!, all, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
      return { child, exit: once(child, "exit") };
    };
    try {
      const path = join(folder, "a.edf");
      writeFileSync(path, "x".repeat(1_000_000));
      const recorder = start("record", path, "--stream", "a", "--overwrite");
      await once(recorder.child.stderr, "data");
      // A terminal takes what is told with it.
      recorder.child.stderr.destroy();
      process.kill(recorder.child.pid!, "SIGHUP");
      assertEquals((await recorder.exit)[0], 0);
      assert(openRecording(path).samples[0]!.length >= 50);
      assert(statSync(path).size < 1_000_000);

      // Nobody there: what came is nothing, and so is what stays.
      const idle = start("record", join(folder, "none.edf"), "--url", "ws://127.0.0.1:1");
      await once(idle.child.stderr, "data");
      const [watcher, monitor] = [
        start("inspect", "--brief", "--url", `${url}/ecg/a`),
        start("monitor", "--stream", "a", "--every", "0.1"),
      ];
      for (const { child, exit } of [watcher, monitor]) {
        await once(child.stdout, "data");
        child.stdout.destroy();
        assertEquals((await exit)[0], 0);
      }
      process.kill(idle.child.pid!, "SIGINT");
      assertEquals((await idle.exit)[0], 2);
      assertEquals(readdirSync(folder), ["a.edf"]);
    } finally {
      clearInterval(publishing);
      source.close();
      rmSync(folder, { recursive: true });
    }
  }));

test("play, record and monitor take leave of their relay", () =>
  withRelay(async ({ url }) => {
    const folder = mkdtempSync(join(tmpdir(), "blaze-relay-"));
    const codes: number[] = [];
    const all = Promise.withResolvers<void>();
    const wiretap = await startWiretap(new URL(url.replace("http", "ws")), 0, {
      message() {},
      closed: (_link, code) => codes.push(code) === 3 && all.resolve(),
      failed: (_link, code, text) => all.reject(new Error(`${code} ${text}`)),
    });
    const [program, ...first] = script(here)!;
    const start = (tool: string, ...args: string[]) => {
      const tapped = ["--url", `ws://127.0.0.1:${wiretap.port}`, "--stream", "a"];
      const line = [...first, `tools/${tool}.ts`, ...tapped, ...args];
      const child = spawn(program!, line, { cwd: root, stdio: ["ignore", "pipe", "ignore"] });
      return { child, exit: once(child, "exit") };
    };
    try {
      const player = start("play");
      const recorder = start("record", join(folder, "a.edf"), "--seconds", "0.4");
      const monitor = start("monitor", "--every", "0.1");
      assertEquals((await recorder.exit)[0], 0);
      // By now one plays, and the other has measured a round trip.
      await once(monitor.child.stdout, "data");
      for (const { child, exit } of [player, monitor]) {
        process.kill(child.pid!, "SIGINT");
        assertEquals((await exit)[0], 0);
      }
      await all.promise;
      assertEquals(codes, [1000, 1000, 1000]);
    } finally {
      await wiretap.stop();
      rmSync(folder, { recursive: true });
    }
  }));

test("inspect, errors and monitor say why a relay refuses them", () =>
  withRelay(async ({ url }) => {
    const [program, ...first] = script(here)!;
    const ended = async (tool: string, ...args: string[]) => {
      const child = spawn(program!, [...first, `tools/${tool}.ts`, ...args], { cwd: root });
      let said = "";
      child.stderr.on("data", (chunk: unknown) => said += String(chunk));
      const [code] = await once(child, "close");
      return [code, said] as const;
    };
    const all = await Promise.all([
      ended("inspect", "--url", `${url}/ecg/a`),
      ended("errors", "--url", `${url}/ecg/a`, "--token", "wrong"),
      ended("inspect", "--url", `${url}/nowhere`, "--token", "a-token-for-tests-only"),
    ]);
    assertEquals(all.map(([code]) => code), [2, 2, 2]);
    assertStringIncludes(all[0]![1], "(4401)");
    assertStringIncludes(all[1]![1], "(4401)");
    assertStringIncludes(all[2]![1], "Nothing at /nowhere");
  }, { token: "a-token-for-tests-only" }));
