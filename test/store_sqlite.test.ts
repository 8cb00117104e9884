import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { chainNext, chainStart } from "../src/store/chain.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import { inWords, StoreError } from "../src/store/sqlite_errors.ts";
import { migrate, MIGRATIONS, openFile, pragmaOf } from "../src/store/sqlite_file.ts";
import type { Appended, LogStore } from "../src/store/store.ts";
import { sameBytes } from "../src/wire/bytes.ts";
import {
  frameOf,
  logNamed,
  OWNERS_KEY,
  plain,
  STORE_LIMITS,
  withSqlite,
  withStorePath,
} from "./kit/store_file.ts";

const log = logNamed(1);
const open = (path: string) => openSqlite({ path, limits: STORE_LIMITS });

test("what was appended is there when the file is opened again, with its ring and its chain", () =>
  withStorePath(async (path) => {
    const frames = Array.from({ length: 50 }, (_, n) => frameOf(n, 10 * n));
    const ring = await withSqlite(path, async (store) => {
      const state = await store.open(log, OWNERS_KEY, true);
      const appended = await Promise.all(frames.map((frame) => store.append(log, plain(frame))));
      assertEquals(appended.at(-1), { kind: "appended", sequence: 50n });
      return state!.ring;
    });
    await withSqlite(path, async (store) => {
      const state = await store.open(log, OWNERS_KEY, false);
      assertEquals([state!.ring, state!.first, state!.last], [ring, 1n, 50n]);
      assertEquals(
        await store.hashAt(log, state!.last),
        frames.reduce(chainNext, chainStart(log.id)),
      );
      const entries = await store.read(log, 0n, 1_000_000);
      assertEquals(entries, frames.map((frame, i) => ({ sequence: BigInt(i + 1), frame })));
    });
  }));

test("file and folder are their owner's alone, and the file holds what a blind relay may hold", () =>
  withStorePath(async (path) => {
    const inner = join(dirname(path), "state", "relay.db");
    const store = await open(inner);
    await store.open(log, OWNERS_KEY, true);
    const mode = (path: string) => statSync(path).mode & 0o777;
    assertEquals([mode(dirname(inner)), mode(inner), mode(`${inner}-wal`)], [
      0o700,
      0o600,
      0o600,
    ]);
    await store.close();
    assertEquals(readdirSync(dirname(inner)), ["relay.db"]);
  }));

test("watchers hear entries in order, before whoever appended them hears that they are safe", () =>
  withStorePath((path) =>
    withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      const said: string[] = [];
      const stop = store.watch(log, (entries) => {
        for (const { sequence } of entries) said.push(`heard ${sequence}`);
      });
      store.watch(log, () => {
        throw new Error("a watcher that fails");
      });
      store.watch(logNamed(2), () => said.push("another log"));
      const append = async (n: number) => {
        await store.append(log, plain(frameOf(n)));
        said.push(`safe ${n}`);
      };
      await append(1);
      await Promise.all([append(2), append(3)]);
      assertEquals(said, ["heard 1", "safe 1", "heard 2", "heard 3", "safe 2", "safe 3"]);
      stop();
      await append(4);
      assertEquals(said.length, 7);
    })
  ));

test("a disk that takes its time keeps nobody waiting but those who append", () =>
  withStorePath((path) =>
    withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      let safe = false;
      const appended = Promise.resolve(store.append(log, plain(frameOf(1)))).then(() =>
        safe = true
      );
      // Turns of this thread go by meanwhile, as many as there is time for.
      for (let turns = 0; turns < 100; turns++) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        assert(!safe);
      }
      await appended;
    }, { delayMs: 1_000 })
  ));

