/**
 * Keeps a device in IndexedDB, in browsers.
 *
 * Only the slice of IndexedDB that is used is declared here, so every type check sees this file,
 * with the DOM's types or without.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import type { Changes, DeviceStorage } from "./storage.ts";

interface IdbRequest<T> {
  readonly result: T;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}

interface IdbStore {
  getAll(): IdbRequest<Bytes[]>;
  getAllKeys(): IdbRequest<unknown[]>;
  put(value: Bytes, key: string): void;
  delete(key: string): void;
}

interface IdbTransaction {
  readonly error: Error | null;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
  objectStore(name: string): IdbStore;
}

interface IdbDatabase {
  createObjectStore(name: string): void;
  transaction(
    store: string,
    mode?: "readwrite",
    options?: { durability: "strict" },
  ): IdbTransaction;
  close(): void;
}

interface Idb {
  open(name: string, version: number): IdbRequest<IdbDatabase> & {
    onupgradeneeded: (() => void) | null;
  };
}

/** Web Locks: of one origin, over all its pages and workers. */
interface Locks {
  request(
    name: string,
    options: { ifAvailable: true } | { signal: AbortSignal },
    run: (lock: object | null) => Promise<void> | undefined,
  ): Promise<void>;
}

const STORE = "device";

/** `name`: of the database in this browser; each device and group needs its own. */
export function indexedDbStorage(name: string): DeviceStorage {
  let opening: Promise<IdbDatabase> | undefined;
  const opened = () => opening ??= openDatabase(name);
  let release = () => {};
  return {
    async load() {
      const store = (await opened()).transaction(STORE).objectStore(STORE);
      const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
      return new Map(keys.map((key, i) => [String(key), values[i]!]));
    },
    async save(changes: Changes) {
      const strict = { durability: "strict" } as const;
      const transaction = (await opened()).transaction(STORE, "readwrite", strict);
      const store = transaction.objectStore(STORE);
      for (const [key, value] of changes) {
        if (value) store.put(value, key);
        else store.delete(key);
      }
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
      });
    },
    hold(busy, signal) {
      const { locks } = (globalThis as { navigator?: { locks?: Locks } }).navigator ?? {};
      // Pages that were not loaded over TLS have none.
      if (!locks) return Promise.resolve();
      const held = Promise.withResolvers<void>();
      const wait = () => locks.request(`blaze/${name}`, { signal }, keep).catch(held.reject);
      const keep = () => {
        held.resolve();
        return new Promise<void>((free) => release = free);
      };
      locks.request(`blaze/${name}`, { ifAvailable: true }, (lock) => {
        if (lock) return keep();
        busy();
        void wait();
      }).catch(held.reject);
      return held.promise;
    },
    async close() {
      (await opened()).close();
      release();
    },
  };
}

async function openDatabase(name: string): Promise<IdbDatabase> {
  const { indexedDB } = globalThis as unknown as { indexedDB: Idb };
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return await done(request);
}

const done = <T>(request: IdbRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
