/**
 * How the meters read the two protocols.
 *
 * @module
 */
import { decodeFrame, FrameType } from "../wire/blaze/blaze_frame.ts";
import { decodeRecord } from "../wire/blaze/blaze_record.ts";
import { MAX_BATCH, splitBatch } from "../wire/ecg/message_batch.ts";
import { headerSize, MessageType, type Version } from "../wire/ecg/codes.ts";
import { decode } from "../wire/ecg/ecg_message.ts";
import type { Dialect } from "./meter.ts";

/** Types that no message has: the byte itself stands for them. */
const namer = (names: Readonly<Record<string, number>>) => {
  const byNumber = new Map(Object.entries(names).map(([name, type]) => [type, name]));
  return (type: number) => byNumber.get(type) ?? `0x${type.toString(16).padStart(2, "0")}`;
};

export const ecgDialect: Dialect = {
  name: "ecg",
  typeOf: (message) => message[1] ?? 0,
  typeName: namer(MessageType),
  errorType: MessageType.ERROR,
  batch(message) {
    if (message.length > MAX_BATCH || messageLength(message) >= message.length) return undefined;
    const messages = splitBatch(message);
    return messages.length > 1 ? messages : undefined;
  },
  faultOf(message) {
    try {
      const { payload } = decode(message);
      return codeOf((payload as { code?: unknown } | null)?.code);
    } catch {
      return UNKNOWN;
    }
  },
};

export const blazeDialect: Dialect = {
  name: "blaze",
  // The same low bits in both readings of the flags.
  typeOf: (message) => (message[2] ?? FrameType.reserved) & 0x0f,
  typeName: namer(FrameType),
  errorType: FrameType.error,
  faultOf(message) {
    try {
      const reading = (message[2]! & 0x40) === 0 ? "legend" : "examples";
      return codeOf(decodeRecord(decodeFrame(message, reading).payload).code);
    } catch {
      // A device's own Error, sealed for another device.
      return UNKNOWN;
    }
  },
};

/** Bytes of the message that begins here, by its header; without one, all of it. */
function messageLength(message: Uint8Array): number {
  const header = headerSize[message[0] as Version] ?? 0;
  if (header === 0 || message.length < header) return Infinity;
  const [a, b, c, d] = [message[3]!, message[4]!, message[5]!, message[6]!];
  return header + ((a << 24 | b << 16 | c << 8 | d) >>> 0);
}

const UNKNOWN = -1;
const codeOf = (code: unknown): number =>
  typeof code === "number" && Number.isSafeInteger(code) && code >= 0 ? code : UNKNOWN;
