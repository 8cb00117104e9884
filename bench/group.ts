/**
 * Groups in numbers: bytes of an operation on its way and on disk, seals and opens a second, how long a
 * device takes to join and to catch up, and what it stores.
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRelay } from "../main.ts";
import { Compression } from "../src/client/blaze/compression.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import type { FieldsInput } from "../src/wire/blaze/blaze_record.ts";
import { BlazeGroup, type DeviceStorage, type GroupOptions } from "../src/client/mod.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { Epoch } from "../src/client/group/e2e/epoch.ts";
import { padded } from "../src/client/group/e2e/padding.ts";
import { Opener, Sealer, Sender } from "../src/client/group/e2e/sender.ts";
import { encodeLinked } from "../src/client/group/data/linked_body.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import type { Entry, LogName } from "../src/store/store.ts";
import { bug, longBug, SEED_SIZES, sizes } from "../tools/demo/bug.ts";
import { groupChanges } from "./group_changes.ts";
import { median, print, short, title } from "./table.ts";

const MANY = 10_000;
const SEALS = 20_000;
/** Devices whose joining is timed. */
const TIMED = [2, 11, 100];
/** No device of the bench is kept waiting by what `GET /limits` allows. */
const PACE = { messagesPerSecond: 1e9, bytesPerSecond: 1e12, burstSeconds: 1 };
const LIMITS = limits({
  messagesPerSecond: 1e9,
  bytesPerSecond: 1e12,
  linksPerAddress: 1_000,
  logGraceMs: 0,
});

interface How {
  readonly zstd: boolean;
  readonly padded: boolean;
  readonly signed: boolean;
}

const PLAIN: How = { zstd: false, padded: false, signed: false };

async function drawSender(): Promise<Sender> {
  const epoch = await Epoch.of(random(32), random(16));
  return await Sender.draw(epoch, random(16), "bugs", () => false);
}

/** One insert as a group writes it into its log. */
async function entryOf(sealer: Sealer, changes: FieldsInput, how: How): Promise<Bytes> {
  const header = { kind: "insert", collection: "bugs", id: bug.id, counter: 42n, node: 1 } as const;
  const sign = how.signed ? () => Promise.resolve(random(64)) : undefined;
  const previous = { counter: 41n, link: random(8) };
  const body = await encodeLinked({ operation: { ...header, changes }, previous }, sign);
  const compression = new Compression({ mode: "auto", fault: () => {} });
  const { bytes, compressed } = await compression.shrink(body, how.zstd);
  const type = FrameType.operation;
  const payload = await sealer.seal({ type, compressed }, padded(bytes, how.padded));
  return encodeFrame({ type, compressed, encrypted: true, payload }, { short: true });
}

async function bytes(): Promise<void> {
  title("Bytes of one insert", "Frames; in a log each comes in an envelope of 14 bytes more.");
  const sealer = new Sealer(await drawSender());
  const ways: How[] = [
    PLAIN,
    { ...PLAIN, padded: true },
    { ...PLAIN, zstd: true },
    { ...PLAIN, zstd: true, padded: true },
    { zstd: true, padded: true, signed: true },
  ];
  const rows = [["the seed's table, 165 B", ...Object.values(SEED_SIZES).slice(2).map(String)]];
  while (rows[0]!.length < 9) rows[0]!.push("");
  for (const [name, fields] of [["a bug record", bug], ["a bug with a trace", longBug]] as const) {
    const { plain, sealed, compressed } = await sizes(fields);
    const row = [plain, sealed, compressed];
    for (const how of ways) row.push((await entryOf(sealer, fields, how)).length);
    rows.push([name, ...row.map(String)]);
  }
  print(
    ["", "plain", "pair", "pair, zstd", "group", "padded", "zstd", "zstd, padded", "and signed"],
    rows,
  );
  const frame = await entryOf(sealer, bug, { zstd: true, padded: true, signed: false });
  const payload = encodeExtension({ subtype: "sequenced", sequence: 1n, frame });
  const sent = encodeFrame({ type: FrameType.extension, payload }, { short: true }).length;
  const onDisk = await diskBytes(frame);
  console.log(`\n  a bug record: ${sent} bytes on the wire, ${onDisk.toFixed(0)} on disk (SQLite)`);
}

/** Bytes of a file of logs for one entry. */
async function diskBytes(frame: Bytes): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "blaze-bench-"));
  const path = join(folder, "relay.db");
  try {
    const store = await openSqlite({ path, limits: LIMITS });
    const log = { tenant: "default", id: "a5".repeat(16) };
    await store.open(log, new Uint8Array(32), true);
    const append = { frame, at: 0n, closing: false };
    for (let i = 0; i < MANY; i += 100) {
      await Promise.all(Array.from({ length: 100 }, () => store.append(log, append)));
    }
    await store.close();
    return statSync(path).size / MANY;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function speed(): Promise<void> {
  const sender = await drawSender();
  const sealer = new Sealer(sender);
  const content = padded(new Uint8Array(200), true);
  const purpose = { type: FrameType.operation, compressed: false };
  const payloads: Bytes[] = [];
  let began = performance.now();
  for (let i = 0; i < SEALS; i++) payloads.push(await sealer.seal(purpose, content));
  const seals = SEALS / (performance.now() - began) * 1_000;
  const opener = new Opener(sender);
  began = performance.now();
  for (const payload of payloads) await opener.open(payload, purpose);
  const opens = SEALS / (performance.now() - began) * 1_000;
  console.log(`\n  ${short(seals)} seals and ${short(opens)} opens a second, one after the other`);
}

/** Keeps everything, and tells how much that is. */
function counted(): DeviceStorage & { bytes(prefix?: string): number } {
  const kept = new Map<string, Bytes>();
  return {
    load: () => Promise.resolve(new Map(kept)),
    save(changes) {
      for (const [key, value] of changes) {
        if (value) kept.set(key, value);
        else kept.delete(key);
      }
      return Promise.resolve();
    },
    bytes: (only = "") =>
      [...kept].filter(([key]) => key.startsWith(only))
        .reduce((sum, [key, value]) => sum + key.length + value.length, 0),
  };
}

/** Resolves once the device has all that the relay has. */
function synced(device: BlazeGroup): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (device.state === "synced") resolve();
  const stop = device.onStatus((status) => {
    if (status.kind === "state" && status.state === "synced") resolve();
  });
  return promise.finally(stop);
}

