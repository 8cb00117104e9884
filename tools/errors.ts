/**
 * The error logger: everything that goes wrong on a stream or in a capture, with the bytes at fault.
 *
 * @module
 */
import process from "node:process";
import { utf8Text } from "../src/wire/bytes.ts";
import { fail, readArgs } from "./args.ts";
import { type Complaint, complaintsOf } from "./error_log.ts";
import { appendTo, readOrFail } from "./files.ts";
import { type Direction, readCapture } from "./inspect/capture.ts";
import { follow, LIVE_FLAGS } from "./inspect/live.ts";
import type { Tap } from "./inspect/wiretap.ts";
import { interrupted } from "./interrupt.ts";
import { say } from "./say.ts";

const { flags, rest, misplaced } = readArgs({
  command: "errors [CAPTURE] [flags]",
  about:
    "Reports what goes wrong: messages that do not follow their protocol, error messages with\n" +
    "their codes in words, and links that close badly or cannot be had. In a capture of\n" +
    "`inspect --save`, on a link (--url), or of other programs (--listen).",
  most: 1,
  flags: {
    ...LIVE_FLAGS,
    log: { help: "append to this file as well, a line of JSON each", fallback: "" },
    seconds: { help: "end after so many; 0 goes on", fallback: 0, least: 0, most: 2_000_000 },
  },
});

/** Ends that are nobody's fault: with a code for it, or without any. */
const GOOD_ENDS = [1000, 1001, 1005];

const log = flags.log ? appendTo(flags.log) : undefined;
let messages = 0;
let complaints = 0;
const byCode = new Map<string, number>();

function report(where: string, complaint: Complaint): void {
  complaints++;
  byCode.set(complaint.code, (byCode.get(complaint.code) ?? 0) + 1);
  const { code, text, detail } = complaint;
  say(`${where} ${code} ${text}${detail.map((line) => `\n    ${line}`).join("")}`);
  log?.(JSON.stringify({ time: new Date().toISOString(), where, ...complaint }) + "\n");
}

function check(where: string, direction: Direction | undefined, bytes: Uint8Array): void {
  messages++;
  for (const complaint of complaintsOf(bytes, direction)) report(where, complaint);
}

function summary(): void {
  const codes = [...byCode].map(([code, count]) => `${code} ${count} times`).join(", ");
  say(`${messages} messages, ${complaints} complaints${codes && `: ${codes}`}`);
}

if (flags.url) {
  if (rest[0] !== undefined) fail(`${rest[0]} and --url: want one of the two.`);
  await live();
} else if (rest[0] === undefined) fail("Name a capture, or give --url. --help shows how.");
else {
  misplaced(["listen", "token", "seconds"], "goes with --url");
  const captured = captureOf(readOrFail(rest[0])) ??
    fail(`${rest[0]}: no capture; \`inspect --save\` makes one.`);
  captured.forEach(({ direction, bytes }, i) =>
    check(`message ${i + 1} ${direction ?? ""}`, direction, bytes)
  );
  summary();
  process.exit(complaints > 0 ? 1 : 0);
}

function captureOf(bytes: Uint8Array) {
  try {
    return readCapture(utf8Text(bytes));
  } catch {
    return undefined;
  }
}

async function live(): Promise<void> {
  const where = (link: number, direction: string) =>
    `${new Date().toISOString()} ${link > 0 ? `link ${link} ` : ""}${direction}`;
  const tap: Tap = {
    message: (link, direction, bytes) => check(where(link, direction), direction, bytes),
    closed(link, code, reason) {
      if (GOOD_ENDS.includes(code)) return;
      report(where(link, "-"), { code: `close ${code}`, text: reason, detail: [] });
    },
    failed: (link, code, text) => report(where(link, "-"), { code, text, detail: [] }),
  };
  const end = () => {
    summary();
    process.exit(0);
  };
  interrupted(flags.seconds).addEventListener("abort", end);
  await follow(flags, tap);
  if (flags.listen === 0) end();
}
