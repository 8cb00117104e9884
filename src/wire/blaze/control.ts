/**
 * Payloads of the control frames, as BlazeBinary records: named fields leave room to grow.
 *
 * | type                   | record                                 |
 * | ---------------------- | -------------------------------------- |
 * | Subscribe, Unsubscribe | `{tags: data}`, 8 bytes for each tag   |
 * | Error                  | `{code: int, message: string}`         |
 *
 * An empty Subscribe, one without `tags`, or one that names a collection in plain text means
 * everything: a relay that cannot read collections can only tell tags apart.
 *
 * @module
 */
import { type Bytes, WireError } from "../bytes.ts";
import { TAG_LENGTH } from "./extension.ts";
import { decodeRecord, encodeRecord } from "./blaze_record.ts";

/** What went wrong, in a number and a sentence. */
export interface BlazeFault {
  readonly code: number;
  readonly message: string;
}

export type ControlErrorCode = "TAG_LENGTH" | "MISSING_FIELD";

/** Reads an Error payload. An empty one is code 0. Throws the codes of records, `MISSING_FIELD`. */
export function decodeFault(payload: Uint8Array): BlazeFault {
  if (payload.length === 0) return { code: 0, message: "" };
  const { code, message } = decodeRecord(payload);
  // A number may be a double: 1.5 is no code.
  if (typeof code !== "number" || !Number.isInteger(code) || typeof message !== "string") {
    throw new WireError("MISSING_FIELD", 0, "an Error has code and message");
  }
  return { code, message };
}

/** Writes an Error payload. */
export const encodeFault = ({ code, message }: BlazeFault): Bytes =>
  encodeRecord({ code, message });

/** No name in plain text goes on with a byte below the space, and every record does. */
const isRecord = (payload: Uint8Array): boolean =>
  String.fromCharCode(...payload.subarray(0, 5)) === "BLAZE" && payload[5]! < 0x20;

/**
 * Reads the tags of a Subscribe or Unsubscribe payload: views of 8 bytes each, or `undefined` for
 * everything. Throws the codes of records, and `TAG_LENGTH`.
 */
export function decodeTags(payload: Uint8Array): Uint8Array[] | undefined {
  if (!isRecord(payload)) return undefined;
  const { tags } = decodeRecord(payload);
  if (!(tags instanceof Uint8Array) || tags.length === 0) return undefined;
  if (tags.length % TAG_LENGTH !== 0) throw new WireError("TAG_LENGTH", 0, "8 bytes for each tag");
  return Array.from(
    { length: tags.length / TAG_LENGTH },
    (_, i) => tags.subarray(TAG_LENGTH * i, TAG_LENGTH * (i + 1)),
  );
}

/** Writes a Subscribe or Unsubscribe payload. Throws `TAG_LENGTH`. */
export function encodeTags(tags: readonly Uint8Array[]): Bytes {
  if (tags.some((tag) => tag.length !== TAG_LENGTH)) {
    throw new WireError("TAG_LENGTH", 0, "8 bytes for each tag");
  }
  const data = new Uint8Array(TAG_LENGTH * tags.length);
  tags.forEach((tag, i) => data.set(tag, TAG_LENGTH * i));
  return encodeRecord({ tags: data });
}