test("what comes while a transaction runs goes into the next one, all of it", () =>
  withStorePath((path) =>
    withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      const heard: number[] = [];
      store.watch(log, (entries) => heard.push(entries.length));
      const one = store.append(log, plain(frameOf(0)));
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      const rest = Array.from({ length: 99 }, (_, n) => store.append(log, plain(frameOf(n + 1))));
      await Promise.all([one, ...rest]);
      assertEquals(heard, [1, 99]);
    }, { delayMs: 50 })
  ));

test("a full disk takes back what one transaction wrote, and nothing else", () =>
  withStorePath(async (path) => {
    let now = 1_000_000;
    await withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      const other = logNamed(2);
      await store.open(other, OWNERS_KEY, true);
      const heard: bigint[] = [];
      store.watch(log, (entries) => heard.push(...entries.map(({ sequence }) => sequence)));
      let taken = 0n;
      for (let full = false; !full;) {
        const [appended] = await Promise.allSettled([
          store.append(log, plain(frameOf(1, 10_000))),
        ]);
        full = appended.status === "rejected";
        if (full) assertMatch(String((appended as PromiseRejectedResult).reason), /full/);
        else taken++;
      }
      assert(taken > 5n);
      // In the transaction that fails: reading works, and sees nothing of what was not taken.
      const [lost, entries, state, begun] = await Promise.allSettled([
        store.append(log, plain(frameOf(2, 100_000))),
        store.read(log, 0n, 10_000_000),
        store.open(log, OWNERS_KEY, true),
        store.open(logNamed(3), OWNERS_KEY, true),
      ]);
      assertEquals([lost.status, begun.status], ["rejected", "rejected"]);
      assert(entries.status === "fulfilled" && state.status === "fulfilled");
      assertEquals(BigInt(entries.value.length), taken);
      assertEquals([state.value!.last, state.value!.bytes], [taken, Number(taken) * 10_000]);
      // The next one tries again: what is small still finds room, or finds it once something went.
      await store.truncate(log, taken);
      now += STORE_LIMITS.logGraceMs;
      await store.sweep();
      assertEquals(await store.append(log, plain(frameOf(3, 10_000))), {
        kind: "appended",
        sequence: taken + 1n,
      });
      assertEquals(await store.append(other, plain(frameOf(4))), {
        kind: "appended",
        sequence: 1n,
      });
      assertEquals(BigInt(heard.length), taken + 1n);
      assertEquals(heard.at(-1), taken + 1n);
    }, { maxPages: 60, now: () => now });
  }));

test("what a sweep lets go of, the disk gets back", () =>
  withStorePath(async (path) => {
    let now = 1_000_000;
    const many = 5_000;
    await withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      await Promise.all(
        Array.from({ length: many }, (_, n) => store.append(log, plain(frameOf(n, 1_000)))),
      );
      await store.truncate(log, BigInt(many));
      now += STORE_LIMITS.logGraceMs;
      await store.sweep();
      const state = await store.open(log, OWNERS_KEY, false);
      assertEquals([state!.first, state!.last, state!.bytes], [BigInt(many), BigInt(many), 1_000]);
      assertEquals(
        await store.hashAt(log, state!.last),
        chainNext(state!.before, frameOf(many - 1, 1_000)),
      );
    }, { now: () => now });
    assert(statSync(path).size < 200_000, `${statSync(path).size}`);
  }));

test("a second owner is refused with what to do, and the first one goes on", () =>
  withStorePath((path) =>
    withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      const error = await assertRejects(() => open(path), StoreError);
      assertEquals(error.kind, "taken");
      assertMatch(error.message, /^\S+relay.db belongs to another process.*name another/);
      assertEquals(await store.append(log, plain(frameOf(1))), { kind: "appended", sequence: 1n });
    })
  ));

