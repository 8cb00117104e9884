import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { Buffer } from "node:buffer";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { EcgClient } from "../src/client/mod.ts";
import { host } from "../src/host.ts";
import { sha256 } from "../src/store/chain.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import { denoCommand, here, root, script } from "../tools/runtimes.ts";
import { logKey, operation } from "./kit/log_lab.ts";
import { withRelay, withRelayProcess } from "./kit/relay.ts";
import { skipped } from "./kit/skip.ts";
import { STORE_LIMITS, withStorePath } from "./kit/store_file.ts";
import { appendTo } from "./kit/stored.ts";

const ready = async (url: string) => (await (await fetch(`${url}/ready`)).json()).logs;

/** Waits until a relay has said this. */
async function said(output: () => string, text: RegExp): Promise<void> {
  while (!text.test(output())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function ended(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const gone = once(child, "exit");
  process.kill(child.pid!, signal);
  await gone;
}

/** Starts the relay with a store that it cannot have. Answers the line that says so. */
function refused(store: string): string {
  const [program, ...first] = script(here)!;
  const { status, stdout, stderr } = spawnSync(
    program!,
    [...first, "main.ts", "--port", "0", "--store", store],
    { cwd: root, encoding: "utf8", timeout: 30_000 },
  );
  assertEquals([status, stdout, stderr.trimEnd().split("\n").length], [2, "", 1], stderr);
  return stderr;
}

test("what a relay accepted is there for the next one, however the first one ended", () =>
  withStorePath(async (path) => {
    let ring: string | undefined;
    let count = 0;
    for (const signal of ["SIGTERM", "SIGKILL", "SIGTERM"] as const) {
      await withRelayProcess(here, async ({ url, child, output }) => {
        await said(output, new RegExp(`logs of groups +on disk, in ${path}\n`));
        assertEquals(await ready(url), "disk");
        const stored = await appendTo({ url }, 5);
        count += 5;
        assertEquals(stored.entries, Array.from({ length: count }, (_, n) => `#${n + 1}`));
        ring ??= stored.ring;
        assertEquals(stored.ring, ring);
        await ended(child, signal);
      }, ["--store", path]);
    }
    assertEquals(readdirSync(dirname(path)), ["relay.db"]);
  }));

test("the file has hashes of keys, no keys, and no name of a database", () =>
  withStorePath(async (path) => {
    await withRelayProcess(here, async ({ url, child }) => {
      await appendTo({ url }, 2);
      await ended(child, "SIGKILL");
    }, ["--store", path]);
    const bytes = Buffer.concat(
      readdirSync(dirname(path)).map((name) => readFileSync(join(dirname(path), name))),
    );
    assert(bytes.includes(Buffer.from(sha256(logKey(7)))));
    assert(bytes.includes(Buffer.from(operation(1))));
    assertEquals(bytes.indexOf(Buffer.from(logKey(7))), -1);
    assertEquals(bytes.indexOf("bugs"), -1);
  }));

test("one file has one relay; the next one, and a place that is none, end the start in one line", () =>
  withStorePath((path) =>
    withRelayProcess(here, () => {
      assertMatch(refused(path), /relay\.db belongs to another process that runs: stop that one/);
      assertMatch(refused("/dev/null/relay.db"), /^\/dev\/null\/relay.db cannot be written: /);
      return Promise.resolve();
    }, ["--store", path])
  ));

const inMemory = async (url: string, output: () => string) => {
  await said(output, /logs of groups +in memory: they end with this process\n/);
  assertEquals(await ready(url), "memory");
  const warnings = output().split("\n").filter((line) => line.includes("cannot be written"));
  assertEquals(warnings.length, 1, output());
  assertMatch(warnings[0]!, /\. Until then .* kept in memory and end with this process/);
};

test("a relay that may not write where it usually does says so, and serves", () =>
  withRelayProcess(
    here,
    ({ url, output }) => inMemory(url, output),
    [],
    { STORE: "", STATE_DIRECTORY: "/dev/null" },
  ));

test("a relay without a store says so", () =>
  withRelayProcess(here, async ({ url, output }) => {
    await said(output, /logs of groups +are not kept/);
    assertEquals(await ready(url), "off");
  }, ["--store", "off"]));

const deno = denoCommand();
const skip = deno ? false : skipped("the permissions of Deno need Deno");

/** Runs the relay in an empty folder with these permissions of Deno's, as its tasks name them. */
const permitted = (folder: string, writing: readonly string[]) => {
  const flags = ["--no-prompt", "--allow-net", "--allow-env", "--allow-read", "--allow-sys"];
  const config = ["--config", `${root}deno.json`];
  return {
    cwd: folder,
    command: [...deno!, "run", "-q", ...config, ...flags, ...writing, `${root}main.ts`],
    env: { STORE: "", STATE_DIRECTORY: "" },
  };
};

test(
  "on Deno it writes to its folder with that permission alone, and warns without",
  { skip },
  () =>
    withStorePath(async (path) => {
      const folder = dirname(path);
      const denied = permitted(folder, []);
      await withRelayProcess(
        "deno",
        ({ url, output }) => inMemory(url, output),
        [],
        denied.env,
        denied,
      );
      assertEquals(readdirSync(folder), []);
      const [program, ...args] = denied.command;
      const elsewhere = [...args, "--port", "0", "--store", path];
      const { stderr } = spawnSync(program!, elsewhere, { cwd: folder, encoding: "utf8" });
      assertMatch(stderr, /cannot be written: Deno's tasks .* --allow-write=FOLDER .* with Bun\n$/);
      const allowed = permitted(folder, ["--allow-write=./state"]);
      await withRelayProcess(
        "deno",
        async ({ url, output }) => {
          await said(output, /logs of groups +on disk, in \.\/state\/relay\.db\n/);
          assertEquals((await appendTo({ url }, 3)).entries.length, 3);
          assert(existsSync(join(folder, "state", "relay.db")));
        },
        [],
        allowed.env,
        allowed,
      );
    }),
);

/** What begins as a file of SQLite's does, and is none. */
function broken(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "SQLite format 3\0 it is not");
  chmodSync(path, 0o600);
}

test("a broken file costs its logs, and not the relay", () =>
  withStorePath(async (path) => {
    broken(path);
    await withRelayProcess(
      here,
      async ({ url, output }) => {
        await said(output, /logs of groups +on disk/);
        assertMatch(output(), /ERR.*the file of logs .* is broken .*: it is .*\.corrupt-\d/);
        assertEquals((await appendTo({ url }, 2)).entries, ["#1", "#2"]);
      },
      [],
      { STORE: "", STATE_DIRECTORY: dirname(path) },
    );
  }));

test("what somebody named, and may be anything, stays where it is", () =>
  withStorePath((path) => {
    broken(path);
    assertMatch(
      refused(path),
      /relay\.db is no file of logs, or .*: move it away, or name another/,
    );
    assertEquals(readdirSync(dirname(path)), ["relay.db"]);
  }));

test("while a disk takes a second for an entry, an ECG passes", () =>
  withStorePath(async (path) => {
    const store = await openSqlite({ path, limits: STORE_LIMITS, delayMs: 1_000 });
    await withRelay(async ({ url }) => {
      const watcher = EcgClient.open({ url, stream: "bed" });
      const messages = await watcher.watch();
      const monitor = EcgClient.open({ url, stream: "bed" });
      await monitor.ready;
      let stored = false;
      const appended = appendTo({ url }, 1).then(() => stored = true);
      for (let n = 0; n < 20; n++) {
        await monitor.publish({ signal: [n], sampling_rate: 360 }, { acknowledged: true });
        await messages.next();
        assert(!stored);
      }
      monitor.close();
      watcher.close();
      await appended;
    }, { store });
  }));

test("a relay whose store is in trouble is not ready, says why, and takes links", async () => {
  const store = new MemoryStore(host, STORE_LIMITS);
  let trouble: string | undefined = "no disk";
  Object.defineProperty(store, "trouble", { get: () => trouble });
  await withRelay(async ({ url }) => {
    const asked = async () => {
      const answer = await fetch(`${url}/ready`);
      const { status, reason } = await answer.json();
      return [answer.status, status, reason];
    };
    assertEquals(await asked(), [503, "failing", "no disk"]);
    assertEquals((await appendTo({ url }, 1)).entries, ["#1"]);
    trouble = undefined;
    assertEquals(await asked(), [200, "ready", undefined]);
  }, { store });
});
