/**
 * What is wrong with a message, or what it says is wrong.
 *
 * @module
 */
import { Close, Refused } from "../src/close.ts";
import { decodeExtension } from "../src/wire/blaze/extension.ts";
import { decodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeHandshake } from "../src/wire/blaze/handshake.ts";
import { decodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { WireError } from "../src/wire/bytes.ts";
import { type ErrorCode, errorText, MessageType } from "../src/wire/ecg/codes.ts";
import { decode } from "../src/wire/ecg/ecg_message.ts";
import type { Direction } from "./inspect/capture.ts";
import { dissect, dissectorFor } from "./inspect/dissectors.ts";
import { shortHex } from "./inspect/dissector.ts";
import { messagesOf } from "./inspect/dissect_ecg.ts";

export interface Complaint {
  readonly code: string;
  readonly text: string;
  /** Lines that help to find it. */
  readonly detail: readonly string[];
}

/** Everything to complain about in one message. */
export function complaintsOf(bytes: Uint8Array, direction?: Direction): Complaint[] {
  const protocol = dissectorFor(bytes)?.name;
  try {
    if (protocol === "blaze") return blaze(bytes);
    if (protocol === "record" || protocol === "operation") return [];
    return messagesOf(bytes).flatMap(ecg);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const sender = direction === "<" ? "the relay" : direction === ">" ? "the client" : "somebody";
    return [{
      code: error.code,
      text: `${sender} sent: ${error.message}`,
      detail: around(bytes, error.offset, protocol),
    }];
  }
}

function ecg(bytes: Uint8Array): Complaint[] {
  const { type, payload } = decode(bytes);
  if (type !== MessageType.ERROR) return [];
  const { code, message } = (payload ?? {}) as { code?: unknown; message?: unknown };
  const help = typeof code === "number" ? errorText[code as ErrorCode] : undefined;
  return [{
    code: typeof code === "number" ? `0x${code.toString(16)}` : "no code",
    text: String(message ?? ""),
    detail: help === undefined || String(message).includes(help) ? [] : [help],
  }];
}

function blaze(bytes: Uint8Array): Complaint[] {
  const reading = (bytes[2]! & 0x70) === 0 || (bytes[2]! & 0xb0) === 0 ? "legend" : "examples";
  const { type, payload, encrypted, compressed } = decodeFrame(bytes, reading);
  if (encrypted || compressed) return [];
  if (type === FrameType.extension) {
    decodeExtension(payload);
  } else if (type === FrameType.handshake) {
    decodeHandshake(payload);
  } else if (type === FrameType.error) {
    const { code, message } = decodeRecord(payload);
    const fault = [...Object.values(Close), ...Object.values(Refused)]
      .find((one) => one.code === code);
    return [{ code: String(code), text: String(message), detail: fault ? [fault.help] : [] }];
  }
  return [];
}

/** The field in which a fault was seen, and the bytes there. */
function around(bytes: Uint8Array, offset: number, protocol: string | undefined): string[] {
  const { rows } = dissect(bytes, protocol ?? "ecg");
  const row = rows.find((one) =>
    one.within === undefined && offset >= one.offset && offset < one.offset + one.length
  );
  const near = bytes.subarray(Math.max(0, offset - 4), offset + 12);
  return [
    ...(row ? [`in ${row.name}: ${row.value}`] : []),
    `bytes from ${Math.max(0, offset - 4)}: ${shortHex(near)}`,
  ];
}
