/**
 * Handshake, HandshakeAck and Verify: the payloads that open a link (seed 1, "Connection handshake").
 *
 * Handshake:
 *
 * | bytes | field                                                     |
 * | ----- | --------------------------------------------------------- |
 * | 1 + n | length and `blazedb/1.0`                                  |
 * | 16    | node id                                                   |
 * | 1 + n | length and database name, 1 to 127 bytes of UTF-8, no `:` |
 * | 65    | P-256 public key, uncompressed: `04`, x, y                |
 * | 1     | capabilities                                              |
 * | 8     | the sender's clock, milliseconds since 1970               |
 * | ...   | TLVs, where capability bit 7 is set                       |
 *
 * HandshakeAck, as drawn: node id, database, key, capabilities, clock, 16-byte challenge, TLVs. As
 * the seed's sample code reads it: the Handshake's fields, then the challenge, then TLVs.
 *
 * Verify shares the type of the Ack and is told apart by its 32 bytes.
 *
 * @module
 */
import { type Bytes, Reader, utf8Bytes, WireError, Writer } from "../bytes.ts";

export const PROTOCOL = "blazedb/1.0";
export const NODE_ID_LENGTH = 16;
export const PUBLIC_KEY_LENGTH = 65;
export const CHALLENGE_LENGTH = 16;
export const VERIFY_LENGTH = 32;
/** Longest name that reads the same as a varint length and as a one-byte length. */
export const MAX_NAME = 127;

/** Capability bits. 2 and 3 are meant blindly: by tag, and by the grant for a database. */
export const Capability = {
  encryption: 1 << 0,
  compression: 1 << 1,
  selectiveSync: 1 << 2,
  rowLevelSecurity: 1 << 3,
  /** 5-byte headers may be sent to me. */
  shortHeaders: 1 << 4,
  /** Group profile. Implies the legend reading and both header sizes. */
  group: 1 << 5,
  /** Retired. */
  sequence: 1 << 6,
  /** TLVs follow the fixed fields. */
  tlvs: 1 << 7,
} as const;

/** Types of the trailing values. */
export const TlvType = {
  /** 32 bytes: SHA-256 of the nonce that a `reveal` will show. */
  commitment: 1,
  /** Proof of membership: the device's signature of the Handshake, sealed under the epoch. */
  membership: 2,
  /** Retired. 16 bytes: ring id 8, sequence u64. */
  resume: 3,
  /** 4 bytes: the largest batch accepted, in bytes. */
  batch: 4,
  /** Nothing: this profile member serves clients that speak no group profile. */
  sponsor: 5,
  /** 16 bytes: names this run of the program; it answers operations with receipts. */
  receipts: 6,
  /** 1 byte, in `joined`: this relay keeps logs, so safely (durability 0 to 3). */
  log: 7,
} as const;

/** One trailing value: type u8, length u16, value. Unknown types are kept and passed on. */
export interface Tlv {
  readonly type: number;
  readonly value: Uint8Array;
}

export interface Handshake {
  /** 16 bytes. */
  readonly node: Uint8Array;
  readonly database: string;
  /** 65 bytes, first one `04`. Whether it lies on the curve is for its user to check. */
  readonly publicKey: Uint8Array;
  readonly capabilities: number;
  /** Milliseconds since 1970, u64. */
  readonly timestamp: bigint;
  readonly tlvs: readonly Tlv[];
}

export interface HandshakeAck extends Handshake {
  /** 16 random bytes, the same for both sides of a pair. */
  readonly challenge: Uint8Array;
}

/** Which of its two readers a HandshakeAck is written for. */
export type AckLayout = "drawing" | "sample";

export type HandshakeErrorCode =
  | "TRUNCATED"
  | "TRAILING_BYTES"
  | "INVALID_UTF8"
  | "UNSUPPORTED_PROTOCOL"
  | "EMPTY_DATABASE"
  | "NAME_LENGTH"
  | "NAME_COLON"
  | "INVALID_POINT"
  | "DUPLICATE_TLV"
  | "NAME_TEXT";

/** Reads a Handshake payload. Throws {@linkcode HandshakeErrorCode}. */
export function decodeHandshake(payload: Uint8Array): Handshake {
  const r = new Reader(payload);
  readProtocol(r);
  const fields = readFields(r);
  return { ...fields, tlvs: readTrailing(r, fields.capabilities) };
}

/** Writes a Handshake payload. Throws as {@linkcode decodeHandshake} would on the result. */
export function encodeHandshake(handshake: Handshake): Bytes {
  const w = new Writer(192);
  writeName(w, PROTOCOL);
  writeFields(w, handshake);
  writeTrailing(w, handshake);
  return w.finish();
}

/**
 * Reads a HandshakeAck payload in the layout that was asked for. Where that is not said, the sample's is
 * told by the protocol's name at its beginning; whoever chooses a node id can choose one that begins so.
 */
export function decodeHandshakeAck(
  payload: Uint8Array,
  layout: AckLayout = startsWithProtocol(payload) ? "sample" : "drawing",
): HandshakeAck {
  const r = new Reader(payload);
  if (layout === "sample") readProtocol(r);
  const fields = readFields(r);
  const challenge = r.bytes(CHALLENGE_LENGTH);
  return { ...fields, challenge, tlvs: readTrailing(r, fields.capabilities) };
}