test("a place that cannot be written is told from a file that somebody else made", () =>
  withStorePath(async (path) => {
    writeFileSync(path, "");
    const below = await assertRejects(() => open(join(path, "relay.db")), StoreError);
    assertEquals(below.kind, "unwritable");
    const folder = await assertRejects(() => open(dirname(path)), StoreError);
    assertEquals(folder.kind, "unwritable");
    assertMatch(folder.message, /is a folder\. Name a file in it/);

    const foreign = new DatabaseSync(path);
    foreign.exec("CREATE TABLE notes (text TEXT)");
    foreign.close();
    const error = await assertRejects(() => open(path), StoreError);
    assertEquals(error.kind, "foreign");
    assertMatch(error.message, /is another program's file/);
  }));

test("what a system says of a file is told with what to do", () => {
  for (
    const [errcode, code, kind, words] of [
      [13, "ERR_SQLITE_ERROR", "unwritable", /disk is full\. Make room there, or name another/],
      [0, "ENOSPC", "unwritable", /disk is full\. Make room there, or name another/],
      [8, "ERR_SQLITE_ERROR", "unwritable", /: so it said\. Let this program write there, or name/],
      [0, "EROFS", "unwritable", /: so it said\. Let this program write there, or name another/],
      // What a file of logs is answered with that may be read and not written.
      [3_850, "ERR_SQLITE_ERROR", "unwritable", /it can only be read\. Let this program write/],
      [
        266,
        "ERR_SQLITE_ERROR",
        "failed",
        /cannot be opened: so it said\. Look at its disk, or name/,
      ],
    ] as const
  ) {
    const said = new Error("so it said, mkdir '/home/me/x'");
    const error = inWords(Object.assign(said, { errcode, code }), "x/relay.db");
    assertEquals(error.kind, kind);
    assertMatch(error.message, /^x\/relay\.db cannot be /);
    assertMatch(error.message, words);
  }
});

test("another program's file is not changed by a byte, and neither is one that is none", () =>
  withStorePath(async (path) => {
    const notes = join(dirname(path), "notes.db");
    const foreign = new DatabaseSync(notes);
    foreign.exec("CREATE TABLE notes (text TEXT)");
    foreign.close();
    const text = join(dirname(path), "notes.txt");
    writeFileSync(text, "milk\n".repeat(1_000));
    writeFileSync(path, "");
    const names = readdirSync(dirname(path));
    for (const file of [notes, text, path]) {
      const before = readFileSync(file);
      if (file !== path) {
        const error = await assertRejects(() => open(file), StoreError);
        assertEquals(error.kind, "foreign");
        assertMatch(error.message, /name another (file )?with --store$/);
      }
      assertThrows(() => openFile(file, false).close());
      assertEquals(readFileSync(file), before);
    }
    assertEquals(readdirSync(dirname(path)), names);
  }));

test("a path is that of a file, whatever it would mean to SQLite", () =>
  withStorePath((path) => {
    const before = process.cwd();
    process.chdir(dirname(path));
    try {
      for (const name of [":memory:", "file:one.db?mode=memory", "file:two.db"]) {
        openFile(name).close();
        assert(existsSync(join(dirname(path), name)), name);
      }
    } finally {
      process.chdir(before);
    }
  }));

test("a link to a file that is not there yet: that one is its owner's alone, too", () =>
  withStorePath(async (path) => {
    const target = join(dirname(path), "disk", "logs.db");
    symlinkSync("disk/logs.db", path);
    await withSqlite(path, async (store) => void await store.open(log, OWNERS_KEY, true));
    assertEquals(statSync(target).mode & 0o777, 0o600);
  }));

/** Writes nonsense over a part of a file. */
function spoil(path: string, at: number, length: number): void {
  const bytes = readFileSync(path);
  bytes.fill(0x5a, at, at + length);
  writeFileSync(path, bytes);
}

for (const [what, at] of [["head", 0], ["schema", 100]] as const) {
  test(`a file whose ${what} is broken is moved aside, and a new one begins`, () =>
    withStorePath(async (path) => {
      const ring = await withSqlite(path, async (store) => {
        return (await store.open(log, OWNERS_KEY, true))!.ring;
      });
      spoil(path, at, 400);
      await withSqlite(path, async (store) => {
        assertEquals(await store.open(log, OWNERS_KEY, false), undefined);
        const state = await store.open(log, OWNERS_KEY, true);
        assert(!sameBytes(state!.ring, ring));
      }, { ours: true });
      const aside = readdirSync(dirname(path)).filter((name) => name.includes(".corrupt-"));
      assertEquals(aside.length, 1);
      assertMatch(aside[0]!, /^relay\.db\.corrupt-\d{8}T\d{6}Z$/);
    }));
}

test("pages that turn out to be broken later: the same, and what was asked for fails", () =>
  withStorePath(async (path) => {
    await withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => store.append(log, plain(frameOf(n, 3_000)))),
      );
    });
    const { size } = statSync(path);
    spoil(path, 8 * 4096, size - 8 * 4096);
    await withSqlite(path, async (store) => {
      assertEquals((await store.open(log, OWNERS_KEY, false))?.last, 100n);
      await assertRejects(() => store.read(log, 0n, 10_000_000));
      await assertRejects(
        async () => void await store.append(log, plain(frameOf(1))),
        Error,
        "no such log",
      );
      assertEquals((await store.open(log, OWNERS_KEY, true))?.last, 0n);
      assertEquals((await store.append(log, plain(frameOf(1)))).kind, "appended");
    });
  }));

