/**
 * Searches the memory of another process, on Linux.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import process from "node:process";

const PAGE = 4096;
/** Pages read at once. */
const CHUNK = 2048;

/** Reads the memory of a process piece by piece: what was written to, and has pages. */
function* pieces(pid: number): Generator<Uint8Array> {
  // Not what is mapped from files and cannot be written: programs and libraries.
  const regions = readFileSync(`/proc/${pid}/maps`, "latin1").split("\n")
    .filter((line) => /^\S+ rw|^\S+ r\S+ \S+ \S+ 0 /.test(line))
    .filter((line) => !/\[v(?:var|syscall|dso)/.test(line))
    .map((line) => line.split(" ")[0]!.split("-").map((text) => parseInt(text, 16) / PAGE));
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const [start, end] of regions) yield* present(memory, pagemap, start!, end!);
  } finally {
    closeSync(memory);
    closeSync(pagemap);
  }
}

/** Runs of pages that are there, between two page numbers: runtimes reserve far more than they use. */
function* present(
  memory: number,
  pagemap: number,
  start: number,
  end: number,
): Generator<Uint8Array> {
  const entries = new Uint8Array(8 * CHUNK);
  for (let from = start; from < end; from += CHUNK) {
    const count = Math.min(CHUNK, end - from);
    readSync(pagemap, entries, 0, 8 * count, 8 * from);
    // The two highest bits of an entry: in memory, or swapped out.
    const there = (page: number) => page < count && (entries[8 * page + 7]! & 0xc0) !== 0;
    for (let page = 0; page < count; page++) {
      if (!there(page)) continue;
      const first = page;
      while (there(page + 1)) page++;
      // One page more, so that nothing is missed where two pieces meet.
      const more = from + page + 1 < end ? 2 : 1;
      const piece = new Uint8Array((page + more - first) * PAGE);
      try {
        readSync(memory, piece, 0, piece.length, (from + first) * PAGE);
        yield piece;
      } catch {
        // A page that cannot be read, such as one of a device.
      }
    }
  }
}

/**
 * Which of the patterns are in the memory of a process, and how many bytes were searched. One pass for any
 * number of patterns: the first three bytes tell which of them to look at. Patterns have
 * a page at most.
 */
export function search(
  pid: number,
  patterns: ReadonlyMap<string, Uint8Array>,
): { found: string[]; bytes: number } {
  const beginnings = new Uint8Array(1 << 24);
  const candidates = new Map<number, { name: string; pattern: Uint8Array }[]>();
  for (const [name, pattern] of patterns) {
    const key = pattern[0]! << 16 | pattern[1]! << 8 | pattern[2]!;
    beginnings[key] = 1;
    candidates.set(key, [...candidates.get(key) ?? [], { name, pattern }]);
  }
  const found = new Set<string>();
  let bytes = 0;
  for (const piece of pieces(pid)) {
    bytes += piece.length;
    let key = 0;
    for (let i = 0; i < piece.length; i++) {
      key = (key << 8 | piece[i]!) & 0xffffff;
      if (beginnings[key] === 0 || i < 2) continue;
      for (const { name, pattern } of candidates.get(key)!) {
        if (isAt(piece, i - 2, pattern)) found.add(name);
      }
    }
  }
  return { found: [...found], bytes };
}

function isAt(bytes: Uint8Array, at: number, pattern: Uint8Array): boolean {
  if (at + pattern.length > bytes.length) return false;
  for (let i = 3; i < pattern.length; i++) if (bytes[at + i] !== pattern[i]) return false;
  return true;
}

/** The ways in which a text may lie in memory: raw, UTF-16, hexadecimal, base64. */
export function forms(name: string, secret: Uint8Array): [string, Uint8Array][] {
  const raw = Buffer.from(secret);
  // Base64 of the bytes from each of the three positions, without the ends that its neighbours change.
  const base64 = [0, 1, 2].map((skip): [string, Uint8Array] => {
    const whole = raw.subarray(skip, raw.length - (raw.length - skip) % 3);
    return [`${name} in base64, from ${skip}`, Buffer.from(whole.toString("base64"))];
  });
  const text = raw.toString("latin1");
  return [
    [name, raw],
    [`${name} in UTF-16`, Buffer.from(text, "utf16le")],
    [`${name} in hexadecimal`, Buffer.from(raw.toString("hex"))],
    ...base64,
  ];
}

/** Why the memory of a child process cannot be read here; nothing if it can. */
export async function cannotSearch(): Promise<string | undefined> {
  if (process.platform !== "linux") return "only Linux shows the memory of a process";
  const child = spawn("sleep", ["30"]);
  try {
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    const { bytes } = search(child.pid!, new Map([["ELF", Buffer.from("\x7fELF")]]));
    return bytes > 0 ? undefined : "the memory of a child process reads as nothing";
  } catch (error) {
    return `run as root or with ptrace allowed: ${error}`;
  } finally {
    child.kill("SIGKILL");
  }
}
