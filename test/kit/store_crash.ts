/**
 * Kills a process that appends, again and again, and looks at what is left.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { assert, assertEquals } from "@std/assert";
import { chainNext, chainStart } from "../../src/store/chain.ts";
import { type Bytes, hex } from "../../src/wire/bytes.ts";
import { here, root, script } from "../../tools/runtimes.ts";
import { dice } from "./random.ts";
import { frameOf, logNamed, OWNERS_KEY, withSqlite, withStorePath } from "./store_file.ts";

/** What stands at a place of the log: now and then something long. */
export const frameAt = (sequence: bigint): Bytes =>
  frameOf(Number(sequence), sequence % 50n === 0n ? 20_000 : 100);

/** Kills a process at a random moment, `rounds` times; each time all it was told of must be there. */
export const crash = (rounds: number): Promise<void> =>
  withStorePath(async (path) => {
    const below = dice();
    let ring: string | undefined;
    let least = 0;
    for (let round = 0; round < rounds; round++) {
      const [shown, accepted] = await killed(path, 1 + below(1_500));
      ring ??= shown;
      assertEquals(shown, ring);
      least = Math.max(least, ...accepted);
      await check(path, ring, least);
    }
  });

/** Runs the process until it has told of so many entries, and kills it. Answers its ring and what it told. */
async function killed(path: string, after: number): Promise<[string, number[]]> {
  const [program, ...first] = script(here)!;
  const child = spawn(program!, [...first, "test/kit/store_child.ts", path], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  let lines = 0;
  child.stdout.on("data", (chunk) => {
    const text = String(chunk);
    said += text;
    lines += text.split("\n").length - 1;
    if (lines > after) child.kill("SIGKILL");
  });
  await once(child, "close");
  assert(lines > after, `it ended by itself after ${lines} entries`);
  const whole = said.slice(0, said.lastIndexOf("\n")).split("\n");
  return [whole[0]!, whole.slice(1).map(Number)];
}

const check = (path: string, ring: string, least: number): Promise<void> =>
  withSqlite(path, async (store) => {
    const log = logNamed(1);
    const state = (await store.open(log, OWNERS_KEY, false))!;
    assertEquals(hex(state.ring), ring);
    assert(state.last >= BigInt(least), `${state.last} of ${least} are there`);
    let hash = chainStart(log.id);
    let at = 0n;
    while (at < state.last) {
      for (const { sequence, frame } of await store.read(log, at, 1_000_000)) {
        assertEquals(sequence, ++at);
        assertEquals(frame, frameAt(sequence));
        hash = chainNext(hash, frame);
        if (sequence % 100n === 0n) assertEquals(await store.hashAt(log, sequence), hash);
      }
    }
    assertEquals(await store.hashAt(log, state.last), hash);
  });
