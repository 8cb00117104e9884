import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { chainNext, chainStart } from "../src/store/chain.ts";
import { hex } from "../src/wire/bytes.ts";
import { readCapture } from "../tools/inspect/capture.ts";
import { here, root, script } from "../tools/runtimes.ts";
import {
  frameOf,
  logNamed,
  OWNERS_KEY,
  plain,
  withSqlite,
  withStorePath,
} from "./kit/store_file.ts";

function tool(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const [program, ...first] = script(here)!;
  const { status, stdout, stderr } = spawnSync(
    program!,
    [...first, "tools/mailbox.ts", ...args],
    { cwd: root, encoding: "utf8", timeout: 30_000, env: { ...process.env, ...env } },
  );
  return { status, stdout, stderr, lines: stdout.trimEnd().split("\n") };
}

/** Runs the tool on a file. */
const mailbox = (path: string, ...args: string[]) => tool([...args, "--store", path]);

const DAY_MS = 86_400_000;

/** A file with three logs: of 20 entries, closed with 3, and another tenant's with none. */
const withMailbox = (run: (path: string) => Promise<void> | void): Promise<void> =>
  withStorePath(async (path) => {
    await withSqlite(path, async (store) => {
      for (const [n, tenant] of [[0xa1, "home"], [0xa2, "home"], [0xb1, "ward"]] as const) {
        await store.open(logNamed(n, tenant), OWNERS_KEY, true);
      }
      for (let n = 1; n <= 20; n++) await store.append(logNamed(0xa1, "home"), plain(frameOf(n)));
      for (let n = 1; n <= 3; n++) {
        const append = { frame: frameOf(n, 100), at: 0n, closing: n === 3 };
        await store.append(logNamed(0xa2, "home"), append);
      }
    }, { now: () => Date.now() - 2 * DAY_MS - 1_000 });
    await run(path);
  });

test("list and size say what there is", () =>
  withMailbox((path) => {
    const rows = mailbox(path, "list").lines.map((line) => line.split(/ {2,}/));
    assertEquals(rows, [
      ["tenant", "log".padEnd(30).trim(), "entries", "bytes", "used", "closed"],
      ["home", "a1".repeat(16), "20", "640", "2 d ago", "no"],
      ["home", "a2".repeat(16), "3", "300", "2 d ago", "2 d ago"],
      ["ward", "b1".repeat(16), "0", "0", "2 d ago", "no"],
    ]);
    assertEquals(mailbox(path, "list", "--tenant", "ward").lines.length, 2);
    const { lines } = mailbox(path, "size");
    assertMatch(lines[1]!, /^home +2 +23 +940$/);
    assertMatch(lines[2]!, /^ward +1 +0 +0$/);
    assertMatch(lines[3]!, /^the file: \d+ bytes$/);
  }));

test("export writes frames with their numbers, as other tools read them", () =>
  withMailbox((path) => {
    const file = join(dirname(path), "log.txt");
    assertEquals(mailbox(path, "export", "a1", file).status, 0);
    const text = readFileSync(file, "utf8");
    const frames = Array.from({ length: 20 }, (_, n) => frameOf(n + 1));
    assertEquals(readCapture(text)!.map(({ bytes }) => bytes), frames);
    const last = frames.reduce(chainNext, chainStart("a1".repeat(16)));
    assert(text.endsWith(` # 20 ${hex(last)}\n`));
    assertMatch(mailbox(path, "export", "a1", file).stderr, /is there already/);
    assertEquals(mailbox(path, "export", "a1", file, "--overwrite").status, 0);
  }));

