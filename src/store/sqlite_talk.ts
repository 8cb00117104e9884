/**
 * What the two halves of the SQLite engine say to each other: batches of requests to the worker, one
 * answer to each batch. Frames travel beside them, joined in one buffer that changes hands.
 *
 * @module
 */
import type { Bytes } from "../wire/bytes.ts";
import type { LogName, LogState, StoreLimits } from "./store.ts";

/** How a worker begins. */
export interface SqliteSetup {
  readonly path: string;
  readonly limits: StoreLimits;
  /** What is at the path is a file of logs, also where it is too broken to show that. */
  readonly ours?: boolean;
  /** Most pages that the file may have; as many as the disk takes unless given. */
  readonly maxPages?: number;
  /** Milliseconds that each batch takes more: a slow disk, for tests. */
  readonly delayMs?: number;
}

/** Sequences are numbers here: what lies beyond 2^53 is cut to that, and is never reached. */
export type SqliteRequest =
  | { kind: "open"; log: LogName; key: Uint8Array; create: boolean }
  /** Frames of these lengths, one after the other; `at` and `closing` are of the first, alone then. */
  | { kind: "append"; log: LogName; lengths: readonly number[]; at: number; closing: boolean }
  | { kind: "read"; log: LogName; after: number; most: number }
  | { kind: "hashAt"; log: LogName; sequence: number }
  | { kind: "truncate"; log: LogName; before: number }
  | { kind: "sweep"; watched: readonly LogName[] };

export type SqliteReply =
  | { kind: "state"; state: LogState | undefined }
  /** All but those for which there was no room, by their places, from this number on. */
  | { kind: "appended"; first: number; full: readonly number[] }
  | { kind: "moved"; last: number }
  | { kind: "entries"; sequences: readonly number[]; lengths: readonly number[] }
  | { kind: "hash"; hash: Bytes | undefined }
  /** `more`: there is more of the same to do. */
  | { kind: "done"; more: boolean }
  | { kind: "failed"; message: string };

export interface SqliteBatch {
  readonly requests: readonly SqliteRequest[];
  /** The frames of all appends, joined. */
  readonly frames: Bytes;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export interface SqliteAnswer {
  readonly replies: readonly SqliteReply[];
  /** The frames of all reads, joined. */
  readonly frames: Bytes;
  /** Something that whoever runs the relay has to know. */
  readonly notice?: string;
  /** The file was broken, and began anew: no log is what it was. */
  readonly anew?: boolean;
  /** Why there is no file any more to keep anything in; the worker is of no use then. */
  readonly over?: string;
  /** Whether the file's name has gone from under it; not in every answer. */
  readonly gone?: boolean;
}

/** What comes from the worker. */
export type SqliteMessage =
  | { kind: "ready"; notice?: string }
  | { kind: "refused"; why: "unwritable" | "taken" | "foreign" | "failed"; message: string }
  | ({ kind: "answer" } & SqliteAnswer)
  | { kind: "closed" };
