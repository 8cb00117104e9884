/**
 * What every store of logs is: an engine that keeps frames in order, and knows nothing of what they
 * say. One suite (`test/store.test.ts`) holds each engine to this page.
 *
 * A log is a list of frames, numbered from 1. Its chain hash after entry n is
 * SHA-256(hash after n − 1 ‖ frame n); before the first entry it is SHA-256(`BX2 log` ‖ log id).
 *
 * @module
 */
import type { Bytes } from "../wire/bytes.ts";

/** How safe an entry is once it was appended. */
export const Durability = {
  /** As long as the process lives. */
  memory: 0,
  /** Survives the process; a power cut may take the last seconds. */
  process: 1,
  /** On disk, as far as the disk says so (fsync). */
  disk: 2,
  /** On more than one machine. */
  replicated: 3,
} as const;
export type Durability = (typeof Durability)[keyof typeof Durability];

/** `memory`, `process`, `disk` or `replicated`. */
export const durabilityName = (durability: Durability): string =>
  Object.keys(Durability).find((name) =>
    Durability[name as keyof typeof Durability] === durability
  )!;

export interface LogName {
  readonly tenant: string;
  /** 32 hexadecimal digits. */
  readonly id: string;
}

/** A log as it stands. */
export interface LogState {
  /** 8 bytes, random: one unbroken life of this log. Another ring promises nothing of this one. */
  readonly ring: Bytes;
  /** The oldest entry that is kept: 1 unless it was truncated. One above `last` while there is none. */
  readonly first: bigint;
  /** The newest entry; 0 before there is one. */
  readonly last: bigint;
  /** Chain hash before `first`: 32 bytes. */
  readonly before: Bytes;
  /** Bytes of the frames that are kept. */
  readonly bytes: number;
  /** An entry was appended with `closing`. A hint, and nothing is refused for it. */
  readonly closed: boolean;
}

export interface Entry {
  readonly sequence: bigint;
  readonly frame: Bytes;
  /** As it was appended with; in {@linkcode LogStore.watch} only, of what this process appended. */
  readonly envelope?: Bytes;
}

/** What to append. */
export interface Append {
  readonly frame: Bytes;
  /** The number that the entry must get, or 0 for whichever comes: compare and set. */
  readonly at: bigint;
  /** It closes the log: retention begins. */
  readonly closing: boolean;
  /**
   * The message that the frame came in, for those who watch: they may write into what is before the frame
   * in it. With it the frame is the store's to keep: nobody else writes there, and it is no part of
   * anything much larger.
   */
  readonly envelope?: Bytes;
}

/**
 * - `appended`: it is as safe as {@linkcode LogStore.durability} says.
 * - `moved`: the log is further than `at`, or not so far; `last` says where it is.
 * - `full`: the log's or the tenant's quota is used up. Nothing was lost for it. The first entry that
 *   closes a log needs the tenant's room only: one can always go on in another log.
 */
export type Appended =
  | { readonly kind: "appended"; readonly sequence: bigint }
  | { readonly kind: "moved"; readonly last: bigint }
  | { readonly kind: "full" };

export interface LogStore {
  readonly durability: Durability;
  /** Why nothing can be kept now, or not as safely as said, in words for whoever runs the relay. */
  readonly trouble?: string | undefined;
  /**
   * The log of this name. `key`: SHA-256 of what its owners show; the first one that creates it sets it.
   * Nothing comes back for a wrong key, and for one that is not there unless `create`. A log that was
   * closed stays: what is below its first closing entry goes after a time. That entry, what follows it and
   * its state never do, so that nobody begins it again, and no entry is missing between two others.
   * Nothing comes back either where the tenant has no room for one more.
   */
  open(log: LogName, key: Bytes, create: boolean): Promise<LogState | undefined>;
  /**
   * Appends to a log that was opened. In the order of the calls. An engine that needs no time answers at
   * once; when it fails, a promise says so.
   */
  append(log: LogName, append: Append): Appended | Promise<Appended>;
  /** Entries above `after`, in order, up to `most` bytes of frames but at least one if there is one. */
  read(log: LogName, after: bigint, most: number): Promise<Entry[]>;
  /** Chain hash after this entry, 32 bytes; nothing where that is not kept any more or not yet. */
  hashAt(log: LogName, sequence: bigint): Promise<Bytes | undefined>;
  /** Entries below this number may go, once the grace time is over. */
  truncate(log: LogName, before: bigint): Promise<void>;
  /**
   * Hears every entry that is appended from now on, whoever appends it: in order, without a hole, once it
   * is as safe as it gets, and before `append` has answered. `lost` runs where that holds no more: entries
   * may be missing, or the log is not there, or is another one under its name. Whoever watches opens it
   * again. Answers how to stop.
   */
  watch(log: LogName, heard: (entries: readonly Entry[]) => void, lost?: () => void): () => void;
  /** Lets go of what is due: truncated entries, contents of closed logs, logs that nobody uses. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/** Why an engine failed, in words. No stack: more often than ours it is the disk's fault. */
export const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** What an entry counts for in quotas beside its frame: nobody fills a store with empty ones. */
export const ENTRY_BYTES = 128;
/** What a log counts for in its tenant's quota beside its entries: what it costs in memory. */
export const LOG_BYTES = 4096;

/** Numbers that an engine obeys, as in `src/limits.ts`. */
export interface StoreLimits {
  readonly logBytes: number;
  readonly tenantLogBytes: number;
  /** How long truncated entries stay. */
  readonly logGraceMs: number;
  /** A log that nobody opened so long goes, unless it was closed. */
  readonly logIdleMs: number;
  /** Entries below a closed log's first closing one stay so long. */
  readonly logClosedMs: number;
}
