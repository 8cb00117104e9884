/**
 * A process that appends until it is killed: `store_child.ts FILE`. A line for each entry that was
 * accepted, with its number; first one with the ring.
 *
 * @module
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { openSqlite } from "../../src/store/sqlite.ts";
import { hex } from "../../src/wire/bytes.ts";
import { frameAt } from "./store_crash.ts";
import { logNamed, OWNERS_KEY, plain, STORE_LIMITS } from "./store_file.ts";

/** Appends that are on their way at once. */
const AT_ONCE = 20;

const say = (line: string) => writeSync(1, `${line}\n`);

const store = await openSqlite({ path: process.argv[2]!, limits: STORE_LIMITS });
const log = logNamed(1);
const { ring, last } = (await store.open(log, OWNERS_KEY, true))!;
say(hex(ring));
let next = last;

async function appendForEver(): Promise<void> {
  for (;;) {
    const at = ++next;
    const appended = await store.append(log, plain(frameAt(at), at));
    if (appended.kind !== "appended") throw new Error(appended.kind);
    say(`${appended.sequence}`);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, appendForEver));
