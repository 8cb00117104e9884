/**
 * An ECG peer of its own: headers by hand, the kit's own MessagePack for the payload, `node:zlib`
 * for the rest. It shares no line with `src/`, and no library either.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { crc32, deflateSync, inflateSync } from "node:zlib";
import { naiveDecode, naiveEncode } from "./naive_msgpack.ts";

export interface PeerMessage {
  readonly version: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: unknown;
}

/** A message of version 1, 2 or 3; 2 and 3 compress what has more than 1 KiB. */
export function peerEncode(
  version: number,
  type: number,
  payload: unknown,
): Uint8Array<ArrayBuffer> {
  let body: Uint8Array = naiveEncode(payload);
  const compressed = version > 1 && body.length > 1024;
  if (compressed) body = deflateSync(body, { level: 6 });
  const head = Buffer.alloc(version === 3 ? 19 : 11);
  head.writeUInt8(version, 0);
  head.writeUInt8(type, 1);
  head.writeUInt8(compressed ? 1 : 0, 2);
  head.writeUInt32BE(body.length, 3);
  head.writeUInt32BE(crc32(body), 7);
  if (version === 3) head.writeBigUInt64BE(BigInt(Date.now()) * 1000n, 11);
  return new Uint8Array(Buffer.concat([head, body]));
}

export function peerDecode(message: Uint8Array): PeerMessage {
  const bytes = Buffer.from(message);
  const version = bytes.readUInt8(0);
  const body = bytes.subarray(version === 3 ? 19 : 11);
  if (bytes.readUInt32BE(3) !== body.length) throw new Error("length");
  if (bytes.readUInt32BE(7) !== crc32(body)) throw new Error("checksum");
  const flags = bytes.readUInt8(2);
  const payload = naiveDecode(flags & 1 ? inflateSync(body) : body);
  return { version, type: bytes.readUInt8(1), flags, payload };
}
