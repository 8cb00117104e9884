/**
 * What every engine of logs does: `src/store/store.ts`, sentence by sentence.
 *
 * @module
 */
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { chainNext, chainStart } from "../../src/store/chain.ts";
import {
  type Append,
  type Entry,
  ENTRY_BYTES,
  LOG_BYTES,
  type LogName,
  type LogStore,
  type StoreLimits,
} from "../../src/store/store.ts";
import type { Bytes } from "../../src/wire/bytes.ts";
import { FakeHost } from "./fake_host.ts";
import { fc, holds } from "./random.ts";

const DAY_MS = 86_400_000;

const LIMITS: StoreLimits = {
  logBytes: 1_000_000,
  tenantLogBytes: 2_500_000,
  logGraceMs: DAY_MS,
  logIdleMs: 90 * DAY_MS,
  logClosedMs: 30 * DAY_MS,
};

/** Opens an engine that keeps nothing yet, with the time of this host. */
export type OpenStore = (host: FakeHost, limits: StoreLimits) => Promise<LogStore>;

const named = (n: number, tenant = "default"): LogName => ({
  tenant,
  id: n.toString(16).padStart(2, "0").repeat(16),
});
const key = (n: number): Bytes => new Uint8Array(32).fill(n);

/** Bytes that nobody mixes up. */
function frame(n: number, length = 16): Bytes {
  const bytes = new Uint8Array(length).fill(n & 0xff);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

const plain = (n: number, length?: number): Append => ({
  frame: frame(n, length),
  at: 0n,
  closing: false,
});

/** The tests of one engine. */
export function storeSuite(name: string, open: OpenStore): void {
  const log = named(1);
  const K = key(1);

  const check = (
    what: string,
    run: (store: LogStore, host: FakeHost) => Promise<void>,
    changes: Partial<StoreLimits> = {},
  ): void => {
    test(`${name}: ${what}`, async () => {
      const host = new FakeHost();
      const store = await open(host, { ...LIMITS, ...changes });
      try {
        await run(store, host);
      } finally {
        await store.close();
      }
    });
  };

  /** Appends so many entries, from 1 on. */
  const fill = (store: LogStore, count: number, length?: number, to = log) =>
    Promise.all(Array.from({ length: count }, (_, i) => store.append(to, plain(i + 1, length))));

  const state = async (store: LogStore, of = log, k = K) => (await store.open(of, k, false))!;

  check("a log begins empty, at 1, with its own ring and the first hash", async (store) => {
    const one = (await store.open(log, K, true))!;
    const other = (await store.open(named(2), K, true))!;
    const start = chainStart(log.id);
    assertEquals(one, {
      ring: one.ring,
      first: 1n,
      last: 0n,
      before: start,

      bytes: 0,
      closed: false,
    });
    assertEquals(one.ring.length, 8);
    assertNotEquals(one.ring, other.ring);
    assertEquals(await state(store), one);
    assertEquals(await store.read(log, 0n, 1_000), []);
    assertEquals(await store.hashAt(log, 0n), start);
    assertEquals(await store.hashAt(log, 1n), undefined);
  });

  check("a wrong key reads like a log that is not there", async (store) => {
    assertEquals(await store.open(log, K, false), undefined);
    await store.open(log, K, true);
    for (const wrong of [key(2), K.with(31, 0), K.with(0, 0), K.subarray(1), new Uint8Array()]) {
      assertEquals(await store.open(log, wrong, false), undefined);
      assertEquals(await store.open(log, wrong, true), undefined);
    }
    assert(await store.open(log, K, true));
  });

  check("one id in two tenants is two logs", async (store) => {
    const ward = named(1, "ward");
    await store.open(log, K, true);
    await store.append(log, plain(1));
    assertEquals((await store.open(ward, key(2), true))?.last, 0n);
    assertEquals(await store.open(ward, K, false), undefined);
    assertEquals(await store.read(ward, 0n, 1_000), []);
  });

  check("appends get numbers in the order of the calls", async (store) => {
    await store.open(log, K, true);
    const answers = await fill(store, 100);
    assertEquals(
      answers,
      Array.from({ length: 100 }, (_, i) => ({ kind: "appended", sequence: BigInt(i + 1) })),
    );
    const entries = await store.read(log, 0n, 1_000_000);
    assertEquals(
      entries,
      answers.map((_, i) => ({ sequence: BigInt(i + 1), frame: frame(i + 1) })),
    );
  });

  check("chain hashes are those of the frames, at each entry", async (store) => {
    await store.open(log, K, true);
    await fill(store, 5);
    let hash = chainStart(log.id);
    for (let n = 0; n <= 5; n++) {
      if (n > 0) hash = chainNext(hash, frame(n));
      assertEquals(await store.hashAt(log, BigInt(n)), hash, `${n}`);
    }
    const { last, bytes } = await state(store);
    assertEquals([last, bytes], [5n, 80]);
    for (const none of [6n, 2n ** 64n - 1n]) {
      assertEquals(await store.hashAt(log, none), undefined);
    }
  });

  check(
    "chain hashes are there, however long nobody asked and whatever went",
    async (store, host) => {
      await store.open(log, K, true);
      const hashes = [chainStart(log.id)];
      for (let n = 1; n <= 3_000; n++) hashes.push(chainNext(hashes.at(-1)!, frame(n)));
      await fill(store, 3_000);
      /** Lets turns go by until something is done. */
      const done = async <T>(work: Promise<T>): Promise<T> => {
        let over = false;
        void work.finally(() => over = true);
        while (!over) {
          host.pass(0);
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
        return await work;
      };
      const at = (n: number) => done(store.hashAt(log, BigInt(n)));
      for (const n of [2_500, 2_499, 64, 63, 1]) assertEquals(await at(n), hashes[n], `${n}`);
      await store.truncate(log, 2_990n);
      host.pass(DAY_MS);
      await done(store.sweep());
      assertEquals((await state(store)).before, hashes[2_989]);
      for (const n of [3_000, 2_989, 2_990, 2_999]) assertEquals(await at(n), hashes[n], `${n}`);
      assertEquals(await at(2_988), undefined);
    },
  );

  check(
    "a frame that comes in an envelope is heard in it, and stays what it was",
    async (store) => {
      await store.open(log, K, true);
      const heard: Entry[] = [];
      store.watch(log, (entries) => {
        heard.push(...entries);
        for (const { envelope, frame } of entries) envelope!.fill(0xff, 0, -frame.length);
      });
      for (const spare of [14, 1_000]) {
        const envelope = new Uint8Array(spare + 16);
        envelope.set(frame(spare), spare);
        const inside = envelope.subarray(spare);
        await store.append(log, { frame: inside, at: 0n, closing: false, envelope });
        assert(heard.at(-1)!.envelope === envelope);
      }
      assertEquals((await store.read(log, 0n, 100)).map((e) => e.frame), [frame(14), frame(1_000)]);
    },
  );

  check("a frame belongs to the store once it was appended", async (store) => {
    await store.open(log, K, true);
    const mine = frame(1);
    await store.append(log, { frame: mine, at: 0n, closing: false });
    mine.fill(0xff);
    assertEquals(await store.read(log, 0n, 100), [{ sequence: 1n, frame: frame(1) }]);
  });

  check("a compare-and-set gets its number or none, whoever else appends", async (store) => {
    await store.open(log, K, true);
    const at = (n: bigint) => store.append(log, { ...plain(7), at: n });
    assertEquals(await at(2n), { kind: "moved", last: 0n });
    assertEquals(await Promise.all([at(1n), at(1n), at(2n), at(2n), at(9n)]), [
      { kind: "appended", sequence: 1n },
      { kind: "moved", last: 1n },
      { kind: "appended", sequence: 2n },
      { kind: "moved", last: 2n },
      { kind: "moved", last: 2n },
    ]);
    assertEquals(await at(2n ** 64n - 1n), { kind: "moved", last: 2n });
    assertEquals((await store.read(log, 0n, 1_000)).length, 2);
    // Those beside it that want no number get one, whatever becomes of it.
    const any = () => store.append(log, plain(8));
    assertEquals(await Promise.all([any(), at(9n), any(), at(5n), any(), at(9n)]), [
      { kind: "appended", sequence: 3n },
      { kind: "moved", last: 3n },
      { kind: "appended", sequence: 4n },
      { kind: "appended", sequence: 5n },
      { kind: "appended", sequence: 6n },
      { kind: "moved", last: 6n },
    ]);
  });

  check("read gives as many bytes as asked for, and at least one entry", async (store) => {
    await store.open(log, K, true);
    await fill(store, 5, 100);
    const read = async (after: bigint, most: number) =>
      (await store.read(log, after, most)).map(({ sequence }) => Number(sequence));
    assertEquals(await read(0n, 0), [1]);
    assertEquals(await read(0n, 199), [1]);
    assertEquals(await read(0n, 200), [1, 2]);
    assertEquals(await read(3n, 1_000), [4, 5]);
    assertEquals(await read(5n, 1_000), []);
    assertEquals(await read(2n ** 64n - 1n, 1_000), []);
  });

  check("who watches hears every entry once, in order, before its author", async (store) => {
    await store.open(log, K, true);
    await fill(store, 3);
    const heard: Entry[] = [];
    const stop = store.watch(log, (entries) => heard.push(...entries));
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const answer = await store.append(log, plain(i + 4));
      assert(answer.kind === "appended");
      assert(heard.some(({ sequence }) => sequence === answer.sequence), `${i}`);
    }));
    assertEquals(heard, await store.read(log, 3n, 1_000_000));
    stop();
    stop();
    await store.append(log, plain(99));
    assertEquals(heard.length, 50);
  });

  check("who watches a log hears nothing of others, and nothing of what lost", async (store) => {
    for (const one of [log, named(2), named(1, "ward")]) await store.open(one, K, true);
    const heard: Entry[] = [];
    const also: Entry[] = [];
    store.watch(log, (entries) => heard.push(...entries));
    store.watch(log, (entries) => also.push(...entries));
    await store.append(named(2), plain(1));
    await store.append(named(1, "ward"), plain(1));
    await store.append(log, { ...plain(1), at: 5n });
    assertEquals(heard, []);
    await store.append(log, plain(2));
    assertEquals(heard, [{ sequence: 1n, frame: frame(2) }]);
    assertEquals(also, heard);
  });

  check(
    "what one who watches throws keeps nothing from the others, nor from the author",
    async (store) => {
      await store.open(log, K, true);
      const heard: Entry[] = [];
      store.watch(log, () => {
        throw new Error("not mine");
      });
      store.watch(log, (entries) => heard.push(...entries));
      const answer = await store.append(log, plain(1));
      assertEquals(answer, { kind: "appended", sequence: 1n });
      assertEquals(heard, [{ sequence: 1n, frame: frame(1) }]);
    },
  );

  check("who watches, then opens and reads, misses nothing between", async (store) => {
    await store.open(log, K, true);
    const writing = fill(store, 40);
    const heard: bigint[] = [];
    store.watch(log, (entries) => heard.push(...entries.map(({ sequence }) => sequence)));
    const { last } = await state(store);
    const read = (await store.read(log, 0n, 1_000_000)).map(({ sequence }) => sequence);
    await writing;
    for (let n = 1n; n <= 40n; n++) assert(n <= last || heard.includes(n), `${n} is missing`);
    for (let n = 1n; n <= last; n++) assert(read.includes(n), `${n} cannot be read`);
  });

  check("a log that is not there is no place to append to, or to read", async (store) => {
    await assertRejects(async () => void await store.append(log, plain(1)));
    await assertRejects(() => store.read(log, 0n, 100));
    await assertRejects(() => store.truncate(log, 1n));
  });

  check("truncated entries stay for the grace time, then are gone", async (store, host) => {
    const { ring } = (await store.open(log, K, true))!;
    await fill(store, 10);
    const hash = await store.hashAt(log, 4n);
    await store.truncate(log, 5n);
    host.pass(DAY_MS - 1);
    await store.sweep();
    assertEquals((await state(store)).first, 1n);
    host.pass(1);
    await store.sweep();
    const after = await state(store);
    assertEquals([after.ring, after.first, after.last], [ring, 5n, 10n]);
    assertEquals([after.before, after.bytes], [hash, 96]);
    assertEquals((await store.read(log, 0n, 1_000)).map(({ sequence }) => sequence)[0], 5n);
    assertEquals(await store.hashAt(log, 4n), hash);
    assertEquals(await store.hashAt(log, 3n), undefined);
    assertEquals(await store.append(log, plain(11)), { kind: "appended", sequence: 11n });
  });

  check("each truncation has its own grace time, and a lower one changes nothing", async (
    store,
    host,
  ) => {
    await store.open(log, K, true);
    await fill(store, 10);
    await store.truncate(log, 3n);
    host.pass(DAY_MS / 2);
    await store.truncate(log, 7n);
    await store.truncate(log, 2n);
    await store.truncate(log, 0n);
    host.pass(DAY_MS / 2);
    await store.sweep();
    assertEquals((await state(store)).first, 3n);
    host.pass(DAY_MS / 2);
    await store.sweep();
    assertEquals((await state(store)).first, 7n);
  });

  check("a truncation beyond the end takes what was there", async (store, host) => {
    await store.open(log, K, true);
    await fill(store, 3);
    await store.truncate(log, 2n ** 64n - 1n);
    await store.append(log, plain(4));
    host.pass(DAY_MS);
    await store.sweep();
    const { first, last, before } = await state(store);
    assertEquals([first, last], [4n, 4n]);
    assertEquals(before, await store.hashAt(log, 3n));
    await store.truncate(log, 5n);
    host.pass(DAY_MS);
    await store.sweep();
    const empty = await state(store);
    assertEquals([empty.first, empty.last, empty.bytes], [5n, 4n, 0]);
    assertEquals(await store.hashAt(log, 4n), empty.before);
    assertEquals(await store.append(log, plain(5)), { kind: "appended", sequence: 5n });
  });

  check("a closed log keeps its state and its closing entry, and none begins it afresh", async (
    store,
    host,
  ) => {
    await store.open(log, K, true);
    await fill(store, 4);
    await store.append(log, { frame: frame(5), at: 5n, closing: true });
    const closed = await state(store);
    const head = await store.hashAt(log, 5n);
    assertEquals([closed.closed, closed.last], [true, 5n]);
    host.pass(30 * DAY_MS - 1);
    await store.sweep();
    assertEquals((await state(store)).first, 1n);
    host.pass(1);
    await store.sweep();
    host.pass(1_000 * DAY_MS);
    await store.sweep();
    const left = await state(store);
    assertEquals([left.ring, left.first, left.last], [closed.ring, 5n, 5n]);
    assertEquals([left.closed, left.bytes], [true, 16]);
    assertEquals(await store.read(log, 0n, 1_000), [{ sequence: 5n, frame: frame(5) }]);
    assertEquals(await store.hashAt(log, 5n), head);
    assertEquals(await store.open(log, key(2), true), undefined);
    assertEquals((await store.open(log, K, true))?.ring, closed.ring);
  });

  check("the first closing entry is the one that stays, whatever is truncated", async (
    store,
    host,
  ) => {
    await store.open(log, K, true);
    for (const closing of [false, true, true]) {
      await store.append(log, { ...plain(1), closing });
    }
    await store.truncate(log, 4n);
    host.pass(40 * DAY_MS);
    await store.sweep();
    assertEquals((await store.read(log, 0n, 1_000))[0], { sequence: 2n, frame: frame(1) });
  });

  check("an append that loses closes nothing", async (store) => {
    await store.open(log, K, true);
    await store.append(log, { ...plain(1), at: 9n, closing: true });
    assertEquals((await state(store)).closed, false);
  });

  check("a log that nobody opens for long is forgotten, unless it was closed", async (
    store,
    host,
  ) => {
    const names = [1, 2, 3].map((n) => named(n));
    for (const one of names) await store.open(one, K, true);
    await fill(store, 2);
    await store.append(names[1]!, { ...plain(1), closing: true });
    const { ring } = await state(store);
    host.pass(89 * DAY_MS);
    await state(store, names[2]);
    host.pass(DAY_MS);
    await store.sweep();
    assertEquals(await store.open(log, K, false), undefined);
    assert(await store.open(names[1]!, K, false));
    assert(await store.open(names[2]!, K, false));
    const afresh = (await store.open(log, key(5), true))!;
    assertEquals([afresh.first, afresh.last], [1n, 0n]);
    assertNotEquals(afresh.ring, ring);
  });

  check(
    "a log that begins afresh is not truncated for the one before",
    async (store, host) => {
      await store.open(log, K, true);
      await fill(store, 3);
      await store.truncate(log, 3n);
      host.pass(90 * DAY_MS);
      await store.sweep();
      assertEquals(await store.open(log, K, false), undefined);
      await store.open(log, K, true);
      await fill(store, 3);
      host.pass(10 * DAY_MS);
      await store.sweep();
      assertEquals((await state(store)).first, 1n);
    },
    { logGraceMs: 100 * DAY_MS },
  );

  check("a log that somebody watches is no idle one", async (store, host) => {
    await store.open(log, K, true);
    await store.append(log, plain(1));
    const stop = store.watch(log, () => {});
    host.pass(100 * DAY_MS);
    await store.sweep();
    assertEquals((await store.append(log, plain(2))).kind, "appended");
    stop();
  });

  const fills = async (store: LogStore, to: LogName, length: number): Promise<number> => {
    for (let n = 0;; n++) {
      const answer = await store.append(to, plain(n + 1, length));
      if (answer.kind === "full") return n;
      assert(answer.kind === "appended" && n < 100);
    }
  };

  check("a log that is full takes no more, loses nothing, and takes again", async (store, host) => {
    await store.open(log, K, true);
    const count = await fills(store, log, 110_000);
    assertEquals(count, 9);
    const full = await state(store);
    assertEquals((await store.append(log, plain(1, 110_000))).kind, "full");
    assertEquals(await state(store), full);
    assertEquals((await store.append(log, plain(1, 100))).kind, "appended");
    await store.truncate(log, 5n);
    host.pass(DAY_MS);
    await store.sweep();
    assertEquals((await store.append(log, plain(1, 110_000))).kind, "appended");
  });

  check(
    "a log takes as much as it may to the byte, and so does a tenant",
    async (store, host) => {
      const other = named(2);
      await store.open(log, K, true);
      await store.open(other, K, true);
      // Ten entries of 16 bytes, and what each costs beside.
      const to = async (log: LogName, length: number) =>
        (await store.append(log, plain(1, length))).kind;
      await fill(store, 9);
      assertEquals([await to(log, 17), await to(log, 16), await to(log, 4)], [
        "full",
        "appended",
        "full",
      ]);
      // The tenant has room for two logs, and for one entry more.
      assertEquals([await to(other, 17), await to(other, 16), await to(other, 4)], [
        "full",
        "appended",
        "full",
      ]);
      assertEquals(await store.open(named(3), K, true), undefined);
      // What goes makes just so much room.
      await store.truncate(log, 2n);
      host.pass(DAY_MS);
      await store.sweep();
      assertEquals([await to(other, 17), await to(other, 16), await to(log, 4)], [
        "full",
        "appended",
        "full",
      ]);
      // And so does what nobody opens any more, with the logs themselves.
      host.pass(90 * DAY_MS);
      await store.sweep();
      for (const n of [3, 4]) assert(await store.open(named(n), K, true), `${n}`);
      assertEquals(await store.open(named(5), K, true), undefined);
      await fill(store, 10, 16, named(3));
      assertEquals([await to(named(4), 16), await to(named(4), 4)], ["appended", "full"]);
    },
    {
      logBytes: 10 * (16 + ENTRY_BYTES),
      tenantLogBytes: 11 * (16 + ENTRY_BYTES) + 2 * LOG_BYTES,
    },
  );

  check("a key is kept as it was shown", async (store) => {
    const shown = key(1);
    await store.open(log, shown, true);
    shown.fill(9);
    assertEquals(await store.open(log, shown, false), undefined);
    assert(await store.open(log, K, false));
  });

  check("a full log can be closed, once", async (store) => {
    await store.open(log, K, true);
    await fills(store, log, 110_000);
    const { last } = await state(store);
    const closing = () => ({ ...plain(1, 110_000), at: 0n, closing: true });
    const ends = await store.append(log, { ...closing(), at: last + 1n });
    assertEquals(ends, { kind: "appended", sequence: last + 1n });
    assertEquals((await state(store)).closed, true);
    assertEquals((await store.append(log, { ...closing(), at: last + 2n })).kind, "full");
  });

  check("a tenant that is full takes no more, and others are not hurt", async (store) => {
    for (const n of [1, 2, 3]) await store.open(named(n), K, true);
    await store.open(named(1, "ward"), K, true);
    let count = 0;
    for (const n of [1, 2, 3]) count += await fills(store, named(n), 110_000);
    assertEquals(count, 22);
    assertEquals((await store.append(named(1, "ward"), plain(1, 110_000))).kind, "appended");
  });

  check("an entry costs more than its frame, so that small ones fill a log, too", async (store) => {
    await store.open(log, K, true);
    const got = await fill(store, 30, 4);
    assertEquals(got.filter(({ kind }) => kind === "appended").length, 20);
    assertEquals((await state(store)).bytes, 20 * 4);
  }, { logBytes: 20 * (4 + ENTRY_BYTES) + ENTRY_BYTES });

  check("a log costs its tenant something before anything is in it", async (store, host) => {
    const opened = async (n: number, tenant?: string) =>
      await store.open(named(n, tenant), K, true) !== undefined;
    assertEquals([await opened(1), await opened(2), await opened(3)], [true, true, false]);
    // The third left nothing behind, what is there can be opened, and others have their own room.
    assertEquals([await opened(3), await opened(2), await opened(1, "ward")], [false, true, true]);
    host.pass(90 * DAY_MS);
    await store.sweep();
    assertEquals([await opened(3), await opened(4), await opened(5)], [true, true, false]);
  }, { tenantLogBytes: 3 * LOG_BYTES - 1 });

  check("what an idle log held may be used again", async (store, host) => {
    for (const n of [1, 2, 3]) {
      await store.open(named(n), K, true);
      await fills(store, named(n), 110_000);
    }
    host.pass(90 * DAY_MS);
    await store.sweep();
    await store.open(named(4), K, true);
    assertEquals(await fills(store, named(4), 110_000), 9);
  });

  check("many logs at once keep apart", async (store) => {
    const names = Array.from({ length: 20 }, (_, n) => named(n));
    await Promise.all(names.map((one, n) => store.open(one, key(n), true)));
    await Promise.all(
      Array.from({ length: 400 }, (_, i) => store.append(names[i % 20]!, plain(i))),
    );
    for (const [n, one] of names.entries()) {
      const entries = await store.read(one, 0n, 1_000_000);
      assertEquals(
        entries,
        Array.from(
          { length: 20 },
          (_, i) => ({ sequence: BigInt(i + 1), frame: frame(20 * i + n) }),
        ),
      );
    }
  });

  check("a store that was closed does nothing more", async (store) => {
    await store.open(log, K, true);
    await store.close();
    await assertRejects(async () => void await store.append(log, plain(1)));
    await assertRejects(() => store.open(log, K, true));
  });

  test(`${name}: whatever is done, it does what a plain list does`, async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("append" as const), at: fc.nat(12), length: fc.nat(40) }),
      fc.record({ kind: fc.constant("truncate" as const), before: fc.nat(14) }),
      fc.record({ kind: fc.constant("pass" as const), days: fc.nat(1) }),
    );
    await holds(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const host = new FakeHost();
        const store = await open(host, LIMITS);
        try {
          await store.open(log, K, true);
          const frames: Bytes[] = [];
          const hashes = [chainStart(log.id)];
          let first = 1;
          let wished: { before: number; at: number }[] = [];
          for (const one of steps) {
            const last = frames.length;
            if (one.kind === "append") {
              const bytes = frame(last + 1, 4 + one.length);
              const answer = await store.append(log, {
                frame: bytes,
                at: BigInt(one.at),
                closing: false,
              });
              const fits = one.at === 0 || one.at === last + 1;
              assertEquals(
                answer,
                fits
                  ? { kind: "appended", sequence: BigInt(last + 1) }
                  : { kind: "moved", last: BigInt(last) },
              );
              if (!fits) continue;
              frames.push(bytes);
              hashes.push(chainNext(hashes.at(-1)!, bytes));
            } else if (one.kind === "truncate") {
              await store.truncate(log, BigInt(one.before));
              wished.push({ before: Math.min(one.before, last + 1), at: host.now() });
            } else {
              host.pass(one.days * DAY_MS);
              await store.sweep();
              const due = wished.filter(({ at }) => host.now() - at >= DAY_MS);
              wished = wished.filter(({ at }) => host.now() - at < DAY_MS);
              first = Math.max(first, ...due.map(({ before }) => before));
            }
            const { first: f, last: l, before, bytes } = await state(store);
            const kept = frames.slice(first - 1);
            assertEquals([f, l], [BigInt(first), BigInt(frames.length)]);
            assertEquals(before, hashes[first - 1]!);
            for (const n of [hashes.length - 1, first - 1, (first + hashes.length) >> 1]) {
              assertEquals(await store.hashAt(log, BigInt(n)), hashes[n]);
            }
            assertEquals(bytes, kept.reduce((sum, { length }) => sum + length, 0));
            assertEquals((await store.read(log, 0n, 1e6)).map((e) => e.frame), kept);
          }
        } finally {
          await store.close();
        }
      }),
      30,
    );
  });
}
