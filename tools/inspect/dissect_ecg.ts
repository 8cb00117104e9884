/**
 * Names every byte of a message of the ECG protocol.
 *
 * @module
 */
import { WireError } from "../../src/wire/bytes.ts";
import { splitBatch } from "../../src/wire/ecg/message_batch.ts";
import {
  Flag,
  headerSize,
  isMessageType,
  MAX_PAYLOAD,
  MessageType,
} from "../../src/wire/ecg/codes.ts";
import { crc32, inflate } from "../../src/wire/zlib.ts";
import { bits, Cutter, type Dissector, hexByte, moment, type Row, shortHex } from "./dissector.ts";
import { cutMsgpack } from "./dissect_msgpack.ts";

const typeNames = new Map(
  Object.entries(MessageType).map(([name, type]) => [type as number, name]),
);

/** How many bytes the header at the front asks for; undefined where there is no header. */
function wanted(bytes: Uint8Array): number | undefined {
  const [version, type] = bytes;
  if (version !== 1 && version !== 2 && version !== 3) return undefined;
  if (type === undefined || !isMessageType(type)) return undefined;
  if (bytes.length < headerSize[version]) return undefined;
  return headerSize[version] + new DataView(bytes.buffer, bytes.byteOffset).getUint32(3);
}

/** The messages of a batch, which is whole messages and nothing else; or all of it as one. */
export function messagesOf(bytes: Uint8Array): readonly Uint8Array[] {
  const messages = splitBatch(bytes.slice());
  return messages.every((one) => wanted(one) === one.length) ? messages : [bytes];
}

export const ecg: Dissector = {
  name: "ecg",
  detect: (bytes) => messagesOf(bytes).every((one) => wanted(one) === one.length),
  dissect(bytes) {
    const rows: Row[] = [];
    const messages = messagesOf(bytes);
    new Cutter(bytes, rows).finish((cutter) => {
      messages.forEach((message, i) => {
        const prefix = messages.length > 1 ? `[${i}] ` : "";
        cutter.inner(message.length, "message").finish((inner) => cut(inner, message, prefix));
      });
    });
    return rows;
  },
};

function cut(cutter: Cutter, bytes: Uint8Array, prefix: string): void {
  const version = cutter.u8(
    "version",
    (value) => value >= 1 && value <= 3 ? `${value}` : `${value}, unknown`,
  );
  cutter.u8(`${prefix}type`, (value) => `${hexByte(value)} ${typeNames.get(value) ?? "unknown"}`);
  const flags = cutter.u8(`${prefix}flags`, (value) => bits(value, Flag));
  const header = version === 3 ? 19 : 11;
  const length = cutter.u32(`${prefix}length`, (value) => {
    const there = Math.max(0, bytes.length - header);
    return value === there ? `${value}` : `${value}, but ${there} bytes follow the header`;
  });
  const body = bytes.subarray(header, header + length);
  cutter.u32(`${prefix}checksum`, (value) => {
    const right = crc32(body);
    const hex = (one: number) => one.toString(16).padStart(8, "0");
    return `${hex(value)} ${value === right ? "right" : `wrong, CRC-32 is ${hex(right)}`}`;
  });
  if (version === 3) {
    cutter.u64(`${prefix}timestamp`, (value) => `${value} µs, ${moment(Number(value / 1000n))}`);
  }
  if (cutter.left === 0) return;
  if (flags & Flag.ENCRYPTED) {
    cutter.raw(Math.min(length, cutter.left), `${prefix}payload, encrypted`);
  } else if (flags & Flag.COMPRESSED) {
    compressed(cutter, Math.min(length, cutter.left), prefix);
  } else {
    cutter.inner(Math.min(length, cutter.left), "payload").finish((inner) =>
      cutMsgpack(inner, `${prefix}payload`)
    );
  }
}

function compressed(cutter: Cutter, length: number, prefix: string): void {
  let plain: Uint8Array | undefined;
  cutter.take(length, `${prefix}payload, compressed`, (body) => {
    try {
      plain = inflate(body, MAX_PAYLOAD);
      return `${shortHex(body)}, inflates to ${plain.length} bytes`;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return `${shortHex(body)}, ${error.message}`;
    }
  });
  if (plain) {
    new Cutter(plain, cutter.rows, 0, plain.length, "inflated").finish((inner) =>
      cutMsgpack(inner, `${prefix}payload`)
    );
  }
}
