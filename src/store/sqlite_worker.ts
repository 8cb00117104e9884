/**
 * The worker of the SQLite engine: an entry point of its own. It owns the file; a disk that takes its
 * time keeps nobody waiting but this thread.
 *
 * @module
 */
import { statSync } from "node:fs";
import { concatAll } from "../wire/bytes.ts";
import { SqliteEngine } from "./sqlite_engine.ts";
import { isCorrupt, StoreError, unknown } from "./sqlite_errors.ts";
import { moveAside, openFile, pragmaOf, showsOurs } from "./sqlite_file.ts";
import type { SqliteAnswer, SqliteBatch, SqliteMessage, SqliteSetup } from "./sqlite_talk.ts";
import { reasonOf } from "./store.ts";

/** The other half, as a worker sees it. */
const other = globalThis as unknown as {
  onmessage: (event: { readonly data: SqliteSetup | SqliteBatch | "close" }) => void;
  postMessage(message: SqliteMessage, transfer: readonly ArrayBuffer[]): void;
};

const say = (message: SqliteMessage, buffer?: ArrayBuffer) =>
  other.postMessage(message, buffer ? [buffer] : []);

let setup: SqliteSetup;
let engine: SqliteEngine;
/** The file that is open, as the disk knows it. */
let inode = 0;
/** Milliseconds from one look whether it has its name still to the next, and when the last one was. */
const LOOK_MS = 60_000;
let lookedAt: number | undefined;

function open(): SqliteEngine {
  const { path, limits, maxPages = 0 } = setup;
  const db = openFile(path);
  inode = inodeOf(path) ?? 0;
  if (maxPages > 0) pragmaOf(db, `max_page_count = ${maxPages}`);
  return new SqliteEngine(db, limits);
}

/** Nothing where no file is. */
function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    return inode;
  }
}

/** Whether somebody has deleted the file, or put another in its place; nothing until it is time to look. */
function gone(now: number): boolean | undefined {
  if (lookedAt !== undefined && now >= lookedAt && now - lookedAt < LOOK_MS) return undefined;
  lookedAt = now;
  return inodeOf(setup.path) !== inode;
}

/** Puts the broken file aside and begins a new one. Answers how to say so. */
function anew(why: unknown): string {
  const { path } = setup;
  const to = moveAside(path, new Date());
  engine = open();
  return `the file of logs ${path} is broken (${reasonOf(why)}): it is ${to} now, and a new one ` +
    "begins. Devices bring what they have again; what only the file had is gone";
}

function begin(): SqliteMessage {
  try {
    engine = open();
    return { kind: "ready" };
  } catch (error) {
    try {
      if (!isCorrupt(error)) throw error;
      if (!setup.ours && !showsOurs(setup.path)) throw unknown(setup.path);
      return { kind: "ready", notice: anew(error) };
    } catch (error) {
      const why = error instanceof StoreError ? error.kind : "failed";
      return { kind: "refused", why, message: reasonOf(error) };
    }
  }
}

function run(batch: SqliteBatch): SqliteAnswer {
  try {
    const answer = engine.run(batch);
    const swept = batch.requests.some(({ kind }) => kind === "sweep") && engine.vacuum();
    if (!swept) return answer;
    const replies = answer.replies.map((reply) =>
      reply.kind === "done" ? { ...reply, more: true } : reply
    );
    return { ...answer, replies };
  } catch (error) {
    const failed = { kind: "failed" as const, message: reasonOf(error) };
    const answer = { replies: batch.requests.map(() => failed), frames: concatAll([]) };
    if (!isCorrupt(error)) return answer;
    try {
      engine.close();
    } catch {
      // There is nothing in it that closing could save.
    }
    try {
      return { ...answer, notice: anew(error), anew: true };
    } catch (failed) {
      return {
        ...answer,
        over: `${reasonOf(error)}, and no new one can begin: ${reasonOf(failed)}`,
      };
    }
  }
}

const asleep = new Int32Array(new SharedArrayBuffer(4));

other.onmessage = ({ data }) => {
  if (data === "close") {
    engine.close();
    return say({ kind: "closed" });
  }
  if ("path" in data) {
    setup = data;
    return say(begin());
  }
  if (setup.delayMs) Atomics.wait(asleep, 0, 0, setup.delayMs);
  const lost = gone(data.now);
  const answer = { ...run(data), ...(lost !== undefined && { gone: lost }) };
  say({ kind: "answer", ...answer }, answer.frames.buffer);
};
