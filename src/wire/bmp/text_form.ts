/**
 * The text form: BMP 1.0 section 2 as Blazeio 2.2.4.5 speaks it.
 *
 * ```text
 * <::io_0::><::<-create_stream->::><::28::>GET /hello HTTP/1.1…
 * <::io_0::><::<-io_ack->::><::0::>
 * <::io_0::><::::><::11::>HTTP/1.1 200 OK\r\n
 * ```
 *
 * The document itself spells options without their outer marks, `<::>` for none and
 * `<::-create_stream->`, which Blazeio cannot read; both spellings are read here.
 *
 * @module
 */
import { fault, idField, idOctets, lengthField, lengthText, octets } from "./field.ts";
import type { BmpErrorCode, Head, Kind } from "./bmp_frame.ts";
import type { BmpLimits } from "./bmp_limits.ts";

const COLON = 0x3a, LESS = 0x3c, GREATER = 0x3e, DASH = 0x2d;

const names = {
  create: "-create_stream-",
  ack: "-io_ack-",
  eof: "-io_eof-",
  close: "-io_close-",
} as const;

const kinds = new Map<string, Kind>([["", "data"]]);
for (const [kind, name] of Object.entries(names) as [keyof typeof names, string][]) {
  kinds.set(name, kind).set(`<${name}>`, kind);
}

/** Whether `<::` stands at `at`; `false` if bytes are missing. Throws `BAD_MARK` if it does not. */
function opens(bytes: Uint8Array, at: number, end: number, start: number): boolean {
  for (let i = 0; i < 3; i++) {
    if (at + i >= end) return false;
    if (bytes[at + i] !== (i === 0 ? LESS : COLON)) {
      throw fault("BAD_MARK", at + i - start, "expected <::");
    }
  }
  return true;
}

/** Where `::>` ends the field that begins at `from`; -1 if bytes are missing. */
function closes(
  bytes: Uint8Array,
  from: number,
  end: number,
  start: number,
  max: number,
  code: BmpErrorCode,
): number {
  const stop = Math.min(end, from + max + 3);
  for (let i = from + 2; i < stop; i++) {
    if (bytes[i] === GREATER && bytes[i - 1] === COLON && bytes[i - 2] === COLON) return i - 2;
  }
  if (stop - from === max + 3) throw fault(code, from + max - start);
  return -1;
}

/**
 * Where options of the document's spelling end, as the index of their last byte: at the `>` of
 * `<::>`, or at the `->` of `<::-create_stream->`. -1 if these are not of that spelling.
 */
function closesBare(bytes: Uint8Array, from: number, end: number): number {
  if (from >= end) return -1;
  if (bytes[from] === GREATER) return from;
  if (bytes[from] !== DASH) return -1;
  for (let i = from + 2; i < end && bytes[i - 1] !== COLON; i++) {
    if (bytes[i] === GREATER && bytes[i - 1] === DASH) return i;
  }
  return -1;
}

/**
 * Reads the header that starts at `start`. `undefined` asks for more bytes. Throws a `WireError`
 * with any code of `BmpErrorCode` but `UNKNOWN_FORM` and `SID_TOO_LONG`.
 */
export function readTextHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: BmpLimits,
): Head | undefined {
  if (!opens(bytes, start, end, start)) return;
  const idAt = start + 3;
  const idEnd = closes(bytes, idAt, end, start, limits.idBytes, "ID_TOO_LONG");
  if (idEnd < 0) return;

  if (!opens(bytes, idEnd + 3, end, start)) return;
  const optionsAt = idEnd + 6;
  let optionsEnd = closesBare(bytes, optionsAt, Math.min(end, optionsAt + limits.optionsBytes));
  let lengthAt = optionsEnd + 1;
  if (optionsEnd < 0) {
    const { optionsBytes } = limits;
    optionsEnd = closes(bytes, optionsAt, end, start, optionsBytes, "OPTIONS_TOO_LONG");
    if (optionsEnd < 0) return;
    lengthAt = optionsEnd + 3;
  }

  if (!opens(bytes, lengthAt, end, start)) return;
  lengthAt += 3;
  const lengthEnd = closes(bytes, lengthAt, end, start, limits.lengthDigits, "LENGTH_TOO_LONG");
  if (lengthEnd < 0) return;

  return {
    kind: kinds.get(octets(bytes, optionsAt, optionsEnd)) ?? "data",
    id: idField(bytes, idAt, idEnd, idAt - start),
    sid: "",
    length: lengthField(bytes, lengthAt, lengthEnd, lengthAt - start, limits),
    size: lengthEnd + 3 - start,
  };
}

/**
 * A header in Blazeio's spelling, one character per byte. Throws `RangeError` for an id that holds
 * `::>` or a lone surrogate, and for a heartbeat, which this form does not have.
 */
export function textHead(kind: Kind, id: string, length: number): string {
  if (kind === "heartbeat") throw new RangeError("the text form has no heartbeat");
  if (id.includes("::>")) throw new RangeError("a stream id of the text form holds no ::>");
  const options = kind === "data" ? "" : `<${names[kind]}>`;
  return `<::${idOctets(id)}::><::${options}::><::${lengthText(length)}::>`;
}
