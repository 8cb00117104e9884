/**
 * Names every byte of a MessagePack value.
 *
 * @module
 */
import { WireError } from "../../src/wire/bytes.ts";
import { PACKED, unpackSamples } from "../../src/wire/ecg/samples.ts";
import { Cutter, quoted, shortHex } from "./dissector.ts";

/** Deeper is refused by the protocol. */
const MAX_DEPTH = 32;

/** Cuts one value; `name` is its path. */
export function cutMsgpack(cutter: Cutter, name: string, depth = 0): void {
  const tag = cutter.next;
  if (tag === undefined) {
    cutter.u8(name);
  } else if (tag < 0x80 || tag >= 0xe0) {
    cutter.u8(name, (value) => String(value << 24 >> 24));
  } else if (tag < 0x90) map(cutter, name, depth, 1, () => tag & 0x0f);
  else if (tag < 0xa0) array(cutter, name, depth, 1, () => tag & 0x0f);
  else if (tag < 0xc0) text(cutter, name, 1, () => tag & 0x1f);
  else other(cutter, name, tag, depth);
}

type Length = (view: DataView) => number;
const u8: Length = (view) => view.getUint8(1);
const u16: Length = (view) => view.getUint16(1);
const u32: Length = (view) => view.getUint32(1);

function other(cutter: Cutter, name: string, tag: number, depth: number): void {
  const value = (length: number, kind: string, read: (view: DataView) => number | bigint) =>
    cutter.take(length, name, (bytes) => `${read(viewOf(bytes))} (${kind})`);
  switch (tag) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      cutter.u8(name, () => ({ 0xc0: "nil", 0xc2: "false", 0xc3: "true" })[tag]);
      return;
    case 0xc1:
      cutter.fault = "0xc1 is never used";
      return;
    case 0xc4:
      return binary(cutter, name, 2, u8);
    case 0xc5:
      return binary(cutter, name, 3, u16);
    case 0xc6:
      return binary(cutter, name, 5, u32);
    case 0xc7:
      return ext(cutter, name, 2, u8);
    case 0xc8:
      return ext(cutter, name, 3, u16);
    case 0xc9:
      return ext(cutter, name, 5, u32);
    case 0xca:
      value(5, "float32", (view) => view.getFloat32(1));
      return;
    case 0xcb:
      value(9, "float64", (view) => view.getFloat64(1));
      return;
    case 0xcc:
      value(2, "uint8", u8);
      return;
    case 0xcd:
      value(3, "uint16", u16);
      return;
    case 0xce:
      value(5, "uint32", u32);
      return;
    case 0xcf:
      value(9, "uint64", (view) => view.getBigUint64(1));
      return;
    case 0xd0:
      value(2, "int8", (view) => view.getInt8(1));
      return;
    case 0xd1:
      value(3, "int16", (view) => view.getInt16(1));
      return;
    case 0xd2:
      value(5, "int32", (view) => view.getInt32(1));
      return;
    case 0xd3:
      value(9, "int64", (view) => view.getBigInt64(1));
      return;
    case 0xd9:
      return text(cutter, name, 2, u8);
    case 0xda:
      return text(cutter, name, 3, u16);
    case 0xdb:
      return text(cutter, name, 5, u32);
    case 0xdc:
      return array(cutter, name, depth, 3, u16);
    case 0xdd:
      return array(cutter, name, depth, 5, u32);
    case 0xde:
      return map(cutter, name, depth, 3, u16);
    case 0xdf:
      return map(cutter, name, depth, 5, u32);
    default:
      // d4 to d8: extensions of 1, 2, 4, 8 and 16 bytes.
      return ext(cutter, name, 1, () => 1 << (tag - 0xd4));
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Takes a tag with its length, as a row of its own. */
function head(cutter: Cutter, name: string, size: number, kind: string, length: Length): number {
  let found = 0;
  cutter.take(size, name, (bytes) => {
    found = length(viewOf(bytes));
    return `${kind} of ${found}`;
  });
  return found;
}

function text(cutter: Cutter, name: string, size: number, length: Length): void {
  let found = 0;
  let shown = "";
  const at = cutter.offset;
  const rest = cutter.bytes.subarray(at, cutter.end);
  if (rest.length >= size) {
    found = length(viewOf(rest));
    shown = quoted(new TextDecoder().decode(rest.subarray(size, size + found)));
  }
  cutter.take(size + found, name, () => shown);
}

function binary(cutter: Cutter, name: string, size: number, length: Length): void {
  const bytes = head(cutter, name, size, "binary", length);
  if (bytes > 0) cutter.raw(bytes, `${name}.bytes`);
}

function ext(cutter: Cutter, name: string, size: number, length: Length): void {
  const bytes = head(cutter, name, size, "extension", length);
  const type = cutter.u8(`${name}.type`, (type) => String(type << 24 >> 24));
  if (type === PACKED) {
    cutter.inner(bytes, `${name}.data`).finish((inner) => packed(inner, name));
  } else if (bytes > 0) cutter.raw(bytes, `${name}.data`);
}

/** A packed signal: its header; the samples are one row, with what they unpack to. */
function packed(cutter: Cutter, name: string): void {
  const data = cutter.bytes.subarray(cutter.offset, cutter.end);
  cutter.u8(`${name}.format`);
  cutter.u16(`${name}.scale`);
  cutter.u32(`${name}.position`);
  cutter.u8(`${name}.leads`);
  cutter.u16(`${name}.samples`);
  if (cutter.left === 0) return;
  cutter.take(cutter.left, `${name}.packed`, (bytes) => {
    try {
      const { leads } = unpackSamples(data);
      const shown = leads.map((lead) => `${[...lead.subarray(0, 4)].join(" ")} …`);
      return `${shortHex(bytes)}, unpacks to ${shown.join(" | ")}`;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return `${shortHex(bytes)}, ${error.message}`;
    }
  });
}

function array(cutter: Cutter, name: string, depth: number, size: number, length: Length): void {
  const items = head(cutter, name, size, "list", length);
  if (!deeper(cutter, depth)) return;
  for (let i = 0; i < items && cutter.fault === undefined; i++) {
    cutMsgpack(cutter, `${name}[${i}]`, depth + 1);
  }
}

function map(cutter: Cutter, name: string, depth: number, size: number, length: Length): void {
  const entries = head(cutter, name, size, "map", length);
  if (!deeper(cutter, depth)) return;
  for (let i = 0; i < entries && cutter.fault === undefined; i++) {
    const row = cutter.rows.length;
    cutMsgpack(cutter, `${name}{${i}} key`, depth + 1);
    const key = cutter.rows[row]?.value ?? "";
    const plain = /^"([\w$-]+)"$/.exec(key)?.[1];
    if (cutter.fault !== undefined) return;
    cutMsgpack(cutter, plain === undefined ? `${name}[${key}]` : `${name}.${plain}`, depth + 1);
  }
}

function deeper(cutter: Cutter, depth: number): boolean {
  if (depth < MAX_DEPTH) return true;
  cutter.fault = `more than ${MAX_DEPTH} levels`;
  return false;
}
