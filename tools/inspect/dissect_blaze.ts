/**
 * Names every byte of a BlazeBinary frame: header, handshakes, operations, records, extensions and
 * the frames inside them. What is encrypted or compressed stays one row.
 *
 * @module
 */
import { Subtype } from "../../src/wire/blaze/extension.ts";
import { FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { Capability, PROTOCOL, TlvType } from "../../src/wire/blaze/handshake.ts";
import { bits, Cutter, type Dissector, hexByte, moment, type Row, shortHex } from "./dissector.ts";
import { cutOperation, cutRecord, isRecord } from "./dissect_record.ts";

const namesOf = (numbers: Readonly<Record<string, number>>) =>
  new Map(Object.entries(numbers).map(([name, value]) => [value, name]));
const typeNames = namesOf(FrameType);
const subtypeNames = namesOf(Subtype);
const tlvNames = namesOf(TlvType);

/** Nonce 12 and tag 16. */
const LEAST_SEALED = 28;
/** A frame in a frame in a frame: batch, sequenced, direct, frame. */
const MAX_NESTING = 4;

export const blaze: Dissector = {
  name: "blaze",
  detect: (bytes) => bytes.length >= 5 && bytes[0] === 0xbf && bytes[1] === 0x01,
  dissect(bytes) {
    const rows: Row[] = [];
    new Cutter(bytes, rows).finish((cutter) => cutFrame(cutter, "", 0));
    return rows;
  },
};

function cutFrame(cutter: Cutter, prefix: string, nesting: number): void {
  const size = cutter.left;
  const start = cutter.offset;
  cutter.take(
    2,
    `${prefix}magic`,
    (bytes) => `${shortHex(bytes)}${bytes[0] === 0xbf && bytes[1] === 1 ? "" : ", wrong"}`,
  );
  const flags = cutter.u8(`${prefix}flags`, (value) => {
    const type = typeNames.get(value & 0x0f);
    return `${hexByte(value)} ${type}${value & 0x80 ? ", compressed" : ""}${encrypted(value)}`;
  });
  const view = new DataView(cutter.bytes.buffer, cutter.bytes.byteOffset + start);
  const describe = (there: number) => (value: number) =>
    value === there ? `${value}` : `${value}, but ${there} bytes follow the header`;
  // The length fits exactly, so no message satisfies both sizes of the header.
  if (size >= 5 && view.getUint16(3) === size - 5) {
    cutter.u16(`${prefix}length`, describe(size - 5));
  } else cutter.u32(`${prefix}length`, describe(size - 7));
  if (cutter.left === 0) return;
  const sealed = (flags & 0x80) !== 0 || encrypted(flags) !== "";
  // Of a pair's a nonce is random; of a group's in a log it says who sealed it, and the how manyth.
  if (sealed && prefix.endsWith("sequenced ")) cutSealed(cutter, `${prefix}payload`);
  else if (sealed) {
    cutter.raw(
      cutter.left,
      `${prefix}payload, ${flags & 0x80 && !encrypted(flags) ? "compressed" : "sealed"}`,
    );
  } else cutPayload(cutter, prefix, flags & 0x0f, nesting);
}

/** Bit 6 in the legend's reading; in that of the examples bit 6 is always set, and bit 4 tells. */
function encrypted(flags: number): string {
  if ((flags & 0x70) === 0x40) {
    return flags & 0x0f ? ", encrypted (or not, in the examples' reading)" : "";
  }
  if ((flags & 0x70) === 0x50) return ", encrypted (examples' reading)";
  return flags & 0x30 ? ", reserved bits set" : "";
}

function cutPayload(cutter: Cutter, prefix: string, type: number, nesting: number): void {
  const rest = cutter.bytes.subarray(cutter.offset, cutter.end);
  switch (type) {
    case FrameType.handshake:
      return handshake(cutter, `${prefix}handshake`, false);
    case FrameType.handshakeAck:
      if (cutter.left === 32) return void cutter.raw(32, `${prefix}verify.mac`);
      return handshake(cutter, `${prefix}ack`, true);
    case FrameType.operation:
      if (rest[0]! <= 2) return cutOperation(cutter, `${prefix}operation`);
      break;
    case FrameType.extension:
      return extension(cutter, prefix, nesting);
    case FrameType.subscribe:
    case FrameType.unsubscribe:
    case FrameType.error:
      if (isRecord(rest)) return cutRecord(cutter, `${prefix}${typeNames.get(type)}`);
  }
  if (isRecord(rest)) return cutRecord(cutter, `${prefix}payload`);
  cutter.raw(cutter.left, `${prefix}payload`);
}

function handshake(cutter: Cutter, name: string, ack: boolean): void {
  const start = cutter.bytes.subarray(cutter.offset + 1, cutter.offset + 9);
  // The Ack as drawn has no protocol's name; that of the sample code has.
  if (!ack || String.fromCharCode(...start) === PROTOCOL.slice(0, 8)) {
    cutter.text(cutter.u8(`${name}.protocol.length`), `${name}.protocol`);
  }
  cutter.raw(16, `${name}.node`);
  cutter.text(cutter.u8(`${name}.database.length`), `${name}.database`);
  cutter.raw(65, `${name}.publicKey`);
  const capabilities = cutter.u8(`${name}.capabilities`, (value) => bits(value, Capability));
  cutter.u64(`${name}.timestamp`, (value) => `${value} ms, ${moment(Number(value))}`);
  if (ack) cutter.raw(16, `${name}.challenge`);
  if (capabilities & Capability.tlvs) cutTlvs(cutter, name);
}

function cutTlvs(cutter: Cutter, name: string): void {
  while (cutter.left > 0) {
    const type = cutter.u8(
      `${name}.tlv.type`,
      (value) => `${value} ${tlvNames.get(value) ?? "unknown"}`,
    );
    const length = cutter.u16(`${name}.tlv.length`);
    if (length > 0) cutter.raw(length, `${name}.tlv.${tlvNames.get(type) ?? "value"}`);
  }
}

function extension(cutter: Cutter, prefix: string, nesting: number): void {
  const name = `${prefix}extension`;
  const subtype = cutter.u8(
    `${name}.subtype`,
    (value) =>
      `${hexByte(value)} ${
        subtypeNames.get(value) ?? (value >= 0x10 && value < 0x20 ? "device" : "unknown")
      }`,
  );
  const frame = (inner: Cutter, label: string) => {
    if (nesting >= MAX_NESTING) inner.fault = "too many frames inside each other";
    else if (inner.left > 0) cutFrame(inner, `${prefix}${label} `, nesting + 1);
  };
  switch (subtype) {
    case Subtype.joined:
    case Subtype.left:
      cutter.raw(16, `${name}.node`);
      cutter.u32(`${name}.members`);
      return cutTlvs(cutter, name);
    case Subtype.direct:
      cutter.raw(16, `${name}.node`);
      return frame(cutter, "direct");
    case Subtype.tagged:
      cutter.raw(8, `${name}.tag`);
      return frame(cutter, "tagged");
    case Subtype.sequenced:
      cutter.u64(`${name}.sequence`);
      return frame(cutter, "sequenced");
    case Subtype.batch:
      for (let i = 0; cutter.left > 0 && cutter.fault === undefined; i++) {
        const length = cutter.u32(`${name}[${i}].length`);
        cutter.inner(length, `frame ${i}`).finish((inner) => frame(inner, `[${i}]`));
      }
      return;
    case Subtype.recovered:
      cutter.u8(
        `${name}.flag`,
        (value) =>
          value > 7
            ? `${value}, unknown`
            : `${value} ${value & 1 ? "recovered" : "gap"}, durability ${value >> 1}`,
      );
      cutter.raw(8, `${name}.ring`);
      cutter.u64(`${name}.first`);
      cutter.u64(`${name}.last`);
      cutter.raw(32, `${name}.hash`);
      return;
    case Subtype.open:
      cutter.raw(16, `${name}.log`);
      cutter.raw(32, `${name}.key`);
      cutter.raw(8, `${name}.ring`);
      cutter.u64(`${name}.sequence`);
      cutter.raw(8, `${name}.check`);
      return;
    case Subtype.live:
    case Subtype.truncate:
      cutter.u64(`${name}.sequence`);
      return;
    case Subtype.accepted:
      cutter.u32(`${name}.count`);
      cutter.u64(`${name}.sequence`);
      return;
  }
  if (prefix.endsWith("sequenced ")) return cutEntry(cutter, name, subtype);
  if (cutter.left > 0) cutter.raw(cutter.left, `${name}.body`);
}

/** What a device of a group has put into a log. (docs/protocol/group.md) */
function cutEntry(cutter: Cutter, name: string, subtype: number): void {
  const flag = () =>
    cutter.u8(`${name}.flag`, (value) => `${value}${value === 1 ? " compressed" : ""}`);
  switch (subtype) {
    case Subtype.announce:
    case Subtype.checkpoint:
      cutter.raw(16, `${name}.node`);
      cutter.raw(8, `${name}.instance`);
      if (subtype === Subtype.checkpoint) flag();
      return cutSealed(cutter, name);
    case Subtype.endorsement:
    case Subtype.hold:
      flag();
      return cutSealed(cutter, name);
    case Subtype.commit:
    case Subtype.knock:
    case Subtype.welcome:
      cutter.raw(12, `${name}.nonce`);
  }
  if (cutter.left > 0) cutter.raw(cutter.left, `${name}.sealed`);
}

/** Nonce and ciphertext, as an instance of a device seals them. */
function cutSealed(cutter: Cutter, name: string): void {
  if (cutter.left >= LEAST_SEALED) {
    cutter.raw(4, `${name}.hint`);
    cutter.u64(`${name}.counter`);
  }
  if (cutter.left > 0) cutter.raw(cutter.left, `${name}.sealed`);
}
