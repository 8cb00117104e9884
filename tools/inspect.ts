/**
 * Names every byte of a message: `deno task inspect 81026869` or `bun run inspect file.bin`.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { fromHex, hex, utf8Bytes } from "../src/wire/bytes.ts";
import type { Dissector } from "./inspect/dissector.ts";
import { bmp } from "./inspect/bmp.ts";
import { uint32, websocket } from "./inspect/websocket.ts";

/** Those that are surest of themselves first. */
const dissectors: readonly Dissector[] = [uint32, websocket, bmp];

const usage = `Names every byte of a message.

  deno task inspect [--as ${dissectors.map(({ name }) => name).join("|")}] <hex, JSON or file>
  bun run inspect   [same]

Without --as the protocol is told from the bytes. "-" reads standard input.`;

/** A file's bytes, or hexadecimal digits, or text as it stands. */
function bytesOf(argument: string): Uint8Array {
  if (argument === "-") return typed(readFileSync(0));
  return existsSync(argument) ? readFileSync(argument) : typed(utf8Bytes(argument));
}

/** What somebody typed is hexadecimal if it can be. */
function typed(bytes: Uint8Array): Uint8Array {
  const digits = new TextDecoder().decode(bytes).replace(/\s|0x|,/g, "");
  return digits !== "" && /^(?:[0-9a-f]{2})+$/i.test(digits) ? fromHex(digits) : bytes;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { as: { type: "string" }, help: { type: "boolean", short: "h" } },
});
const [argument] = positionals;
if (values.help || argument === undefined) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}
const bytes = bytesOf(argument);
const dissector = values.as === undefined
  ? dissectors.find((one) => one.detect(bytes))
  : dissectors.find(({ name }) => name === values.as);
if (!dissector) {
  console.error(values.as === undefined ? "No protocol that this looks like." : usage);
  process.exit(2);
}
console.log(`${dissector.name}, ${bytes.length} bytes`);
for (const { offset, length, name, value } of dissector.dissect(bytes)) {
  const shown = dissector === uint32
    ? ""
    : hex(bytes.subarray(offset, offset + Math.min(length, 8)));
  const more = length > 8 && shown ? "…" : "";
  console.log(
    `${String(offset).padStart(6)} ${String(length).padStart(6)}  ${(shown + more).padEnd(18)} ` +
      `${name.padEnd(16)} ${value}`,
  );
}