/** Milliseconds from `open` until the device has everything. */
async function timeToSync(options: GroupOptions): Promise<{ device: BlazeGroup; ms: number }> {
  const began = performance.now();
  const device = BlazeGroup.open({ ...options, pace: PACE });
  await synced(device);
  return { device, ms: performance.now() - began };
}

/** Tells what is read from it, and when a checkpoint lets go of what lies before. */
class WatchedStore extends MemoryStore {
  entriesRead = 0;
  readonly truncated = Promise.withResolvers<void>();

  override async read(log: LogName, after: bigint, most: number): Promise<Entry[]> {
    const entries = await super.read(log, after, most);
    this.entriesRead += entries.length;
    return entries;
  }

  override async truncate(log: LogName, before: bigint): Promise<void> {
    await super.truncate(log, before);
    this.truncated.resolve();
  }
}

async function withRelay(run: (url: string, store: WatchedStore) => Promise<void>): Promise<void> {
  const store = new WatchedStore(host, LIMITS);
  const config = { host: "127.0.0.1", port: 0, token: "" };
  const relay = await startRelay(config, { store, limits: LIMITS });
  try {
    await run(relay.url, store);
  } finally {
    await relay.stop();
  }
}

const inMs = (value: number): string => `${value.toFixed(0)} ms`;
const kib = (value: number): string => `${(value / 1024).toFixed(1)} KiB`;

/** How long the 2nd, the 11th and the 100th device take, while two others are here. */
const joins = (): Promise<void> =>
  withRelay(async (url) => {
    const storage = counted();
    const first = BlazeGroup.create({ url, database: "bugs", storage, pace: PACE });
    await first.ready;
    const invitation = await first.invite({ permanent: true });
    const rows: string[][] = [];
    let second: BlazeGroup | undefined;
    for (let count = 2; count <= TIMED.at(-1)!; count++) {
      const { device, ms } = await timeToSync({ url, invitation });
      if (TIMED.includes(count)) rows.push([`${count}`, inMs(ms), kib(storage.bytes())]);
      if (second) await device.close();
      else second = device;
    }
    print(["device", "synced after", "the first one stores"], rows);
    await Promise.all([first.close(), second!.close()]);
  });

async function writeMany(author: BlazeGroup): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < MANY; i++) {
    await author.collection("bugs").insert({ title: `bug ${i}`, priority: i });
  }
  await author.sent();
  return performance.now() - began;
}

/** The time of three devices until each has all records. */
async function reading(options: readonly GroupOptions[]): Promise<number> {
  const times: number[] = [];
  for (const one of options) {
    const { device, ms } = await timeToSync(one);
    times.push(ms);
    if (device.collection("bugs").list().length !== MANY) throw new Error("something is missing");
    await device.close();
  }
  return median(times);
}

const AUTHOR = { database: "bugs", pace: PACE, offline: 2 * MANY };
const many = MANY.toLocaleString("en");

/** How long a device takes that was away. */
const catchUp = (): Promise<void> =>
  withRelay(async (url) => {
    const author = BlazeGroup.create({ url, ...AUTHOR });
    const storages = [counted(), counted(), counted()];
    for (const storage of storages) {
      const device = BlazeGroup.open({ url, invitation: await author.invite(), storage });
      await synced(device);
      await device.close();
    }
    const writing = await writeMany(author);
    const missed = await reading(storages.map((storage) => ({ url, storage })));
    await author.close();
    print(["", ""], [
      [`${many} inserts written and at the relay`, inMs(writing)],
      [`${many} operations for a device that missed them`, inMs(missed)],
      [`what a device with ${many} records stores`, kib(storages[0]!.bytes())],
    ]);
  });

/** How long a new device takes where a checkpoint stands for all that was. */
const fromCheckpoint = (): Promise<void> =>
  withRelay(async (url, store) => {
    const author = BlazeGroup.create({ url, ...AUTHOR });
    await writeMany(author);
    await store.truncated.promise;
    await store.sweep();
    const invitation = await author.invite({ permanent: true });
    store.entriesRead = 0;
    const fresh = await reading(Array(3).fill({ url, invitation }));
    await author.close();
    const entries = Math.round(store.entriesRead / 3);
    print(["", ""], [[`${many} records from a checkpoint, ${entries} entries`, inMs(fresh)]]);
  });

export async function group(): Promise<void> {
  await bytes();
  await speed();
  title(
    "Joining, over loopback",
    "The first device lets in, a second one is here, the others left.",
  );
  await joins();
  title("Catching up, over loopback, relay and devices in one process");
  await catchUp();
  await fromCheckpoint();
  await groupChanges();
}