/** Writes a HandshakeAck payload. */
export function encodeHandshakeAck(ack: HandshakeAck, layout: AckLayout = "drawing"): Bytes {
  if (ack.challenge.length !== CHALLENGE_LENGTH) {
    throw new RangeError(`a challenge has ${CHALLENGE_LENGTH} bytes, not ${ack.challenge.length}`);
  }
  const w = new Writer(192);
  if (layout === "sample") writeName(w, PROTOCOL);
  writeFields(w, ack);
  w.bytes(ack.challenge);
  writeTrailing(w, ack);
  return w.finish();
}

/** The first trailing value of a type. */
export const tlv = (handshake: Handshake, type: number): Uint8Array | undefined =>
  handshake.tlvs.find((one) => one.type === type)?.value;

/** Throws unless `name` can name a database: 1 to 127 bytes of UTF-8 without `:`. */
export function checkDatabase(name: string): void {
  const length = utf8Bytes(name).length;
  if (length === 0) throw new WireError("EMPTY_DATABASE", 0, "a database needs a name");
  if (length > MAX_NAME) throw new WireError("NAME_LENGTH", 0, `at most ${MAX_NAME} bytes`);
  // Names are joined with ":" when keys are derived: "a:b" and "c" would give the key of "a", "b:c".
  if (name.includes(":")) throw new WireError("NAME_COLON", name.indexOf(":"), 'no ":" in a name');
  if (!name.isWellFormed()) throw new WireError("NAME_TEXT", 0, "half a surrogate pair");
}

const startsWithProtocol = (payload: Uint8Array): boolean =>
  payload[0] === PROTOCOL.length &&
  String.fromCharCode(...payload.subarray(1, 9)) === PROTOCOL.slice(0, 8);

function readProtocol(r: Reader): void {
  const at = r.offset;
  const protocol = readName(r);
  if (protocol !== PROTOCOL) throw new WireError("UNSUPPORTED_PROTOCOL", at, `want ${PROTOCOL}`);
}

function readName(r: Reader): string {
  const at = r.offset;
  const length = r.u8();
  if (length > MAX_NAME) throw new WireError("NAME_LENGTH", at, `at most ${MAX_NAME} bytes`);
  return r.text(length);
}

function readFields(r: Reader): Omit<Handshake, "tlvs"> {
  const node = r.bytes(NODE_ID_LENGTH);
  const at = r.offset;
  const database = readName(r);
  if (database === "") throw new WireError("EMPTY_DATABASE", at);
  if (database.includes(":")) throw new WireError("NAME_COLON", at);
  const keyAt = r.offset;
  const publicKey = r.bytes(PUBLIC_KEY_LENGTH);
  if (publicKey[0] !== 0x04) throw new WireError("INVALID_POINT", keyAt, "65 bytes with 04 first");
  return { node, database, publicKey, capabilities: r.u8(), timestamp: r.u64() };
}

/** To the end of the payload. Throws `DUPLICATE_TLV` and `TRUNCATED`. */
export function readTlvs(r: Reader): Tlv[] {
  const tlvs: Tlv[] = [];
  while (r.left > 0) {
    const at = r.offset;
    const type = r.u8();
    if (tlvs.some((one) => one.type === type)) throw new WireError("DUPLICATE_TLV", at);
    tlvs.push({ type, value: r.bytes(r.u16()) });
  }
  return tlvs;
}

/** To the end of the payload. Without the capability there may be none. */
function readTrailing(r: Reader, capabilities: number): Tlv[] {
  const tlvs = capabilities & Capability.tlvs ? readTlvs(r) : [];
  r.end();
  return tlvs;
}

function writeName(w: Writer, name: string): void {
  const bytes = utf8Bytes(name);
  w.u8(bytes.length).bytes(bytes);
}

function writeFields(w: Writer, h: Handshake): void {
  if (h.node.length !== NODE_ID_LENGTH) throw new RangeError("a node id has 16 bytes");
  checkDatabase(h.database);
  if (h.publicKey.length !== PUBLIC_KEY_LENGTH || h.publicKey[0] !== 0x04) {
    throw new WireError("INVALID_POINT", 0, "65 bytes with 04 first");
  }
  w.bytes(h.node);
  writeName(w, h.database);
  w.bytes(h.publicKey).u8(h.capabilities).u64(h.timestamp);
}

function writeTrailing(w: Writer, h: Handshake): void {
  if (h.tlvs.length > 0 && !(h.capabilities & Capability.tlvs)) {
    throw new RangeError("trailing values need capability bit 7");
  }
  writeTlvs(w, h.tlvs);
}

/** Throws `DUPLICATE_TLV`, and `RangeError` for a value above 65,535 bytes. */
export function writeTlvs(w: Writer, tlvs: readonly Tlv[]): void {
  const types = new Set<number>();
  for (const { type, value } of tlvs) {
    if (types.has(type)) throw new WireError("DUPLICATE_TLV", w.length);
    if (value.length > 0xffff) throw new RangeError("a trailing value has at most 65,535 bytes");
    types.add(type);
    w.u8(type).u16(value.length).bytes(value);
  }
}
