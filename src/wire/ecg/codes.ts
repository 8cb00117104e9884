/**
 * The numbers of the ECG protocol, under the names the protocol gives them.
 *
 * @module
 */
import type { WireError } from "../bytes.ts";

/** Protocol versions. 2 adds compression; 3 adds the timestamp and the other flags. */
export const Version = { V1: 1, V2: 2, V3: 3 } as const;
export type Version = typeof Version[keyof typeof Version];

/** "Message Types": the second byte of a message. */
export const MessageType = {
  ECG_DATA: 0x01,
  ANOMALY_ALERT: 0x02,
  PREDICTION_RESULT: 0x03,
  FEATURE_DATA: 0x04,
  HEARTBEAT: 0x10,
  PING: 0x11,
  PONG: 0x12,
  SUBSCRIBE: 0x20,
  UNSUBSCRIBE: 0x21,
  SUBSCRIPTION_ACK: 0x22,
  VERSION_CHECK: 0xfd,
  PROTOCOL_NEGOTIATION: 0xfe,
  ERROR: 0xff,
} as const;
export type MessageType = typeof MessageType[keyof typeof MessageType];

const types: ReadonlySet<number> = new Set(Object.values(MessageType));

/** Whether this byte names a message type. */
export const isMessageType = (byte: number): byte is MessageType => types.has(byte);

/** "Flags": bits of the third byte. Bits 5 to 7 are reserved and must be 0. */
export const Flag = {
  /** The payload is one zlib stream. */
  COMPRESSED: 0x01,
  /** The payload is opaque to everyone but its readers. */
  ENCRYPTED: 0x02,
  /** Ahead of ordinary messages. */
  PRIORITY: 0x04,
  /** For every client, whatever it subscribed to. */
  BROADCAST: 0x08,
  /** The sender wants a SUBSCRIPTION_ACK for this message. */
  ACK_REQUIRED: 0x10,
} as const;
export type Flag = typeof Flag[keyof typeof Flag];

/** Whether a message goes ahead of samples: the delivery class `alert`. */
export const isAlert = ({ type, flags }: { type: MessageType; flags: number }): boolean =>
  (flags & Flag.PRIORITY) !== 0 || type === MessageType.ANOMALY_ALERT;

/** The flags each version has. Any other bit makes a message invalid. */
export const knownFlags: Readonly<Record<Version, number>> = { 1: 0x00, 2: 0x01, 3: 0x1f };

/** Bytes of header before the payload. */
export const headerSize: Readonly<Record<Version, number>> = { 1: 11, 2: 11, 3: 19 };

/** Most bytes in a payload, on the wire and again once inflated, unless a caller says otherwise. */
export const MAX_PAYLOAD = 1_048_576;

/** "Compress payloads > 1KB": one of exactly this many bytes is still sent as it is. */
export const COMPRESS_ABOVE = 1024;

/**
 * "Error Codes": what the `code` of an ERROR message says.
 *
 * The names are also the codes of the {@linkcode WireError}s thrown here; {@linkcode ecgCode} goes
 * from one to the other.
 */
export const ErrorCode = {
  INVALID_VERSION: 0x100,
  CHECKSUM_MISMATCH: 0x101,
  TOO_LARGE: 0x102,
  DECOMPRESSION_FAILED: 0x103,
  INVALID_TYPE: 0x104,
  INVALID_DATA: 0x200,
  MISSING_FIELDS: 0x201,
  AUTHENTICATION_FAILED: 0x202,
  PERMISSION_DENIED: 0x203,
  RATE_LIMITED: 0x204,
} as const;
export type ErrorCode = typeof ErrorCode[keyof typeof ErrorCode];

/** One sentence per error that says what to do about it: the `message` of an ERROR message. */
export const errorText: Readonly<Record<ErrorCode, string>> = {
  0x100: "Unknown protocol version: send version 1, 2 or 3.",
  0x101: "Checksum mismatch: send CRC-32 of the payload exactly as it is on the wire.",
  0x102: "Message too large: split it, or read max_message_size in PROTOCOL_NEGOTIATION.",
  0x103: "Decompression failed: send one whole zlib stream, or clear COMPRESSED.",
  0x104: "Unknown message type: send one of the types in the protocol.",
  0x200: "Invalid data format: check length, flags, MessagePack and wrappers.",
  0x201: "Required fields are missing: add those that this message type needs.",
  0x202: "Authentication failed: connect again with a valid token.",
  0x203: "Permission denied: ask for a grant that covers this stream and action.",
  0x204: "Rate limit exceeded: wait a moment, then send more slowly.",
};

/** The number for an error that decoding threw: 0x200 for every fault without one of its own. */
export function ecgCode(error: WireError): ErrorCode {
  const codes: Readonly<Record<string, ErrorCode>> = ErrorCode;
  return Object.hasOwn(codes, error.code) ? codes[error.code]! : ErrorCode.INVALID_DATA;
}
