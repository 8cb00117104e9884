/**
 * Names every byte of a BlazeBinary record, and of an operation, which ends in one.
 *
 * @module
 */
import { commonNames, CUSTOM_NAME } from "../../src/wire/blaze/fields.ts";
import { operationKinds } from "../../src/wire/blaze/operation.ts";
import { crc32 } from "../../src/wire/zlib.ts";
import {
  Cutter,
  type Dissector,
  hexByte,
  moment,
  quoted,
  type Row,
  shortHex,
} from "./dissector.ts";

const MAX_DEPTH = 64;
/** Seconds from 1970 to 2001, where the format's dates begin. */
const EPOCH_2001 = 978_307_200;

export const isRecord = (bytes: Uint8Array): boolean =>
  bytes.length >= 8 && String.fromCharCode(...bytes.subarray(0, 5)) === "BLAZE";

export const record: Dissector = {
  name: "record",
  detect: isRecord,
  dissect(bytes) {
    const rows: Row[] = [];
    new Cutter(bytes, rows).finish((cutter) => cutRecord(cutter, "record"));
    return rows;
  },
};

export const operation: Dissector = {
  name: "operation",
  detect: (bytes) => {
    const [kind, length] = bytes;
    return kind !== undefined && kind <= 2 && length !== undefined && length > 0 && length < 128 &&
      isRecord(bytes.subarray(2 + length + 28));
  },
  dissect(bytes) {
    const rows: Row[] = [];
    new Cutter(bytes, rows).finish((cutter) => cutOperation(cutter, "operation"));
    return rows;
  },
};

export function cutOperation(cutter: Cutter, name: string): void {
  cutter.u8(`${name}.kind`, (kind) => `${kind} ${operationKinds[kind] ?? "unknown"}`);
  const length = cutter.u8(`${name}.collection.length`);
  cutter.text(length, `${name}.collection`);
  cutter.take(16, `${name}.id`, uuid);
  cutter.u64(`${name}.counter`);
  cutter.u32(`${name}.node`, (value) => value.toString(16).padStart(8, "0"));
  if (cutter.left > 0) cutRecord(cutter, `${name}.changes`);
}

export function cutRecord(cutter: Cutter, name: string): void {
  const start = cutter.offset;
  cutter.text(5, `${name}.magic`);
  const version = cutter.u8(
    `${name}.version`,
    (value) => `${value}${value === 2 ? ", with checksum" : ""}`,
  );
  const count = cutter.u16(`${name}.count`, (value) => `${value} fields`);
  for (let i = 0; i < count && cutter.fault === undefined; i++) {
    const key = fieldName(cutter, `${name} field ${i}`);
    if (cutter.fault === undefined) cutValue(cutter, `${name}.${key}`, 0);
  }
  if (cutter.fault !== undefined || version !== 2) return;
  const right = crc32(cutter.bytes.subarray(start, cutter.offset));
  cutter.u32(`${name}.checksum`, (value) => value === right ? "right" : "wrong");
}

function fieldName(cutter: Cutter, name: string): string {
  if (cutter.next === CUSTOM_NAME) {
    cutter.u8(`${name} name`, () => "0xff, spelled out");
    return cutter.text(cutter.u16(`${name} name.length`), `${name} name`);
  }
  let known = "";
  cutter.u8(`${name} name`, (id) => {
    known = commonNames[id - 1] ?? "";
    return `${hexByte(id)} ${known === "" ? "unknown" : quoted(known)}`;
  });
  if (known === "") cutter.fault = "unknown field id";
  return known;
}

function cutValue(cutter: Cutter, name: string, depth: number): void {
  const tag = cutter.next;
  if (tag === undefined) return void cutter.u8(name);
  if (tag >> 4 === 2) {
    const length = tag & 0x0f;
    cutter.take(1 + length, name, (bytes) => quoted(decode(bytes.subarray(1))));
    return;
  }
  const numbers = (length: number, describe: (view: DataView) => string) =>
    void cutter.take(
      length,
      name,
      (bytes) => describe(new DataView(bytes.buffer, bytes.byteOffset)),
    );
  switch (tag) {
    case 0x01:
      return long(cutter, name, "string", (bytes) => quoted(decode(bytes)));
    case 0x02:
      return numbers(9, (view) => `int ${view.getBigInt64(1)}`);
    case 0x03:
      return numbers(9, (view) => `double ${view.getFloat64(1)}`);
    case 0x04:
      return numbers(2, (view) => view.getUint8(1) === 0 ? "false" : "true");
    case 0x05:
      return void cutter.take(17, name, (bytes) => `uuid ${uuid(bytes.subarray(1))}`);
    case 0x06:
      return numbers(9, (view) => `date ${moment(1000 * (view.getFloat64(1) + EPOCH_2001))}`);
    case 0x07:
      return long(cutter, name, "data", shortHex);
    case 0x08:
    case 0x09:
      return container(cutter, name, tag, depth);
    case 0x0a: {
      const count = head(cutter, name, 5, "vector", (view) => view.getUint32(1));
      for (let i = 0; i < count; i++) {
        cutter.take(
          4,
          `${name}[${i}]`,
          (bytes) => String(new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0)),
        );
      }
      return;
    }
    case 0x12:
      return numbers(2, (view) => `int ${view.getUint8(1)}`);
    case 0x0b:
    case 0x11:
    case 0x18:
    case 0x19:
      cutter.u8(name, () => ({ 0x0b: "null", 0x11: '""', 0x18: "[]", 0x19: "{}" })[tag]);
      return;
    default:
      cutter.fault = `unknown tag ${hexByte(tag)}`;
  }
}

function container(cutter: Cutter, name: string, tag: number, depth: number): void {
  if (depth >= MAX_DEPTH) {
    cutter.fault = "too deep";
    return;
  }
  const kind = tag === 0x08 ? "array" : "dictionary";
  const count = head(cutter, name, 3, kind, (view) => view.getUint16(1));
  for (let i = 0; i < count && cutter.fault === undefined; i++) {
    if (tag === 0x08) cutValue(cutter, `${name}[${i}]`, depth + 1);
    else {
      const key = cutter.text(cutter.u16(`${name} key ${i}.length`), `${name} key ${i}`);
      cutValue(cutter, `${name}[${quoted(key)}]`, depth + 1);
    }
  }
}

function head(
  cutter: Cutter,
  name: string,
  size: number,
  kind: string,
  read: (view: DataView) => number,
): number {
  let found = 0;
  cutter.take(size, name, (bytes) => {
    found = read(new DataView(bytes.buffer, bytes.byteOffset));
    return `${kind} of ${found}`;
  });
  return found;
}

function long(
  cutter: Cutter,
  name: string,
  kind: string,
  show: (bytes: Uint8Array) => string,
): void {
  const length = head(cutter, name, 5, kind, (view) => view.getUint32(1));
  if (length > 0) cutter.take(length, `${name}.bytes`, show);
}

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function uuid(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
