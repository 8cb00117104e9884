/** A file that keeps a device: what a full disk, a crash and damage leave of it. */
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Saver } from "../src/client/blaze/storage.ts";
import { fileStorage } from "../src/client/file_storage.ts";
import { type Bytes, concat, utf8Bytes } from "../src/wire/bytes.ts";
import { refusal } from "./kit/refusal.ts";

const withPath = async (run: (path: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(`${tmpdir()}/blaze-storage-`);
  try {
    await run(`${folder}/device`);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const one = (key: string, length = 3): Map<string, Bytes> =>
  new Map([[key, new Uint8Array(length).fill(key.charCodeAt(0))]]);

/** Runs on a disk that takes half of what is appended, and then says that it is full. */
async function onFullDisk(path: string, run: () => Promise<void>): Promise<void> {
  const handle = await open(`${path}.other`, "w");
  const files = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { appendFile } = files;
  files.appendFile = async function (this: FileHandle, data) {
    const bytes = data as Bytes;
    await appendFile.call(this, bytes.subarray(0, bytes.length >> 1));
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  };
  try {
    await run();
  } finally {
    files.appendFile = appendFile;
  }
}

const keysIn = async (path: string): Promise<string[]> => {
  const storage = fileStorage(path);
  const keys = [...(await storage.load()).keys()].sort();
  await storage.close!();
  return keys;
};

test("what is saved after a disk was full is there later, and what was refused is not", () =>
  withPath(async (path) => {
    const storage = fileStorage(path);
    await storage.load();
    await storage.save(one("a"));
    const size = statSync(path).size;
    await onFullDisk(path, async () => {
      for (const key of ["b", "c"]) await refusal(() => storage.save(one(key, 3_000)));
      assertEquals(statSync(path).size, size, "the half that was written is gone");
    });
    for (const key of ["d", "e"]) await storage.save(one(key));
    await storage.close!();
    assertEquals(await keysIn(path), ["a", "d", "e"]);
  }));

test("a device goes on with what a full disk refused, once there is room", () =>
  withPath(async (path) => {
    const storage = fileStorage(path);
    await storage.load();
    const saver = new Saver(storage);
    await onFullDisk(path, async () => {
      saver.set("a", utf8Bytes("1"));
      assertEquals(await refusal(() => saver.flush()), "STORAGE_FAILED");
    });
    saver.set("b", utf8Bytes("2"));
    await saver.close();
    assertEquals(await keysIn(path), ["a", "b"]);
  }));

test("a file that is damaged in the middle is refused, and left as it is", () =>
  withPath(async (path) => {
    const batches: Bytes[] = [];
    for (const key of ["a", "b", "c"]) {
      const storage = fileStorage(path);
      await storage.load();
      await storage.save(one(key, 300));
      await storage.close!();
      batches.push(new Uint8Array(readFileSync(path)));
      rmSync(path);
    }
    const [a, b, c] = batches as [Bytes, Bytes, Bytes];
    const flipped = b.slice();
    flipped[200]! ^= 1;
    const longer = b.slice();
    longer[0]! ^= 1;
    for (const broken of [flipped, longer, b.subarray(0, 150), b.subarray(0, 5)]) {
      writeFileSync(path, concat(a, broken, c));
      assertEquals(await refusal(() => fileStorage(path).load()), "STORAGE_BROKEN");
      assertEquals(new Uint8Array(readFileSync(path)), concat(a, broken, c));
      // Without anything behind it, it was cut off by a crash.
      writeFileSync(path, concat(a, broken));
      assertEquals(await keysIn(path), ["a"]);
      assertEquals(statSync(path).size, a.length);
    }
    // A file that a crash has lengthened, and nothing was written there.
    writeFileSync(path, concat(a, new Uint8Array(21)));
    assertEquals(await keysIn(path), ["a"]);
    appendFileSync(path, c);
    assertEquals(await keysIn(path), ["a", "c"]);
  }));

test("most of a long file that is out of date goes, and what counts stays", () =>
  withPath(async (path) => {
    const storage = fileStorage(path);
    await storage.load();
    await storage.save(one("a"));
    for (let i = 0; i < 12; i++) await storage.save(one("b", 100_000));
    await storage.save(one("c"));
    await storage.close!();
    assert(statSync(path).size < 400_000);
    assertEquals(await keysIn(path), ["a", "b", "c"]);
  }));

test("a saver that cannot save lets go of its storage all the same", async () => {
  let closed = 0;
  const saver = new Saver({
    load: () => Promise.resolve(new Map()),
    save: () => Promise.reject(new Error("the disk is full")),
    close: () => void closed++,
  });
  saver.set("a", utf8Bytes("1"));
  assertEquals(await refusal(() => saver.close()), "STORAGE_FAILED");
  assertEquals(closed, 1);
});
