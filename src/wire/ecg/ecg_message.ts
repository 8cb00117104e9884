/**
 * One message of the ECG protocol: a header, then the payload. All numbers are big-endian.
 *
 * | offset | bytes | field     | range                                                        |
 * | -----: | ----: | --------- | ------------------------------------------------------------ |
 * |      0 |     1 | version   | 1, 2, 3                                                      |
 * |      1 |     1 | type      | one of {@linkcode MessageType}                               |
 * |      2 |     1 | flags     | bits of {@linkcode Flag}; V1 has none, V2 only COMPRESSED    |
 * |      3 |     4 | length    | bytes of payload on the wire, 0 to the limit (1 MiB)         |
 * |      7 |     4 | checksum  | CRC-32 of the payload as it is on the wire                   |
 * |     11 |     8 | timestamp | V3 only: microseconds since the Unix epoch, 0 to 2^64-1      |
 *
 * ("Message Structure", "Flags", "Compression", "Checksum" and "Timestamps" of the protocol.) The
 * payload is one MessagePack value; none at all stands for nil. One message is one WebSocket
 * message. A relay uses {@linkcode open} and {@linkcode reframe} and never builds a value; its
 * clients use {@linkcode encode} and {@linkcode decode}.
 *
 * @module
 */
import { type Bytes, Reader, WireError, Writer } from "../bytes.ts";
import { crc32, deflate, inflate } from "../zlib.ts";
import {
  COMPRESS_ABOVE,
  Flag,
  headerSize,
  isMessageType,
  knownFlags,
  MAX_PAYLOAD,
  MessageType,
  Version,
} from "./codes.ts";
import { type Payload, readPayload, writePayload } from "./payload.ts";

/** The header without what follows from the payload. */
export interface Header {
  readonly version: Version;
  readonly type: MessageType;
  /** Bits of {@linkcode Flag}. */
  readonly flags: number;
  /** Microseconds since the Unix epoch, up to 2^64-1; null in V1 and V2. */
  readonly timestamp: bigint | null;
}

/** A message with its value. */
export interface DecodedMessage extends Header {
  /** With ENCRYPTED the bytes as they are, else the value. */
  readonly payload: Payload;
}

/** A message that passed every check but those that look into MessagePack. */
export interface OpenMessage extends Header {
  /** CRC-32 of `body`. */
  readonly checksum: number;
  /** The payload as it is on the wire, a view of the message. */
  readonly body: Uint8Array;
  /** The payload inflated: MessagePack that nobody looked at yet. Null when it is ENCRYPTED. */
  readonly msgpack: Uint8Array | null;
}

const isVersion = (byte: number): byte is Version => byte === 1 || byte === 2 || byte === 3;

/**
 * Checks a message as far as a relay must: version, type, flags, length, checksum, inflating, in
 * this order. `limit` is the most bytes of payload, on the wire and again once inflated.
 *
 * Throws `INVALID_VERSION`, `INVALID_TYPE`, `INVALID_FLAGS`, `TOO_LARGE`, `TRUNCATED`,
 * `TRAILING_BYTES`, `CHECKSUM_MISMATCH` and `DECOMPRESSION_FAILED`; `ecgCode` has the numbers.
 */
export function open(bytes: Uint8Array, limit: number = MAX_PAYLOAD): OpenMessage {
  const reader = new Reader(bytes);
  const version = reader.u8();
  if (!isVersion(version)) throw new WireError("INVALID_VERSION", 0, `version ${version}`);
  const type = reader.u8();
  if (!isMessageType(type)) throw new WireError("INVALID_TYPE", 1, `type ${type}`);
  const flags = reader.u8();
  checkFlags(version, flags);
  const length = reader.u32();
  if (length > limit) throw new WireError("TOO_LARGE", 3, `${length} bytes; the limit is ${limit}`);
  const checksum = reader.u32();
  const timestamp = version === Version.V3 ? reader.u64() : null;
  const body = reader.bytes(length);
  reader.end();
  if (crc32(body) !== checksum) throw new WireError("CHECKSUM_MISMATCH", 7);
  const msgpack = flags & Flag.ENCRYPTED
    ? null
    : flags & Flag.COMPRESSED
    ? inflate(body, limit)
    : body;
  return { version, type, flags, timestamp, checksum, body, msgpack };
}

/**
 * Reads a message to the end. Binary values in it are views of `bytes`, or of the inflated copy.
 *
 * Throws what {@linkcode open} and `readPayload` throw.
 */
export function decode(bytes: Uint8Array, limit: number = MAX_PAYLOAD): DecodedMessage {
  const { version, type, flags, timestamp, body, msgpack } = open(bytes, limit);
  return { version, type, flags, timestamp, payload: msgpack ? readPayload(msgpack) : body };
}

/** What {@linkcode encode} takes. */
export interface Outgoing {
  readonly version: Version;
  readonly type: MessageType;
  /** COMPRESSED is set or cleared as it turns out. 0 unless given. */
  readonly flags?: number;
  /** V3 must have it; the others have no place for it. */
  readonly timestamp?: bigint | null;
  /** Anything MessagePack and the wrappers can say; with ENCRYPTED the bytes to send. */
  readonly payload: unknown;
}

