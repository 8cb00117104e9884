/**
 * The two binary forms, as Blazeio 2.4.2 (binary3) and 4.5.2 (binary4) speak them. A field lies
 * between 00 and 01; binary4 has one more, the sid.
 *
 * ```text
 * 00 "io_0" 01  00 06 01  00 "0" 01  00 "28" 01  GET…     create, asks for the ack of sid 0
 * 00 "io_0" 01  00 05 01  00 01      00 "1" 01   "0"      ack: the payload is the sid
 * 00 "io_0" 01  00 02 01  00 01      00 "1" 01   04       eof; 03 is close
 * ```
 *
 * The document's hexadecimal column (BMP 1.0 section 2 B) has other numbers; nobody writes them.
 *
 * @module
 */
import { fault, idField, idOctets, lengthField, lengthText, octets } from "./field.ts";
import type { BmpErrorCode, Form, Head, Kind } from "./bmp_frame.ts";
import type { BmpLimits } from "./bmp_limits.ts";

const OPEN = 0x00, CLOSE = 0x01;

const options = { eof: 0x02, close: 0x03, heartbeat: 0x04, ack: 0x05, create: 0x06 } as const;
const kinds: (Kind | undefined)[] = [];
for (const [kind, option] of Object.entries(options)) kinds[option] = kind as Kind;

/** Where 01 ends the field whose 00 stands at `at`; -1 if bytes are missing. */
function closes(
  bytes: Uint8Array,
  at: number,
  end: number,
  start: number,
  max: number,
  code: BmpErrorCode,
): number {
  if (at >= end) return -1;
  if (bytes[at] !== OPEN) throw fault("BAD_MARK", at - start, "expected 00");
  const stop = Math.min(end, at + max + 2);
  for (let i = at + 1; i < stop; i++) if (bytes[i] === CLOSE) return i;
  if (stop - at === max + 2) throw fault(code, at + 1 + max - start);
  return -1;
}

/**
 * Tells the binary forms apart by the first header of a connection: a 00 after the third field
 * starts a fourth. Only the first payload byte of a binary3 connection could be mistaken for it,
 * and what Blazeio sends starts with HTTP. `undefined` asks for more bytes.
 */
export function binaryForm(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: BmpLimits,
): Form | undefined {
  const idEnd = closes(bytes, start, end, start, limits.idBytes, "ID_TOO_LONG");
  if (idEnd < 0) return;
  const kindEnd = closes(bytes, idEnd + 1, end, start, limits.optionsBytes, "OPTIONS_TOO_LONG");
  if (kindEnd < 0) return;
  const max = Math.max(limits.sidBytes, limits.lengthDigits);
  const third = closes(bytes, kindEnd + 1, end, start, max, "SID_TOO_LONG");
  if (third < 0 || third + 1 >= end) return;
  return bytes[third + 1] === OPEN ? "binary4" : "binary3";
}

/**
 * Reads the header that starts at `start`. `undefined` asks for more bytes. The sid of a control
 * frame is skipped. Throws a `WireError` with any code of `BmpErrorCode` but `UNKNOWN_FORM`.
 */
export function readBinaryHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: BmpLimits,
  form: Form,
): Head | undefined {
  const idEnd = closes(bytes, start, end, start, limits.idBytes, "ID_TOO_LONG");
  if (idEnd < 0) return;
  const kindEnd = closes(bytes, idEnd + 1, end, start, limits.optionsBytes, "OPTIONS_TOO_LONG");
  if (kindEnd < 0) return;
  let sidEnd = kindEnd;
  if (form === "binary4") {
    sidEnd = closes(bytes, kindEnd + 1, end, start, limits.sidBytes, "SID_TOO_LONG");
    if (sidEnd < 0) return;
  }
  const lengthEnd = closes(bytes, sidEnd + 1, end, start, limits.lengthDigits, "LENGTH_TOO_LONG");
  if (lengthEnd < 0) return;

  const kind = (kindEnd - idEnd === 3 && kinds[bytes[idEnd + 2]!]) || "data";
  const asks = kind !== "ack" && kind !== "eof" && kind !== "close";
  return {
    kind,
    id: idField(bytes, start + 1, idEnd, 1),
    sid: asks ? octets(bytes, kindEnd + 2, sidEnd) : "",
    length: lengthField(bytes, sidEnd + 2, lengthEnd, sidEnd + 2 - start, limits),
    size: lengthEnd + 1 - start,
  };
}

/**
 * What Blazeio puts into an `ack`, `eof` or `close`, one character per byte: the sid into an ack of
 * binary4, else a filler that nobody reads. Throws `RangeError` like {@linkcode binaryHead}.
 */
export const binaryControl = (form: Form, kind: Kind, sid: string): string =>
  form === "binary4" && kind === "ack" ? checkedSid(sid) : "\x04";

function checkedSid(sid: string): string {
  // deno-lint-ignore no-control-regex
  if (/\x01|[^\0-\xff]/.test(sid)) throw new RangeError("a sid is bytes other than 01");
  return sid;
}

/**
 * A header, one character per byte. Throws `RangeError` for an id or a sid that holds 01, an id with
 * a lone surrogate, and a sid with a character above U+00FF.
 */
export function binaryHead(
  form: Form,
  kind: Kind,
  id: string,
  sid: string,
  length: number,
): string {
  if (id.includes("\x01")) throw new RangeError("a stream id of the binary form holds no 01");
  const option = kind === "data" ? "" : String.fromCharCode(options[kind]);
  const group = form === "binary4" ? `\0${checkedSid(sid)}\x01` : "";
  return `\0${idOctets(id)}\x01\0${option}\x01${group}\0${lengthText(length)}\x01`;
}
