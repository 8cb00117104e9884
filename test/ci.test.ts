import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { root } from "../tools/runtimes.ts";
import { skipped } from "./kit/skip.ts";

/** Runs `.ci/run` where everything is installed and `npx` does what a test says, step by step. */
function ci(...steps: string[]): { status: number | null; last: string; lines: string[] } {
  const folder = mkdtempSync(`${tmpdir()}/blaze-ci-`);
  const program = (name: string, text: string) => {
    mkdirSync(dirname(`${folder}/${name}`), { recursive: true });
    writeFileSync(`${folder}/${name}`, `#!/bin/sh\n${text}\n`);
    chmodSync(`${folder}/${name}`, 0o755);
  };
  try {
    program("bin/dpkg", "exit 0");
    program("blaze-relay-parts/formats/bin/python", "exit 0");
    program("blaze-relay-parts/blazeio/bin/python", "exit 0");
    const [ok, tests, long] = steps;
    program(
      "bin/npx",
      `case "$*" in
      "-y deno@2.9.6 task ok --quick") ${ok} ;;
      "-y deno@2.9.6 task test") ${tests} ;;
      "-y deno@2.9.6 task test --long") ${long} ;;
      *) echo "no such step: $*"; exit 9 ;;
      esac`,
    );
    const { status, stdout } = spawnSync("bash", [`${root}.ci/run`], {
      encoding: "utf8",
      env: { ...process.env, TMPDIR: folder, PATH: `${folder}/bin:${process.env.PATH}` },
    });
    const lines = stdout.trimEnd().split("\n");
    return { status, last: lines.at(-1)!, lines };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const needsBash = spawnSync("bash", ["--version"]).status === 0
  ? {}
  : { skip: skipped("bash is not on this machine") };

const said = (passed: number, failed: number) => `echo "${passed} passed, ${failed} failed"`;

test(
  "CI adds up the checks and both tiers, and names what was skipped above the total",
  needsBash,
  () => {
    const skips = "echo 'skipped: no nginx'; echo 'skipped: no nginx'";
    const { status, lines } = ci(said(7, 0), `${skips}; ${said(100, 0)}`, said(20, 0));
    assertEquals([status, ...lines.slice(-2)], [0, "skipped: no nginx", "127 passed, 0 failed"]);
  },
);

test("CI goes on behind a step that fails, and fails itself", needsBash, () => {
  const failing = ci(`${said(6, 1)}; exit 1`, `${said(98, 2)}; exit 1`, said(20, 0));
  assertEquals([failing.status, failing.last], [1, "124 passed, 3 failed"]);
});

test(
  "CI counts one failed for a step that dies without a total, or fails in spite of it",
  needsBash,
  () => {
    const dead = ci(said(7, 0), "echo 'not found' >&2; exit 127", said(20, 0));
    assertEquals([dead.status, dead.last], [1, "27 passed, 1 failed"]);
    const odd = ci(said(7, 0), `${said(100, 0)}; exit 1`, "kill -9 $$");
    assertEquals([odd.status, odd.last], [1, "107 passed, 2 failed"]);
  },
);
