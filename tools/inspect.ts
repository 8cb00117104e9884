/**
 * The protocol analyzer: names every byte of messages given in hexadecimal, in a file, or live.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { utf8Bytes, utf8Text } from "../src/wire/bytes.ts";
import { fail, readArgs } from "./args.ts";
import { type Captured, captureLine, readCapture } from "./inspect/capture.ts";
import type { Row } from "./inspect/dissector.ts";
import { dissect, dissectors } from "./inspect/dissectors.ts";
import { follow, LIVE_FLAGS } from "./inspect/live.ts";
import { table } from "./inspect/print.ts";
import type { Tap } from "./inspect/wiretap.ts";
import { appendTo, readOrFail } from "./files.ts";
import { say } from "./say.ts";

const names = dissectors.map(({ name }) => name);
const { flags, rest, misplaced } = readArgs({
  command: "inspect [HEX | FILE | -] [flags]",
  about:
    "Names every byte of messages: given in hexadecimal, in a file (bytes, hexadecimal, or a\n" +
    "capture with > and < lines), on a live link (--url), or of other programs (--listen).",
  most: 64,
  flags: {
    as: {
      help: `take them for: ${names.join(", ")}; found out by itself otherwise`,
      fallback: "",
      of: names,
    },
    all: { help: "every item of long lists" },
    brief: { help: "one line a message" },
    ...LIVE_FLAGS,
    count: {
      help: "end after so many messages; 0 goes on",
      fallback: 0,
      least: 0,
      whole: true,
    },
    save: { help: "append what passes on a live link to a capture file", fallback: "" },
  },
});

let shown = 0;

/** What one line has to say of a row; nothing for most. An Extension says itself what it is. */
function brief({ name, value }: Row): string[] {
  if (/^(?:version|type|.*\.code|.*\.message)$/.test(name)) return [`${name} ${value}`];
  const [last] = name.split(/[ .]/).slice(-1);
  if (last === "flags") return value.endsWith("extension") ? [] : [`${last} ${value}`];
  if (!/extension\.(?:subtype|sequence|first|last|count|flag|log|members)$/.test(name)) return [];
  return [last === "subtype" ? value.replace(/^0x\w\w /, "") : `${last} ${value}`];
}

function show(bytes: Uint8Array, title: string): void {
  const { protocol, rows } = dissect(bytes, flags.as || undefined);
  const head = `${title}${protocol}, ${bytes.length} bytes`;
  if (flags.brief) {
    say(`${head}: ${rows.flatMap(brief).join(", ")}`);
  } else {
    say(`${shown > 0 ? "\n" : ""}${head}\n${table(bytes, rows, flags.all)}`);
  }
  shown++;
  if (flags.count > 0 && shown >= flags.count) process.exit(0);
}

if (flags.url) {
  if (rest[0] !== undefined) fail(`"${rest[0]}" and --url: want one of the two.`);
  await live();
} else if (rest.length === 0) {
  fail("Give bytes in hexadecimal, a file, or --url. --help shows how.");
} else {
  misplaced(["listen", "token", "save"], "goes with --url");
  const messages = stored(rest.join(" "));
  messages.forEach(({ bytes, direction }, i) => {
    const title = messages.length > 1 ? `${i + 1} ${direction ?? ""} `.replace("  ", " ") : "";
    show(bytes, title);
  });
}

function stored(what: string): readonly Captured[] {
  if (what === "-") return contents(readOrFail(0));
  const typed = readCapture(what);
  if (typed && !existsSync(what)) return typed;
  // Some protocols are text: JSON of a webview's words, BMP as the document has it.
  if (/^[{<]/.test(what)) return contents(utf8Bytes(what));
  if (!existsSync(what)) return fail(`"${what.slice(0, 60)}": neither hexadecimal nor a file.`);
  return contents(readOrFail(what));
}

function contents(bytes: Uint8Array): readonly Captured[] {
  if (bytes.length === 0) fail("There is nothing in it.");
  // Text is what has nothing but text in it.
  const text = bytes.every((byte) => [9, 10, 13].includes(byte) || byte >= 32 && byte < 127);
  return (text ? readCapture(utf8Text(bytes)) : undefined) ?? [{ direction: undefined, bytes }];
}

async function live(): Promise<void> {
  const save = flags.save ? appendTo(flags.save) : undefined;
  const began = performance.now();
  const title = (link: number, direction: string) =>
    `${((performance.now() - began) / 1000).toFixed(3)} s ${
      link > 0 ? `link ${link} ` : ""
    }${direction} `;
  const tap: Tap = {
    message(link, direction, bytes) {
      save?.(captureLine(direction, bytes));
      show(bytes, title(link, direction));
    },
    closed: (link, code, reason) => say(`${title(link, "-")}closed with ${code} ${reason}`),
    failed: (link, code, text) => say(`${title(link, "-")}${code}: ${text}`),
  };
  await follow(flags, tap);
}
