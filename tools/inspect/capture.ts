/**
 * Captured messages as text: one a line, in hexadecimal, with `>` in front of what a client sent and
 * `<` in front of what it got. `#` begins a comment.
 *
 * @module
 */
import { fromHex, hex } from "../../src/wire/bytes.ts";

export type Direction = ">" | "<";

export interface Captured {
  readonly direction: Direction | undefined;
  readonly bytes: Uint8Array;
}

export const captureLine = (direction: Direction, bytes: Uint8Array): string =>
  `${direction} ${hex(bytes)}\n`;

/**
 * What a text holds: captured messages, or one message in hexadecimal with blanks, colons or `0x` as
 * people paste it. Undefined for what is neither.
 */
export function readCapture(text: string): Captured[] | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  if (lines.length === 0) return undefined;
  if (lines.every((line) => /^[<>]\s/.test(line))) {
    return each(lines.map((line) => [line[0] as Direction, line.slice(1)]));
  }
  const whole = each([[undefined, lines.join(" ")]]);
  return whole ?? (lines.length > 1 ? each(lines.map((line) => [undefined, line])) : undefined);
}

function each(
  lines: readonly (readonly [Direction | undefined, string])[],
): Captured[] | undefined {
  const found: Captured[] = [];
  for (const [direction, line] of lines) {
    const digits = line.replace(/0x|[\s:,_-]/gi, "");
    if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) return undefined;
    found.push({ direction, bytes: fromHex(digits) });
  }
  return found;
}
