/**
 * Files of logs for tests: in a folder of their own, which goes again.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqlite, type SqliteOptions } from "../../src/store/sqlite.ts";
import type { Append, LogName, LogStore, StoreLimits } from "../../src/store/store.ts";
import type { Bytes } from "../../src/wire/bytes.ts";

const DAY_MS = 86_400_000;

export const STORE_LIMITS: StoreLimits = {
  logBytes: 67_108_864,
  tenantLogBytes: 1_073_741_824,
  logGraceMs: DAY_MS,
  logIdleMs: 90 * DAY_MS,
  logClosedMs: 30 * DAY_MS,
};

/** Hands over the path of a file that is not there yet, in a folder that is. */
export async function withStorePath(run: (path: string) => Promise<void> | void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "blaze-store-"));
  try {
    await run(join(folder, "relay.db"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens a file of logs, hands the store over, and closes it whatever happens. */
export async function withSqlite<T>(
  path: string,
  run: (store: LogStore) => Promise<T>,
  options: Partial<SqliteOptions> = {},
): Promise<T> {
  const store = await openSqlite({ path, limits: STORE_LIMITS, ...options });
  try {
    return await run(store);
  } finally {
    await store.close();
  }
}

/** Opens a new file of logs, which goes when the store is closed. */
export async function openTemporary(options: Omit<SqliteOptions, "path">): Promise<LogStore> {
  const folder = mkdtempSync(join(tmpdir(), "blaze-store-"));
  const store = await openSqlite({ ...options, path: join(folder, "relay.db") });
  const close = store.close.bind(store);
  store.close = async () => {
    await close();
    rmSync(folder, { recursive: true, force: true });
  };
  return store;
}

/** A log by a number below 256. */
export const logNamed = (n: number, tenant = "default"): LogName => ({
  tenant,
  id: n.toString(16).padStart(2, "0").repeat(16),
});

export const OWNERS_KEY: Bytes = new Uint8Array(32).fill(7);

/** Bytes that nobody mixes up: their number first, then as many as asked for. */
export function frameOf(n: number, length = 32): Bytes {
  const frame: Bytes = new Uint8Array(Math.max(4, length)).fill(n & 0xff);
  new DataView(frame.buffer).setUint32(0, n);
  return frame;
}

export const plain = (frame: Bytes, at = 0n): Append => ({ frame, at, closing: false });