/** Breaks the pages of a file with 100 entries in it. */
async function spoiled(path: string): Promise<void> {
  await withSqlite(path, async (store) => {
    await store.open(log, OWNERS_KEY, true);
    await Promise.all(
      Array.from({ length: 100 }, (_, n) => store.append(log, plain(frameOf(n, 3_000)))),
    );
  });
  spoil(path, 8 * 4096, statSync(path).size - 8 * 4096);
}

const lost = (store: LogStore) =>
  new Promise<void>((resolve) => void store.watch(log, () => {}, resolve));

test("a broken file that cannot be moved aside: nothing is kept, and it is tried again", () =>
  withStorePath(async (path) => {
    const folder = join(dirname(path), "state");
    const inner = join(folder, "relay.db");
    await spoiled(inner);
    await withSqlite(inner, async (store) => {
      await store.open(log, OWNERS_KEY, false);
      const again = lost(store);
      // Its folder is gone, and in its place is something else.
      renameSync(folder, `${folder}-gone`);
      writeFileSync(folder, "");
      const asked = [store.read(log, 0n, 10_000_000), store.append(log, plain(frameOf(1)))];
      for (const one of asked) await assertRejects(async () => void await one, Error);
      await assertRejects(() => store.open(log, OWNERS_KEY, true), Error, "no new one can begin");
      assertMatch(store.trouble!, /^the file of logs is broken: .*, and no new one can begin: /);
      assert(!store.trouble!.includes(folder));
      rmSync(folder);
      await again;
      assertEquals(store.trouble, undefined);
      assertEquals((await store.open(log, OWNERS_KEY, true))?.last, 0n);
      assertEquals((await store.append(log, plain(frameOf(1)))).kind, "appended");
    }, { againMs: 5 });
  }));

test("why nothing can be kept is told to everybody, and where the file is to nobody", () =>
  withStorePath(async (path) => {
    const home = dirname(path);
    const folder = join(home, "state");
    await spoiled(join(folder, "relay.db"));
    const before = process.cwd();
    process.chdir(home);
    try {
      await withSqlite("./state/relay.db", async (store) => {
        await store.open(log, OWNERS_KEY, false);
        renameSync(folder, `${folder}-gone`);
        writeFileSync(folder, "");
        await assertRejects(() => store.read(log, 0n, 10_000_000));
        const first = store.trouble!;
        assertMatch(first, /^the file of logs is broken/);
        while (store.trouble === first) await new Promise((resolve) => setTimeout(resolve, 1));
        assertMatch(store.trouble!, /^the file of logs cannot be written: /);
        for (const said of [first, store.trouble!]) assert(!said.includes(home), said);
      }, { againMs: 5 });
    } finally {
      process.chdir(before);
    }
  }));

