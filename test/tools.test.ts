import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { hex } from "../src/wire/bytes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { openRecording } from "../tools/formats/open.ts";
import { here, root, script } from "../tools/runtimes.ts";
import { withRelayProcess } from "./kit/relay.ts";

const TOOLS = ["play", "record", "inspect", "monitor", "sizes", "errors", "web"] as const;

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
    if (tool === "web") continue;
    const wrong = run(tool, "--nonsense");
    assertEquals(wrong.status, 2, tool);
    assertStringIncludes(wrong.stderr, "--help");
  }
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
