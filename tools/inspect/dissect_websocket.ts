/**
 * RFC 6455 frames, one after the other, and the 32-bit words that carry them through webviews.
 *
 * @module
 */
import { hex, WireError } from "../../src/wire/bytes.ts";
import { decodeClose } from "../../src/wire/websocket/close_frame.ts";
import { applyMask } from "../../src/wire/websocket/mask.ts";
import { Opcode } from "../../src/wire/websocket/opcode.ts";
import { unpack } from "../../src/wire/websocket/uint32.ts";
import type { Dissector, Row } from "./dissector.ts";

const names = new Map<number, string>(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, name]),
);

/** Bytes of a payload that are shown. */
const SHOWN = 48;
/** The most bytes that a packed message may claim. */
const MAX_PACKED = 16_777_216;

/** The frames of a stream, from its start or from the start of any frame. */
export const websocket: Dissector = {
  name: "websocket",
  detect: (bytes) => {
    const rows = websocket.dissect(bytes);
    return rows.length > 1 && !rows.some(({ name }) => name === "fault" || name === "cut off");
  },
  dissect(bytes) {
    const rows: Row[] = [];
    let at = 0;
    while (at < bytes.length) {
      const next = dissectFrame(bytes, at, rows);
      if (next === undefined) break;
      at = next;
    }
    return rows;
  },
};

/** `{"length": …, "data": […]}`, as a page posts it. Offsets count the bytes that the words hold. */
export const uint32: Dissector = {
  name: "uint32",
  detect: (bytes) => bytes[0] === 0x7b && packedIn(bytes) !== undefined,
  dissect(bytes) {
    const packed = packedIn(bytes);
    if (!packed) {
      return [{
        offset: 0,
        length: bytes.length,
        name: "fault",
        value: "no {length, data} in JSON",
      }];
    }
    try {
      const unpacked = unpack(packed, MAX_PACKED);
      const words = packed.data.map((word, i): Row => {
        const offset = 4 * i;
        const length = Math.min(4, unpacked.length - offset);
        const held = hex(unpacked.subarray(offset, offset + length));
        return { offset, length, name: `word ${i}`, value: `${word} holds ${held}` };
      });
      return [...words, ...websocket.dissect(unpacked)];
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return [{ offset: error.offset, length: 0, name: "fault", value: error.code }];
    }
  },
};

function packedIn(bytes: Uint8Array): { length: number; data: number[] } | undefined {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes));
    return Array.isArray(value?.data) && "length" in value ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Adds the rows of one frame and answers where the next begins; `undefined` when there is none. */
function dissectFrame(bytes: Uint8Array, start: number, rows: Row[]): number | undefined {
  const fault = (offset: number, value: string) => {
    rows.push({ offset, length: bytes.length - offset, name: "fault", value });
    return undefined;
  };
  const cutOff = (offset: number, wanted: string) => {
    rows.push({ offset, length: bytes.length - offset, name: "cut off", value: wanted });
    return undefined;
  };

  const first = bytes[start]!;
  const opcode = first & 0x0f;
  const name = names.get(opcode);
  const fin = first >> 7;
  if (first & 0x70) return fault(start, `reserved bits ${(first >> 4 & 7).toString(2)} are set`);
  if (name === undefined) return fault(start, `no opcode ${opcode}`);
  rows.push({ offset: start, length: 1, name: "opcode", value: `${name}, FIN ${fin}` });

  const second = bytes[start + 1];
  if (second === undefined) return cutOff(start + 1, "the length is missing");
  const masked = second > 0x7f;
  const mask = masked ? "masked, from a client" : "not masked, from a server";
  const short = second & 0x7f;
  rows.push({ offset: start + 1, length: 1, name: "length", value: `${short}, ${mask}` });
  let at = start + 2;
  let length = short;
  if (short > 125) {
    const digits = short === 126 ? 2 : 8;
    if (at + digits > bytes.length) return cutOff(at, `${digits} bytes of length`);
    length = Number(BigInt(`0x${hex(bytes.subarray(at, at + digits))}`));
    rows.push({ offset: at, length: digits, name: "extended length", value: `${length}` });
    at += digits;
    if (opcode >= Opcode.close) return fault(start, "a control frame of more than 125 bytes");
  }
  const key = bytes.subarray(at, at + (masked ? 4 : 0));
  if (masked) {
    if (key.length < 4) return cutOff(at, "the masking key");
    rows.push({ offset: at, length: 4, name: "masking key", value: hex(key) });
    at += 4;
  }
  const payload = bytes.slice(at, at + length);
  if (masked) applyMask(payload, key);
  if (payload.length < length) return cutOff(at, `${payload.length} of ${length} payload bytes`);
  if (length > 0) rows.push({ offset: at, length, name: "payload", value: said(opcode, payload) });
  return at + length;
}

function said(opcode: number, payload: Uint8Array): string {
  if (opcode === Opcode.close) {
    try {
      const { code, reason } = decodeClose(payload);
      return `code ${code}${reason && `, "${reason}"`}`;
    } catch (error) {
      return `${(error as Error).message}: ${hex(payload)}`;
    }
  }
  const more = payload.length > SHOWN ? "…" : "";
  const shown = payload.subarray(0, SHOWN);
  const text = new TextDecoder().decode(shown);
  // deno-lint-ignore no-control-regex
  const plain = opcode === Opcode.text || (text !== "" && !/[\0-\x1f\x7f\ufffd]/.test(text));
  return plain ? `"${text}"${more}` : `${hex(shown)}${more}`;
}
