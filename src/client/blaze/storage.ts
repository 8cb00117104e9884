/**
 * Where a device keeps what must outlive the program: its keys, its group, its records and what waits
 * to be sent. Two calls, so that anything can be one: memory, a file, IndexedDB.
 *
 * What is stored is not encrypted: it needs the protection that the device gives its files.
 *
 * @module
 */
import { type Bytes } from "../../wire/bytes.ts";
import { ClientError, faultOf } from "../client_error.ts";

/** Changes to make together; `undefined` removes. */
export type Changes = ReadonlyMap<string, Bytes | undefined>;

export interface DeviceStorage {
  /** Everything that was saved. Called once, before anything is saved. */
  load(): Promise<Map<string, Bytes>>;
  /** All of the changes or none of them. One call at a time. */
  save(changes: Changes): Promise<void>;
  /**
   * For a device that must not run twice: waits until nobody else holds this, and holds it until `close`
   * or the end of the program. `busy` is called once where it has to wait. Rejects when `signal` aborts.
   */
  hold?(busy: () => void, signal: AbortSignal): Promise<void>;
  /** Lets go of files and connections. */
  close?(): void | Promise<void>;
}

/** Keeps everything as long as the program runs. `from`: what it begins with. */
export function memoryStorage(from: Iterable<[string, Bytes]> = []): DeviceStorage {
  const kept = new Map(from);
  return {
    load: () => Promise.resolve(new Map(kept)),
    save(changes) {
      for (const [key, value] of changes) {
        if (value) kept.set(key, value);
        else kept.delete(key);
      }
      return Promise.resolve();
    },
  };
}

/** Collects changes and saves them one batch after the other. */
export class Saver {
  #dirty = new Map<string, Bytes | undefined>();
  #saving: Promise<void> | undefined;
  #closed = false;

  constructor(private readonly storage: DeviceStorage) {}

  set(key: string, value: Bytes | undefined): void {
    this.#dirty.set(key, value);
  }

  /** Resolves once everything set so far is saved. Throws `STORAGE_FAILED`; the next call tries again. */
  async flush(): Promise<void> {
    // What is being saved now may not hold what was set last: then once more.
    while (this.#saving) await this.#saving.catch(() => {});
    // After the end nothing is written: the storage may be somebody else's by now.
    if (this.#dirty.size === 0 || this.#closed) return;
    const changes = this.#dirty;
    this.#dirty = new Map();
    this.#saving = this.#save(changes).finally(() => this.#saving = undefined);
    await this.#saving;
  }

  async #save(changes: Changes): Promise<void> {
    try {
      await this.storage.save(changes);
    } catch (error) {
      this.#dirty = new Map([...changes, ...this.#dirty]);
      throw new ClientError("STORAGE_FAILED", faultOf(error).message);
    }
  }

  /** Saves what is left, and lets go of the storage in any case. Throws `STORAGE_FAILED`. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.#closed = true;
      await this.storage.close?.();
    }
  }
}
