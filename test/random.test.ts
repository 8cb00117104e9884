import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { here, root, script } from "../tools/runtimes.ts";
import { dice, fc, holds, seed, times } from "./kit/random.ts";

const odd = fc.property(fc.nat(), (value) => value < 1_000_000_000);

/** What a run of its own prints under some settings. */
function printed(environment: Record<string, string>): string {
  const [program, ...first] = script(here)!;
  const { stdout, stderr } = spawnSync(program!, [...first, "test/kit/random_example.ts"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, SEED: "", RUNS: "", NO_COLOR: "1", ...environment },
  });
  return stdout + stderr;
}

test("a run without a seed draws what the last one drew", () => {
  const one = printed({});
  assertMatch(one, /^seed 1 times 1: \d+ \d+ \d+, .*seed: 1,/);
  assertEquals(printed({}), one);
});

test("a seed that was printed draws the same cases again, whatever the number of runs", () => {
  const found = printed({ SEED: "77", RUNS: "20" });
  assertMatch(found, /^seed 77 times 20: /);
  assertEquals(printed({ SEED: "77", RUNS: "20" }), found);
  assertEquals(printed({ SEED: "77" }), found.replace("times 20", "times 1"));
  assertEquals(printed({}) === found, false);
});

test("a seed that is no whole number is refused, not taken for another", () => {
  for (const SEED of ["x", "1.5", "-1", "1e99"]) {
    assertMatch(printed({ SEED }), /SEED is a whole number from 1 on/);
  }
});

test("found cases come before random ones, and count beside them", async () => {
  const seen: number[] = [];
  holds(fc.property(fc.nat(), (value) => void seen.push(value)), 10, [[5], [6]]);
  assertEquals([seen.length, seen[0], seen[1]], [10 * times + 2, 5, 6]);
  assertThrows(() => holds(odd, 100), Error, `seed: ${seed}`);
  const late = fc.asyncProperty(fc.nat(), (value) => Promise.resolve(value < 1_000_000_000));
  await assertRejects(() => holds(late, 100), Error, `seed: ${seed}`);
});

test("dice reach every number below their limit and no other", () => {
  const roll = dice(3);
  const seen = new Set(Array.from({ length: 500 }, () => roll(6)));
  assertEquals([...seen].sort(), [0, 1, 2, 3, 4, 5]);
  assertEquals([roll(1), roll(1)], [0, 0]);
});