/** How {@linkcode encode} goes about it. */
export interface EncodeOptions {
  /** Compress a payload of more than 1024 bytes where that makes it smaller. True unless given. */
  readonly compress?: boolean;
  /** Most bytes of payload, before and after compressing. */
  readonly limit?: number;
}

/**
 * Writes a message. V1 is never compressed, an ENCRYPTED payload is sent as it is.
 *
 * Throws `INVALID_FLAGS`, `INVALID_TIMESTAMP`, `TOO_LARGE`, and what `writePayload` throws.
 */
export function encode(message: Outgoing, options: EncodeOptions = {}): Bytes {
  const { version, type, timestamp = null, payload } = message;
  const { compress = true, limit = MAX_PAYLOAD } = options;
  let flags = message.flags ?? 0;
  let body: Uint8Array;
  if (flags & Flag.ENCRYPTED) {
    if (!(payload instanceof Uint8Array)) throw new WireError("UNSUPPORTED_VALUE", 0, "no bytes");
    body = payload;
  } else {
    body = writePayload(payload);
    flags &= ~Flag.COMPRESSED;
  }
  checkFlags(version, flags);
  checkSize(body, limit);
  const mayShrink = compress && version !== Version.V1 && !(flags & Flag.ENCRYPTED);
  const smaller = mayShrink ? squeeze(body) : undefined;
  if (smaller) {
    body = smaller;
    flags |= Flag.COMPRESSED;
  }
  return frame({ version, type, flags, timestamp }, crc32(body), body);
}

/**
 * The same message for readers of another version; the MessagePack stays byte for byte.
 *
 * V1 gets it inflated. V2 and V3 get the payload as it was on the wire, so its checksum still
 * holds. Flags that the version lacks are dropped. V3 keeps the timestamp of a V3 message and gives
 * `timestamp` (microseconds since the Unix epoch) to the others. Throws `ENCRYPTED` for a message
 * that is, but for V3.
 */
export function reframe(message: OpenMessage, version: Version, timestamp: bigint): Bytes {
  const { type, msgpack, body, checksum } = message;
  if (msgpack === null && version !== Version.V3) {
    throw new WireError("ENCRYPTED", 2, `version ${version} cannot carry it`);
  }
  const flags = message.flags & knownFlags[version];
  const header = { version, type, flags, timestamp: message.timestamp ?? timestamp };
  return version === Version.V1 && msgpack !== null && msgpack !== body
    ? frame(header, crc32(msgpack), msgpack)
    : frame(header, checksum, body);
}

/**
 * The answer to a PING, in a version of choice: its payload byte for byte, compressed or sealed as it
 * came. `timestamp`: of the answer. Throws `ENCRYPTED` as {@linkcode reframe} does.
 */
export function pong(ping: OpenMessage, version: Version, timestamp: bigint): Bytes {
  const flags = ping.flags & (Flag.COMPRESSED | Flag.ENCRYPTED);
  return reframe({ ...ping, type: MessageType.PONG, flags, timestamp }, version, timestamp);
}

/**
 * An opened message with another payload, to be framed for any version. Compressed where that makes
 * it smaller, which V1 does not see. Throws `TOO_LARGE`.
 */
export function refill(
  message: OpenMessage,
  msgpack: Bytes,
  { compress = true, limit = MAX_PAYLOAD }: EncodeOptions = {},
): OpenMessage {
  checkSize(msgpack, limit);
  const flags = message.flags & ~Flag.COMPRESSED;
  const smaller = compress && squeeze(msgpack);
  const body = smaller || msgpack;
  return {
    ...message,
    version: Version.V3,
    flags: smaller ? flags | Flag.COMPRESSED : flags,
    checksum: crc32(body),
    body,
    msgpack,
  };
}

function checkSize(body: Uint8Array, limit: number): void {
  if (body.length <= limit) return;
  throw new WireError("TOO_LARGE", 3, `${body.length} bytes; the limit is ${limit}`);
}

/** The zlib stream, where that is worth it. */
function squeeze(body: Uint8Array): Bytes | undefined {
  if (body.length <= COMPRESS_ABOVE) return undefined;
  const smaller = deflate(body);
  return smaller.length < body.length ? smaller : undefined;
}

function checkFlags(version: Version, flags: number): void {
  if (flags & ~knownFlags[version]) {
    throw new WireError("INVALID_FLAGS", 2, `flags ${flags} in version ${version}`);
  }
}

/** The one copy of the payload into the bytes to send. */
function frame(header: Header, checksum: number, body: Uint8Array): Bytes {
  const { version, type, flags, timestamp } = header;
  const writer = new Writer(headerSize[version] + body.length);
  writer.u8(version).u8(type).u8(flags).u32(body.length).u32(checksum);
  if (version === Version.V3) {
    if (timestamp === null || timestamp !== BigInt.asUintN(64, timestamp)) {
      throw new WireError("INVALID_TIMESTAMP", 11, "version 3 needs one of 64 bits");
    }
    writer.u64(timestamp);
  }
  return writer.bytes(body).finish();
}