test("a worker that dies has a successor, and what was safe is there", () =>
  withStorePath(async (path) => {
    await withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      await store.append(log, plain(frameOf(1)));
    });
    // What it is to wait for is no number, so it dies of each batch.
    await withSqlite(path, async (store) => {
      for (let n = 0; n < 3; n++) {
        const again = lost(store);
        await assertRejects(() => store.open(log, OWNERS_KEY, false), Error, "worker has failed");
        assertMatch(store.trouble!, /worker has failed/);
        await again;
        assertEquals(store.trouble, undefined);
      }
    }, { againMs: 5, delayMs: 1n as unknown as number });
    await withSqlite(path, async (store) => {
      assertEquals((await store.open(log, OWNERS_KEY, false))?.last, 1n);
    });
  }));

test("a store that has failed can be closed while it is tried again", () =>
  withStorePath(async (path) => {
    await withSqlite(path, async (store) => {
      await assertRejects(() => store.open(log, OWNERS_KEY, true), Error, "worker has failed");
    }, { againMs: 60_000, delayMs: 1n as unknown as number });
  }));

test("a file that begins anew is told to all who watch", () =>
  withStorePath(async (path) => {
    await spoiled(path);
    await withSqlite(path, async (store) => {
      const again = lost(store);
      await store.open(log, OWNERS_KEY, false);
      await assertRejects(() => store.read(log, 0n, 10_000_000));
      await again;
    });
  }));

test("a file that was deleted is noticed within a minute, and while it is so", () =>
  withStorePath(async (path) => {
    let now = 1_000_000;
    await withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      renameSync(path, `${path}-gone`);
      now += 59_999;
      await store.append(log, plain(frameOf(1)));
      assertEquals(store.trouble, undefined);
      now += 1;
      await store.append(log, plain(frameOf(1)));
      assertMatch(store.trouble!, /was deleted: restart the relay/);
      renameSync(`${path}-gone`, path);
      now += 60_000;
      await store.append(log, plain(frameOf(1)));
      assertEquals(store.trouble, undefined);
    }, { now: () => now });
  }));

test("a file of an older version becomes one of this version, whole or not at all", () =>
  withStorePath((path) => {
    const older = openFile(path);
    const newer = [...MIGRATIONS, "ALTER TABLE log ADD COLUMN name TEXT NOT NULL DEFAULT 'none'"];
    older.prepare(
      `INSERT INTO log (tenant, id, key, ring, first, before, last, hash, bytes, used)
       VALUES ('t', 'i', x'', x'', 1, x'', 0, x'', 0, 0)`,
    ).run();
    assertThrows(() => migrate(older, [...newer, "CREATE TABLE log (id TEXT)"], path));
    assertEquals(pragmaOf(older, "user_version"), MIGRATIONS.length);
    assertThrows(() => older.prepare("SELECT name FROM log"));

    migrate(older, newer, path);
    assertEquals(pragmaOf(older, "user_version"), newer.length);
    assertEquals((older.prepare("SELECT name FROM log").get() as { name: string }).name, "none");
    older.close();

    const error = assertThrows(() => openFile(path), StoreError);
    assertMatch(error.message, /written by a newer version of the relay/);
  }));

test("a file of this version is opened without a write, so on a full disk, too", () =>
  withStorePath((path) => {
    openFile(path).close();
    const before = readFileSync(path);
    const file = openFile(path);
    try {
      assertEquals(statSync(`${path}-wal`).size, 0);
      // Nobody else has it all the same.
      assertEquals(assertThrows(() => openFile(path), StoreError).kind, "taken");
    } finally {
      file.close();
    }
    assertEquals(readFileSync(path), before);
  }));

