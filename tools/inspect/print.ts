/**
 * A dissected message as text.
 *
 * @module
 */
import type { Row } from "./dissector.ts";

/** Items at the beginning and at the end of a long list that are shown. */
const SHOWN = 3;
const HEX_BYTES = 8;

/** One line a row: offset, bytes, name, value. Long lists are shortened unless `all`. */
export function table(bytes: Uint8Array, rows: readonly Row[], all = false): string {
  const kept = all ? rows : shorten(rows);
  const width = Math.min(44, Math.max(...kept.map(({ name }) => name.length), 4));
  return kept.map((row) => {
    if (row.value === ELIDED) return `${" ".repeat(8 + 3 * HEX_BYTES)}${row.name}`;
    const { offset, length, within } = row;
    // The bytes of what came out of the message are not at hand here.
    const part = within ? undefined : bytes.subarray(offset, offset + Math.min(length, HEX_BYTES));
    const hex = part
      ? Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join(" ") +
        (length > HEX_BYTES ? "…" : "")
      : `(${within})`;
    const at = String(offset).padStart(6);
    return `${at}  ${hex.padEnd(3 * HEX_BYTES)}${row.name.padEnd(width)}  ${printable(row.value)}`;
  }).join("\n");
}

/** A stranger's text must not write to the terminal. */
const printable = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

const ELIDED = "\0elided";

function shorten(rows: readonly Row[]): Row[] {
  const kept: Row[] = [];
  let run: Row[] = [];
  let list: string | undefined;
  const flush = () => {
    if (run.length <= 2 * SHOWN + 1) kept.push(...run);
    else {
      const hidden = run.length - 2 * SHOWN;
      const [first] = run as [Row];
      kept.push(...run.slice(0, SHOWN));
      kept.push({ ...first, name: `… ${hidden} more, --all shows them`, value: ELIDED });
      kept.push(...run.slice(-SHOWN));
    }
    run = [];
  };
  for (const row of rows) {
    const own = /^(.*)\[\d+\]$/.exec(row.name)?.[1];
    if (own === undefined || own !== list) flush();
    list = own;
    if (own === undefined) kept.push(row);
    else run.push(row);
  }
  flush();
  return kept;
}
