import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { bunCommand, denoCommand, here, root, script } from "../tools/runtimes.ts";

/** How many runtimes a test file runs on. */
const RUNTIMES = [bunCommand(), denoCommand()].filter((one) => one !== undefined).length;

/** Runs `tools/test.ts` on files of these texts. */
function runner(files: Record<string, string>, ...flags: string[]) {
  const folder = mkdtempSync(`${tmpdir()}/blaze-runner-`);
  try {
    const paths = Object.entries(files).map(([name, text]) => {
      const path = `${folder}/${name}.test.ts`;
      writeFileSync(path, `import process from "node:process";\n` + text);
      return path;
    });
    const [program, ...first] = script(here)!;
    const { status, stdout, stderr } = spawnSync(
      program!,
      [...first, "tools/test.ts", ...flags, ...paths],
      { cwd: root, encoding: "utf8", env: { ...process.env, SEED: "", RUNS: "" } },
    );
    const lines = stdout.trimEnd().split("\n");
    return { status, stdout, stderr, last: lines.at(-1) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const uses = `import { test } from "node:test";\n`;

test("the runner adds up both runtimes, and names what was skipped", () => {
  const { status, stdout, last } = runner({
    good: `${uses}test("one", () => {}); test("two", () => {});`,
    part: `${uses}test("there", () => {}); test("who's > elsewhere", { skip: "no" }, () => {});`,
  });
  assertEquals([status, last], [0, `${3 * RUNTIMES} passed, 0 failed`]);
  assertStringIncludes(stdout, "\nskipped: who's > elsewhere\n");
});

test("a test that fails, a file that dies and one that cannot be read count as failed", () => {
  const { status, stdout, last } = runner({
    bad: `${uses}test("good", () => {}); test("bad", () => { throw new Error("so bad"); });`,
    dying:
      `${uses}test("good", () => {}); test("dies", () => process.kill(process.pid, "SIGKILL"));`,
    broken: `import "./nowhere.ts";`,
  });
  assertEquals([status, last], [1, `${RUNTIMES} passed, ${3 * RUNTIMES} failed`]);
  assertStringIncludes(stdout, "so bad");
});

test("fuzzing prints a seed that is new each time, and hands it to the tests", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 2; i++) {
    const { stdout, last } = runner({
      random:
        `${uses}test("t", () => { throw new Error(process.env.SEED + " " + process.env.RUNS) });`,
    }, "--fuzz");
    assertEquals(last, `0 passed, ${RUNTIMES} failed`);
    const [, seed, runs] = stdout.match(/^SEED=(\d+) RUNS=(\d+) /)!;
    assertMatch(stdout, new RegExp(`error: (?:Error: )?${seed} ${runs}`));
    seen.add(seed!);
  }
  assertEquals(seen.size, 2);
});

test("the runner refuses flags that it does not know", () => {
  assertEquals(runner({}, "--quick").status, 2);
});

test("a file that is not there is named in one line", () => {
  const { status, stdout, stderr } = runner(
    { good: `${uses}test("one", () => {});` },
    "no.test.ts",
  );
  assertEquals([status, stdout], [2, ""]);
  assertMatch(stderr, /^no\.test\.ts: no such file in [^\n]+\n$/);
});