test("what was asked for before the store closes is done, and nothing after", () =>
  withStorePath(async (path) => {
    const store = await open(path);
    await store.open(log, OWNERS_KEY, true);
    const appended: Promise<Appended>[] = [];
    for (let n = 0; n < 10; n++) {
      appended.push(Promise.resolve(store.append(log, plain(frameOf(n)))));
    }
    await Promise.all([store.close(), store.close()]);
    assertEquals((await Promise.all(appended)).at(-1), { kind: "appended", sequence: 10n });
    await assertRejects(
      async () => void await store.append(log, plain(frameOf(1))),
      Error,
      "closed",
    );
  }));

test("an id that is none is refused, and so is more than the disk can follow", () =>
  withStorePath((path) =>
    withSqlite(path, async (store) => {
      await assertRejects(() => store.open({ ...log, id: "x" }, OWNERS_KEY, true), RangeError);
      await store.open(log, OWNERS_KEY, true);
      const frame = frameOf(1, 16_777_216);
      const all = await Promise.allSettled(
        Array.from({ length: 5 }, () => store.append(log, plain(frame))),
      );
      assertEquals(all.map((one) => one.status === "fulfilled" ? one.value.kind : "rejected"), [
        ...["appended", "appended", "appended", "appended"],
        "rejected",
      ]);
    }, { limits: { ...STORE_LIMITS, logBytes: 100_000_000 } })
  ));

test("what a sweep finds undone it does in slices, and what is open stays", () =>
  withStorePath(async (path) => {
    let now = 0;
    const many = 5_000;
    await withSqlite(path, async (store) => {
      const logs = [logNamed(1), logNamed(2), logNamed(3)];
      for (const log of logs) {
        await store.open(log, OWNERS_KEY, true);
        const frames = Array.from({ length: many }, (_, n) => frameOf(n));
        await Promise.all(
          frames.map((frame, n) =>
            store.append(log, { frame, at: 0n, closing: log === logs[1] && n === many - 2 })
          ),
        );
      }
      const stop = store.watch(logs[2]!, () => {});
      now += STORE_LIMITS.logIdleMs;
      await store.sweep();
      const states = await Promise.all(logs.map((log) => store.open(log, OWNERS_KEY, false)));
      assertEquals(states.map((state) => state?.first), [undefined, BigInt(many - 1), 1n]);
      assertEquals(states.map((state) => state?.bytes), [undefined, 64, 32 * many]);
      stop();
    }, { now: () => now });
    // Nothing stays in the file of a log that went in slices.
    const db = new DatabaseSync(path, { readOnly: true });
    const lost = "SELECT count(*) AS count FROM entry WHERE log NOT IN (SELECT number FROM log)";
    const kept = "SELECT count(*) AS count FROM entry";
    assertEquals([lost, kept].map((sql) => db.prepare(sql).get()!.count), [0, 2 + many]);
    db.close();
  }));

test("of many wishes to truncate a log a few are remembered, and the last one is among them", () =>
  withStorePath(async (path) => {
    let now = 0;
    const { logGraceMs } = STORE_LIMITS;
    await withSqlite(path, async (store) => {
      await store.open(log, OWNERS_KEY, true);
      for (let n = 1; n <= 40; n++) await store.append(log, plain(frameOf(n)));
      for (; now < 39; now++) await store.truncate(log, BigInt(now + 2));
      const firstAt = async (ms: number) => {
        now = logGraceMs + ms;
        await store.sweep();
        return (await store.open(log, OWNERS_KEY, false))!.first;
      };
      assertEquals(await firstAt(0), 2n);
      assertEquals(await firstAt(14), 16n);
      // Those between waited for nothing: the last one takes what they would have.
      assertEquals([await firstAt(30), await firstAt(37), await firstAt(38)], [16n, 16n, 40n]);
    }, { now: () => now });
  }));
