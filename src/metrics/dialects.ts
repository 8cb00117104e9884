/**
 * How the meters read the two protocols.
 *
 * @module
 */
import { decodeFrame, FrameType } from "../wire/blaze/frame.ts";
import { decodeRecord } from "../wire/blaze/record.ts";
import { MessageType } from "../wire/ecg/codes.ts";
import { decode } from "../wire/ecg/message.ts";
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

const UNKNOWN = -1;
const codeOf = (code: unknown): number =>
  typeof code === "number" && Number.isSafeInteger(code) && code >= 0 ? code : UNKNOWN;
