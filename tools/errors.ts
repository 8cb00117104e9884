/**
 * The error logger: everything that goes wrong on a stream or in a capture, with the bytes at fault.
 *
 * @module
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { fail, readArgs } from "./args.ts";
import { interrupted } from "./interrupt.ts";
import { type Complaint, complaintsOf } from "./error_log.ts";
import { type Direction, readCapture } from "./inspect/capture.ts";
import { proxy, type Tap, watch } from "./inspect/live.ts";

const { flags, rest } = readArgs({
  command: "errors [CAPTURE] [flags]",
  about:
    "Reports what goes wrong: messages that do not follow their protocol, error messages with\n" +
    "their codes in words, and links that close badly. In a capture of `inspect --save`, on a link\n" +
    "(--url), or of other programs (--listen).",
  most: 1,
  flags: {
    url: { help: "watch a link: ws://127.0.0.1:8080/ecg/demo", fallback: "" },
    listen: { help: "port of a proxy in front of --url, for both directions", fallback: 0 },
    token: { help: "token for --url; TOKEN in the environment does too", fallback: "" },
    log: { help: "append to this file as well, a line of JSON each", fallback: "" },
    seconds: { help: "end after so many; 0 goes on", fallback: 0 },
  },
});

let messages = 0;
let complaints = 0;
const byCode = new Map<string, number>();

function report(where: string, complaint: Complaint): void {
  complaints++;
  byCode.set(complaint.code, (byCode.get(complaint.code) ?? 0) + 1);
  const { code, text, detail } = complaint;
  console.log(`${where} ${code} ${text}${detail.map((line) => `\n    ${line}`).join("")}`);
  if (flags.log) {
    const line = { time: new Date().toISOString(), where, ...complaint };
    appendFileSync(flags.log, JSON.stringify(line) + "\n");
  }
}

function check(where: string, direction: Direction | undefined, bytes: Uint8Array): void {
  messages++;
  for (const complaint of complaintsOf(bytes, direction)) report(where, complaint);
}

function summary(): void {
  const codes = [...byCode].map(([code, count]) => `${code} ${count} times`).join(", ");
  console.log(`${messages} messages, ${complaints} complaints${codes && `: ${codes}`}`);
}

if (flags.url) await live(flags.url);
else if (rest[0] === undefined) fail("Name a capture, or give --url. --help shows how.");
else {
  if (!existsSync(rest[0])) fail(`${rest[0]}: no such file.`);
  const captured = readCapture(readFileSync(rest[0], "utf8")) ??
    fail(`${rest[0]}: no capture; \`inspect --save\` makes one.`);
  captured.forEach(({ direction, bytes }, i) =>
    check(`message ${i + 1} ${direction ?? ""}`, direction, bytes)
  );
  summary();
  process.exit(complaints > 0 ? 1 : 0);
}

async function live(address: string): Promise<void> {
  const url = URL.parse(address) ?? fail(`--url ${address}: no address.`);
  const where = (link: number, direction: string) =>
    `${new Date().toISOString()} ${link > 0 ? `link ${link} ` : ""}${direction}`;
  const tap: Tap = {
    message: (link, direction, bytes) => check(where(link, direction), direction, bytes),
    closed(link, code, reason) {
      if (code === 1000 || code === 1001) return;
      report(where(link, "-"), { code: `close ${code}`, text: reason, detail: [] });
    },
  };
  const end = () => {
    summary();
    process.exit(0);
  };
  interrupted().addEventListener("abort", end);
  if (flags.seconds > 0) setTimeout(end, 1000 * flags.seconds);
  if (flags.listen > 0) {
    const port = await proxy(url, flags.listen, tap);
    console.log(`ws://127.0.0.1:${port} passes everything on to ${url.origin}`);
    return;
  }
  const token = flags.token || process.env.TOKEN || undefined;
  await watch(url, token, tap).catch((error: Error) => fail(error.message));
  end();
}
