/** When a store is asked to let go of what is due. */
import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { configure } from "@logtape/logtape";
import { logLine } from "../src/log.ts";
import type { LogStore } from "../src/store/store.ts";
import { sweeping } from "../src/store/sweeping.ts";
import { FakeHost } from "./kit/fake_host.ts";

const HOUR_MS = 3_600_000;

/** Sweeps that a test ends one by one. */
function sweeps() {
  const running: { done(): void; fail(): void }[] = [];
  let count = 0;
  const sweep = () => {
    count++;
    return new Promise<void>((resolve, reject) => {
      running.push({ done: resolve, fail: () => reject(new Error("no disk")) });
    });
  };
  return { store: { sweep } as unknown as LogStore, running, count: () => count };
}

async function turn(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

test("a store is swept at the start and once an hour, one sweep at a time, also after a failure", async () => {
  const host = new FakeHost();
  const { store, running, count } = sweeps();
  const stop = sweeping(store, host);
  assertEquals(count(), 1);
  host.pass(5 * HOUR_MS);
  assertEquals(count(), 1);
  for (const end of ["done", "fail", "done"] as const) {
    const before = count();
    running.at(-1)![end]();
    await turn();
    host.pass(HOUR_MS - 1);
    assertEquals(count(), before);
    host.pass(1);
    assertEquals(count(), before + 1);
  }
  running.at(-1)!.done();
  await turn();
  stop();
  assertEquals(host.waiting, 0);
});

test("a sweep that fails is told in one line: a disk that is full is no fault of the relay's", async () => {
  const { store, running } = sweeps();
  const lines: string[] = [];
  const meta = { category: ["logtape", "meta"], lowestLevel: "error" as const };
  await configure({
    sinks: { test: (record) => void lines.push(logLine(record)) },
    loggers: [{ category: "blaze-relay", sinks: ["test"], lowestLevel: "warning" }, meta],
    reset: true,
  });
  try {
    const stop = sweeping(store, new FakeHost());
    running[0]!.fail();
    await turn();
    stop();
  } finally {
    await configure({ sinks: {}, loggers: [meta], reset: true });
  }
  assertMatch(lines.join(""), /: the store of logs could not be swept: no disk\n?$/);
});

test("no sweep follows once it was stopped, also in the middle of one", async () => {
  const host = new FakeHost();
  const { store, running, count } = sweeps();
  const stop = sweeping(store, host);
  stop();
  running[0]!.fail();
  await turn();
  host.pass(10 * HOUR_MS);
  assertEquals([count(), host.waiting], [1, 0]);
});
