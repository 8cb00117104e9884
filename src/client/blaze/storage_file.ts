/**
 * Keeps a device in a file, on Bun and Deno: a journal that is appended to, and written anew when most
 * of it is out of date. Browsers do not load this file.
 *
 * Each entry is one batch: u32 length of what follows the checksum, u32 CRC-32 of that, then for each
 * change u16 length and key (UTF-8), u8 1 and u32 length and value, or u8 0 for a removed key. A batch
 * that was cut off by a crash, at the end of the file, counts as never written.
 *
 * @module
 */
import { type FileHandle, open, readFile, rename } from "node:fs/promises";
import { type Bytes, concat, Reader, utf8Bytes, WireError, Writer } from "../../wire/bytes.ts";
import { crc32 } from "../../wire/zlib.ts";
import type { Changes, DeviceStorage } from "./storage.ts";

/** A journal of less is not worth writing anew. */
const WORTH_COMPACTING = 1_048_576;
const OWNER_ONLY = 0o600;

export function fileStorage(path: string): DeviceStorage {
  return new Journal(path);
}

class Journal implements DeviceStorage {
  readonly #kept = new Map<string, Bytes>();
  #file: FileHandle | undefined;
  /** Bytes of the file, and those of them that are not out of date. */
  #size = 0;
  #live = 0;

  constructor(private readonly path: string) {}

  async load(): Promise<Map<string, Bytes>> {
    const file = await readFile(this.path).catch((error: { code?: string }) => {
      if (error.code === "ENOENT") return new Uint8Array();
      throw error;
    });
    // A Buffer cuts slices that share its memory.
    const bytes = new Uint8Array(file);
    let at = 0;
    while (at < bytes.length) {
      const length = readBatch(bytes.subarray(at), (key, value) => this.#keep(key, value));
      if (length === 0) break;
      at += length;
    }
    // What a crash cut off goes away, so that the next batch follows a whole one.
    await this.#rewrite();
    return new Map(this.#kept);
  }

  async save(changes: Changes): Promise<void> {
    for (const [key, value] of changes) this.#keep(key, value);
    const batch = writeBatch(changes);
    this.#size += batch.length;
    if (this.#size > WORTH_COMPACTING && this.#size > 3 * this.#live) return this.#rewrite();
    this.#file ??= await open(this.path, "a", OWNER_ONLY);
    await this.#file.appendFile(batch);
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  #keep(key: string, value: Bytes | undefined): void {
    this.#live += (value?.length ?? 0) - (this.#kept.get(key)?.length ?? 0);
    if (value) this.#kept.set(key, value);
    else this.#kept.delete(key);
  }

  /** Writes a new file beside the old one, and puts it in its place. */
  async #rewrite(): Promise<void> {
    await this.close();
    const batch = this.#kept.size > 0 ? writeBatch(this.#kept) : new Uint8Array();
    const fresh = `${this.path}.new`;
    const file = await open(fresh, "w", OWNER_ONLY);
    await file.writeFile(batch);
    await file.sync();
    await file.close();
    await rename(fresh, this.path);
    this.#size = batch.length;
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
  return concat(new Writer(8).u32(body.length).u32(crc32(body)).finish(), body);
}

/** Reads one batch and answers its length, or 0 where there is no whole one. */
function readBatch(
  bytes: Uint8Array,
  keep: (key: string, value: Bytes | undefined) => void,
): number {
  try {
    const r = new Reader(bytes);
    const length = r.u32();
    const checksum = r.u32();
    const body = r.bytes(length);
    if (crc32(body) !== checksum) return 0;
    const entries = new Reader(body);
    while (entries.left > 0) {
      const key = entries.text(entries.u16());
      keep(key, entries.u8() === 1 ? entries.bytes(entries.u32()).slice() : undefined);
    }
    return r.offset;
  } catch (error) {
    if (error instanceof WireError) return 0;
    throw error;
  }
}
