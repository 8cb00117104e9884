/**
 * BMP frames, text and binary, one after the other.
 *
 * @module
 */
import { WireError } from "../../src/wire/bytes.ts";
import { BmpDecoder } from "../../src/wire/bmp/bmp_decoder.ts";
import { carriesPayload, type Head } from "../../src/wire/bmp/bmp_frame.ts";
import type { Dissector, Row } from "./dissector.ts";

/** Characters of a payload that are shown. */
const SHOWN = 60;

export const bmp: Dissector = {
  name: "bmp",

  detect(bytes) {
    const first = bytes[0];
    if (first !== 0x00 && first !== 0x3c) return false;
    try {
      const decoder = new BmpDecoder();
      for (const piece of decoder.feed(bytes)) if (piece.offset === 0) return true;
      return first === 0x3c && bytes[1] === 0x3a && bytes[2] === 0x3a;
    } catch {
      return false;
    }
  },

  dissect(bytes) {
    const rows: Row[] = [];
    const decoder = new BmpDecoder();
    let at = 0;
    let open: { head: Head; start: number } | undefined;
    try {
      // Byte by byte, so that each frame's place is known.
      for (let i = 0; i < bytes.length; i++) {
        for (const { head, last } of decoder.feed(bytes.subarray(i, i + 1))) {
          open ??= { head, start: at };
          if (!last) continue;
          rows.push(...frame(decoder.form!, head, at, bytes.subarray(at, i + 1)));
          at = i + 1;
          open = undefined;
        }
      }
      if (at < bytes.length) {
        const what = open
          ? `a cut ${open.head.kind} of stream ${shown(open.head.id)}`
          : "a cut frame";
        rows.push({
          offset: at,
          length: bytes.length - at,
          name: what,
          value: "more bytes are needed",
        });
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const value =
        `${error.code} at its byte ${error.offset}; nobody knows where the next one starts`;
      rows.push({ offset: at, length: bytes.length - at, name: "a broken frame", value });
    }
    return rows;
  },
};

function frame(form: string, head: Head, offset: number, bytes: Uint8Array): Row[] {
  const { kind, id, sid, length, size } = head;
  const asks = sid === ""
    ? ""
    : kind === "ack"
    ? `, of ${shown(sid)}`
    : `, asks for ack ${shown(sid)}`;
  const greets = /^bx1[?!]([0-9a-f]+):([0-9a-f]+)$/.exec(sid);
  const greeting = greets
    ? `, greets: ${parseInt(greets[1]!, 16)} frames of ${parseInt(greets[2]!, 16)} bytes`
    : "";
  const rows = [{
    offset,
    length: size,
    name: `${form} ${kind}`,
    value: `stream ${shown(id)}${asks}${greeting}, ${length} bytes follow`,
  }];
  if (length > 0) {
    rows.push({
      offset: offset + size,
      length,
      name: carriesPayload(kind) ? "payload" : "payload (swallowed)",
      value: payload(bytes.subarray(size)),
    });
  }
  return rows;
}

const shown = (text: string): string => JSON.stringify(text);

/** Printable as it is, else in hexadecimal. */
function payload(bytes: Uint8Array): string {
  const part = bytes.subarray(0, SHOWN);
  const more = bytes.length > SHOWN ? "…" : "";
  let text = "";
  for (const byte of part) {
    if ((byte < 0x20 || byte > 0x7e) && byte !== 0x0d && byte !== 0x0a) {
      return Array.from(part, (one) => one.toString(16).padStart(2, "0")).join(" ") + more;
    }
    text += String.fromCharCode(byte);
  }
  return shown(text) + more;
}