test("delete lets go of one log, and of a closed one only when told twice", () =>
  withMailbox(async (path) => {
    const several = mailbox(path, "delete", "a");
    assertEquals([several.status, several.stderr], [2, "a: 2 logs begin so.\n"]);
    assertMatch(mailbox(path, "delete", "cc").stderr, /^cc: no such log/);
    assertEquals(
      mailbox(path, "delete", "a1").stdout,
      `${"a1".repeat(16)} of home is gone, with 20 entries.\n`,
    );
    assertMatch(mailbox(path, "delete", "a2").stderr, /was closed.*--even-closed/);
    assertEquals(mailbox(path, "delete", "a2", "--even-closed").status, 0);
    assertEquals(mailbox(path, "verify").lines, ["1 logs, 0 entries: no faults"]);
    await withSqlite(path, async (store) => {
      const state = await store.open(logNamed(0xa1, "home"), OWNERS_KEY, true);
      assertEquals([state!.first, state!.last], [1n, 0n]);
    });
  }));

test("verify finds what was changed behind the relay's back", () =>
  withMailbox((path) => {
    assertEquals(mailbox(path, "verify").lines, ["3 logs, 23 entries: no faults"]);
    const db = new DatabaseSync(path);
    db.exec("UPDATE entry SET frame = zeroblob(32) WHERE sequence = 7");
    db.exec("DELETE FROM entry WHERE sequence = 12");
    db.exec("INSERT INTO entry VALUES (99, 1, x'', x'')");
    db.close();
    const { status, lines } = mailbox(path, "verify");
    const log = `home ${"a1".repeat(16)}:`;
    assertEquals([status, lines], [1, [
      "1 entries belong to no log",
      `${log} entry 7: wrong chain hash`,
      `${log} entry 12 is missing`,
      `${log} entry 13: wrong chain hash`,
      `${log} has 608 bytes, not 640`,
      "3 logs, 23 entries: 5 faults",
    ]]);
  }));

test("a file that was put back from a backup begins another life", () =>
  withMailbox(async (path) => {
    const rings = () =>
      withSqlite(path, (store) =>
        Promise.all(
          [logNamed(0xa1, "home"), logNamed(0xb1, "ward")].map(async (name) => {
            const { ring, last } = (await store.open(name, OWNERS_KEY, false))!;
            return [hex(ring), last];
          }),
        ));
    const before = await rings();
    assertMatch(mailbox(path, "restored").lines[0]!, /^3 logs begin another life/);
    const after = await rings();
    assertEquals(after.map(([, last]) => last), before.map(([, last]) => last));
    assert(after.every(([ring], i) => ring !== before[i]![0]));
    assertEquals(mailbox(path, "verify").lines, ["3 logs, 23 entries: no faults"]);
  }));

test("what is wrong with the command, or with the file, is said in one line", () =>
  withMailbox(async (path) => {
    const refused = (...args: string[]) => {
      const { status, stdout, stderr } = mailbox(path, ...args);
      assertEquals([status, stdout, stderr.trimEnd().split("\n").length], [2, "", 1], stderr);
      return stderr;
    };
    assertMatch(refused(), /^Say what to do/);
    assertMatch(refused("shred"), /^shred: no such command; there are list, size/);
    assertMatch(refused("export", "a1"), /^export: something is missing/);
    assertMatch(refused("list", "a1"), /^"a1": too many arguments/);
    assertMatch(refused("list", "--overwrite"), /^--overwrite: goes with export/);
    await withSqlite(path, () => {
      assertStringIncludes(refused("list"), `${path} is in use: stop the relay first.`);
      return Promise.resolve();
    });
    for (const store of ["off", "memory"]) {
      const { status, stderr } = tool(["list"], { STORE: store });
      assertEquals(status, 2);
      assertMatch(stderr, new RegExp(`^STORE is ${store}, .*: name a file with --store`));
    }
    const nowhere = join(dirname(path), "none.db");
    assertMatch(mailbox(nowhere, "list").stderr, /no such file. --store names another/);
    assert(!existsSync(nowhere));
    for (
      const [text, why] of [["", /is empty: no relay/], [
        "milk\n",
        /is no file of logs, or/,
      ]] as const
    ) {
      writeFileSync(nowhere, text);
      assertMatch(mailbox(nowhere, "list").stderr, why);
      assertEquals(readFileSync(nowhere, "utf8"), text);
    }
  }));
