/** The page on groups, proved by a second implementation in Python that follows it and shares no code. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BlazeDate, type BlazeGroup, Double, memoryStorage, Uuid } from "../src/client/mod.ts";
import { host } from "../src/host.ts";
import { limits } from "../src/limits.ts";
import { Epoch } from "../src/client/group/e2e/epoch.ts";
import { encodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { fromHex, hex } from "../src/wire/bytes.ts";
import { root } from "../tools/runtimes.ts";
import { contents, eventually, group, withDevices } from "./kit/group.ts";
import { keysOf, TappedStore } from "./kit/group_capture.ts";
import { type GivenLog, type ReadEntry, readLogs, type ReadState } from "./kit/group_reader.ts";
import { needsPython, runPythonFile } from "./kit/python.ts";
import { withRelay } from "./kit/relay.ts";
import { vectors } from "./kit/vectors.ts";

const python = needsPython("cryptography");
const peers = `${root}test/peers/`;
/** Without a package for zstd it reads nothing that was compressed. */
const zstd = ["zstandard", "compression.zstd"].some((name) => !needsPython(name).skip);

interface ReadByPython extends ReadState {
  readonly logs: { readonly hashes: string[]; readonly entries: ReadEntry[] }[];
}

/** Runs a script with a file of JSON. */
async function tell<T>(script: string, given: unknown): Promise<T> {
  const folder = mkdtempSync(`${tmpdir()}/group-peer-`);
  try {
    writeFileSync(`${folder}/given.json`, JSON.stringify(given));
    return await runPythonFile<T>(peers + script, `${folder}/given.json`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Records of a device, as Python tells them. */
const listed = (client: BlazeGroup) => ["blobs", "bugs"].flatMap((name) => inOrder(client, name));

const inOrder = (client: BlazeGroup, collection: string) =>
  client.collection(collection).list()
    .map(({ id, fields }) => ({
      collection,
      id: String(id).replaceAll("-", ""),
      fields: hex(encodeRecord(fields)),
    }))
    .sort((a, b) => a.id < b.id ? -1 : 1);

/** Whether a frame, short and in hex, is an endorsement: type, length, subtype. */
const isEndorsement = (frame: string): boolean =>
  frame.startsWith("bf010f") && frame.length < 1_000 &&
  parseInt(frame.slice(10, 12), 16) === Subtype.endorsement;

/** What the store keeps of the log of an epoch, with what Python needs to read it. */
async function logOf(store: TappedStore, secret: string, group: string) {
  const { log } = await Epoch.of(fromHex(secret), fromHex(group));
  return { secret, frames: [...store.frames.get(hex(log.id))!] };
}

test("the page and the code make the same vectors", python, async () => {
  const told = await runPythonFile<Record<string, unknown>>(
    `${peers}group_vectors.py`,
    `${root}test/vectors/bx2`,
  );
  for (const [name, gives] of Object.entries(told)) {
    assertEquals(gives, vectors<{ gives: unknown }>(`bx2/${name}`).gives, name);
  }
});

test("a log that Python writes is taken as it is meant", python, async () => {
  for (const signed of [false, true]) {
    const given = {
      database: "käfer",
      group: "10".repeat(16),
      secret: "20".repeat(32),
      ring: "30".repeat(8),
      seed: "40".repeat(16),
      instance: "50".repeat(8),
      signed,
    };
    const { node, frames } = await tell<{ node: string; frames: string[] }>(
      "group_write.py",
      given,
    );
    const logs: GivenLog[] = [{ secret: given.secret, ring: given.ring, frames }];
    const { database, group } = given;
    const read = await readLogs(database, group, logs);
    const entries = read.logs[0]!.entries;
    const kinds = entries.map(({ kind, operation, refused }) => refused ?? operation ?? kind);
    const operations = ["insert", "update", "insert", "delete", "insert", "delete", "insert"];
    const rest = ["part", "part", "endorsement", "announce", "update"];
    assertEquals(kinds, ["announce", ...operations, ...rest]);
    assert(entries.every((one) => one.node === node));
    assertEquals(entries[9]!.same, true);
    const first = {
      title: "Crash at the very start",
      priority: 5,
      überfällig: true,
      ratio: new Double(0.25),
      tags: ["a", 7],
      metadata: { z: null, a: Uint8Array.of(1, 2) },
    };
    assertEquals(read.records, [
      { collection: "bugs", id: "01".repeat(16), fields: hex(encodeRecord(first)) },
      { collection: "bugs", id: "03".repeat(16), fields: hex(encodeRecord({ title: "after" })) },
    ]);
    // What Python makes of it once it has read it is the same, too.
    const again = await tell<ReadByPython>("group_log.py", { database, group, logs });
    assertEquals(again.logs[0]!.entries, entries);
    assertEquals(again.logs[0]!.hashes, read.logs[0]!.hashes);
    assertEquals([again.vector, again.contents], [read.vector, read.contents]);
  }
});

const bothHave = (a: BlazeGroup, b: BlazeGroup) =>
  eventually(
    () => contents(a) === contents(b) && a.counts.local + b.counts.local === 0,
    () => `both have everything:\n${contents(a)}\n${contents(b)}`,
  );

/** Changes of every kind by two devices, until both have all of them. */
async function work(a: BlazeGroup, b: BlazeGroup): Promise<void> {
  const text = "the same again ".repeat(30);
  const first = { title: "Crash", priority: 5, due: new BlazeDate(0), überfällig: true, text };
  const { id } = await a.collection("bugs").insert(first);
  await bothHave(a, b);
  await b.collection("bugs").update(id, { title: "Crash on start", ratio: new Double(3) });
  await a.collection("bugs").update(id, { title: "at the same time", count: -70_000 });
  await bothHave(a, b);
  const gone = await b.collection("bugs").insert({ title: "gone" });
  const back = await a.collection("bugs").insert({ title: "gone for a while", n: 1 });
  await bothHave(a, b);
  await a.collection("bugs").delete(gone.id);
  await b.collection("bugs").update(gone.id, { title: "too late" });
  await b.collection("bugs").delete(back.id);
  await bothHave(a, b);
  await a.collection("bugs").insert({ title: "back", id: back.id }, back.id);
  await b.collection("bugs").update(new Uuid(7n, 7n), { title: "never inserted" });
  await bothHave(a, b);
}

for (const signed of [false, true]) {
  const words = signed ? "that signs its operations" : "with a checkpoint";
  test(`what devices of a group ${words} write is read by Python as by themselves`, python, () => {
    const store = new TappedStore(host, limits({}));
    return withRelay((relay) =>
      withDevices(async (kit) => {
        const storage = memoryStorage();
        const compress = zstd && signed ? "always" : "never";
        const options = { signed, storage, compress } as const;
        const { devices: [first, second], invitation } = await group(kit, relay.url, 2, options);
        const [a, b] = [first!.client, second!.client];
        const whole = await keysOf(storage);
        await work(a, b);
        if (!signed) {
          const data = () => crypto.getRandomValues(new Uint8Array(65_000));
          const insert = () =>
            a.collection("blobs").insert({ one: data(), two: data(), more: data() });
          for (let i = 0; i < 6; i++) await insert();
          const endorsed = () => [...store.frames.values()].some((all) => all.some(isEndorsement));
          await eventually(endorsed, "somebody has endorsed a checkpoint");
          await a.collection("bugs").insert({ title: "behind the checkpoint" });
          await bothHave(a, b);
        }
        const { group: id, members, secrets } = await keysOf(storage);
        assertEquals([whole.secrets.length, Object.keys(members).length], [3, 2]);
        assertEquals(whole.secrets.at(-1), secrets.at(-1));
        const logs = await Promise.all(whole.secrets.map((secret) => logOf(store, secret, id)));
        const read = await tell<ReadByPython>("group_log.py", {
          database: "bugs",
          group: id,
          logs,
        });
        assertEquals(read.records, listed(b));
        assertEquals(read.records, listed(a));
        const entries = read.logs.flatMap(({ entries }) => entries);
        assertEquals(entries.filter(({ refused }) => refused), []);
        assert(entries.every((one) => one.kind !== "operation" || one.signed === signed));
        if (!signed) await readFromCheckpoint(read, logs.at(-1)!, id, members);
        else await readDoor(store, invitation, id, entries);
      }), { store });
  });
}

/** Who begins at the checkpoint ends with the same. */
async function readFromCheckpoint(
  whole: ReadByPython,
  { secret, frames }: { secret: string; frames: string[] },
  group: string,
  members: Record<string, string>,
): Promise<void> {
  const { entries, hashes } = whole.logs.at(-1)!;
  const at = entries.findIndex(({ kind }) => kind === "part");
  const { same, ring } = entries.find(({ last }) => last === true)!;
  assertEquals(same, true);
  const log = { secret, ring, frames: frames.slice(at), first: at + 1, before: hashes[at] };
  const given = { database: "bugs", group, members, logs: [log] };
  const read = await tell<ReadByPython>("group_log.py", given);
  assertEquals(read.logs[0]!.entries.filter(({ refused }) => refused), []);
  assertEquals([read.records, read.digest], [whole.records, whole.digest]);
  assertEquals(read.logs[0]!.hashes.at(-1), hashes.at(-1));
}

/** The newcomer's knock, and the welcome that the commit brought as well. */
async function readDoor(
  store: TappedStore,
  invitation: string,
  group: string,
  entries: readonly ReadEntry[],
): Promise<void> {
  interface Door {
    readonly database: string;
    readonly group: string;
    readonly flags: number;
    readonly door: string;
    readonly logId: string;
    readonly entries: { readonly subtype: number; readonly content: string }[];
  }
  const script = `${peers}group_doors.py`;
  const values = await runPythonFile<Door>(script, invitation);
  assertEquals([values.database, values.group, values.flags], ["bugs", group, 2]);
  const frames = store.frames.get(values.logId)!;
  const door = await runPythonFile<Door>(script, invitation, ...frames);
  const [knock, welcome] = door.entries;
  assertEquals(door.entries.map(({ subtype }) => subtype), [Subtype.knock, Subtype.welcome]);
  // MLS 1.0: a KeyPackage; and behind its reference a Welcome.
  assertEquals(knock!.content.slice(0, 8), "00010005");
  assertEquals(welcome!.content.slice(64, 72), "00010003");
  const admits = entries.filter(({ welcome }) => welcome !== undefined);
  assertEquals(admits.map(({ door, welcome }) => [door, welcome]), [[values.door, frames[1]]]);
}
