/**
 * Keeps a device in a file, on Bun and Deno: a journal that is appended to, and written anew when most
 * of it is out of date. Browsers do not load this file.
 *
 * Each entry is one batch: u32 length of what follows the checksum, u32 CRC-32 of that, then for each
 * change u16 length and key (UTF-8), u8 1 and u32 length and value, or u8 0 for a removed key. A batch
 * that was cut off by a crash, at the end of the file, counts as never written. One that could not be
 * written whole is cut off before anything follows it. Where whole ones stand behind a broken one all the
 * same, the file is damaged: it is left as it is.
 *
 * @module
 */
import { type FileHandle, open, readFile, rename, rm, truncate } from "node:fs/promises";
import { type Bytes, concat, Reader, utf8Bytes, WireError, Writer } from "../../wire/bytes.ts";
import { crc32 } from "../../wire/zlib.ts";
import { ClientError } from "../client_error.ts";
import type { Changes, DeviceStorage } from "./storage.ts";

/** A journal of less is not worth writing anew. */
const WORTH_COMPACTING = 1_048_576;
const OWNER_ONLY = 0o600;

/** Bytes of a batch before its changes. */
const HEADER = 8;

/**
 * Keeps a device in the file at `path`, which one program at a time may use. `load` throws
 * `STORAGE_BROKEN` where the file is damaged, and changes nothing.
 */
export function fileStorage(path: string): DeviceStorage {
  return new Journal(path);
}

class Journal implements DeviceStorage {
  readonly #kept = new Map<string, Bytes>();
  #file: FileHandle | undefined;
  /** Bytes of the whole batches in the file, and those of them that are not out of date. */
  #size = 0;
  #live = 0;
  /** Behind the whole batches stands, perhaps, a part of one. */
  #torn = false;
  /** From this size on it may be worth writing anew. */
  #large = WORTH_COMPACTING;

  constructor(private readonly path: string) {}

  async load(): Promise<Map<string, Bytes>> {
    const file = await readFile(this.path).catch((error: { code?: string }) => {
      if (error.code === "ENOENT") return new Uint8Array();
      throw error;
    });
    // A Buffer cuts slices that share its memory.
    const bytes = new Uint8Array(file);
    for (;;) {
      const batch = readBatch(bytes, this.#size);
      if (!batch) break;
      this.#keep(batch.changes);
      this.#size = batch.end;
    }
    for (let at = this.#size + 1; at < bytes.length; at++) {
      const behind = readBatch(bytes, at);
      if (behind && behind.changes.length > 0) {
        const what = `the file is damaged at byte ${this.#size}, and goes on at byte ${at}`;
        throw new ClientError("STORAGE_BROKEN", what);
      }
    }
    // What a crash cut off goes away, so that the next batch follows a whole one.
    this.#torn = this.#size < bytes.length;
    await this.#mend();
    return new Map(this.#kept);
  }

  async save(changes: Changes): Promise<void> {
    const before = [...changes.keys()].map((key) => [key, this.#kept.get(key)] as const);
    this.#keep(changes);
    try {
      await this.#write(changes);
    } catch (error) {
      this.#keep(before);
      throw error;
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  #keep(changes: Iterable<readonly [string, Bytes | undefined]>): void {
    for (const [key, value] of changes) {
      this.#live += (value?.length ?? 0) - (this.#kept.get(key)?.length ?? 0);
      if (value) this.#kept.set(key, value);
      else this.#kept.delete(key);
    }
  }

  async #write(changes: Changes): Promise<void> {
    const batch = writeBatch(changes);
    const size = this.#size + batch.length;
    if (size > this.#large && size > 3 * this.#live && await this.#rewrite()) return;
    await this.#mend();
    // Until it is known to be there, it is a part of one.
    this.#torn = true;
    try {
      this.#file ??= await open(this.path, "a", OWNER_ONLY);
      await this.#file.appendFile(batch);
      await this.#file.sync();
    } catch (error) {
      // Tried again before the next batch, where this fails.
      await this.#mend().catch(() => {});
      throw error;
    }
    this.#torn = false;
    this.#size = size;
  }

  /** Cuts off what follows the whole batches. */
  async #mend(): Promise<void> {
    if (!this.#torn) return;
    await this.close();
    await truncate(this.path, this.#size).catch((error: { code?: string }) => {
      if (this.#size > 0 || error.code !== "ENOENT") throw error;
    });
    this.#torn = false;
  }

  /** Writes a new file beside the old one, and puts it in its place. False: the old one stays. */
  async #rewrite(): Promise<boolean> {
    const batch = writeBatch(this.#kept);
    const fresh = `${this.path}.new`;
    try {
      await this.close();
      const file = await open(fresh, "w", OWNER_ONLY);
      try {
        await file.writeFile(batch);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(fresh, this.path);
    } catch {
      // There is no room for two perhaps; the old one can still grow.
      await rm(fresh, { force: true }).catch(() => {});
      this.#large = 2 * this.#size;
      return false;
    }
    this.#torn = false;
    this.#size = batch.length;
    this.#large = WORTH_COMPACTING;
    return true;
  }
}

function writeBatch(changes: Changes): Bytes {
  const w = new Writer(1024);
  for (const [key, value] of changes) {
    const name = utf8Bytes(key);
    w.u16(name.length).bytes(name).u8(value ? 1 : 0);
    if (value) w.u32(value.length).bytes(value);
  }
  const body = w.finish();
  return concat(new Writer(HEADER).u32(body.length).u32(crc32(body)).finish(), body);
}

interface Batch {
  readonly changes: readonly (readonly [string, Bytes | undefined])[];
  /** Where the next one begins. */
  readonly end: number;
}

/** Reads the batch that begins `at` this byte; nothing where there is no whole one. */
function readBatch(bytes: Uint8Array, at: number): Batch | undefined {
  try {
    const r = new Reader(bytes.subarray(at));
    const length = r.u32();
    const checksum = r.u32();
    if (length > r.left) return undefined;
    const body = r.bytes(length);
    const entries = new Reader(body);
    const changes: [string, Uint8Array | undefined][] = [];
    // The form first: where something is looked for, a checksum of everything would take long.
    while (entries.left > 0) {
      const key = entries.text(entries.u16());
      const flag = entries.u8();
      if (flag > 1) return undefined;
      changes.push([key, flag === 1 ? entries.bytes(entries.u32()) : undefined]);
    }
    if (crc32(body) !== checksum) return undefined;
    return {
      changes: changes.map(([key, value]) => [key, value?.slice()]),
      end: at + r.offset,
    };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
