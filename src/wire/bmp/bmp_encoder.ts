/**
 * Frames to bytes.
 *
 * @module
 */
import type { Bytes } from "../bytes.ts";
import { binaryControl, binaryHead } from "./binary_form.ts";
import { type BmpFrame, carriesPayload, type Form } from "./bmp_frame.ts";
import { textHead } from "./text_form.ts";

const NOTHING = new Uint8Array(0);

/**
 * Writes one frame, in the very bytes that Blazeio would write. Header and payload share one
 * buffer: sent in one write they arrive together, which Blazeio 4.5.2 needs (a header cut in two
 * leaves it spinning). An ack of binary4 carries its `sid` as payload; text acks are anonymous.
 *
 * Throws `RangeError` for ids and sids that the form cannot carry and for a heartbeat in text form.
 */
export function encode(form: Form, { kind, id, sid = "", payload = NOTHING }: BmpFrame): Bytes {
  if (!carriesPayload(kind)) {
    if (form === "text") return join(textHead(kind, id, 0), NOTHING);
    const control = binaryControl(form, kind, sid);
    return join(binaryHead(form, kind, id, "", control.length) + control, NOTHING);
  }
  const head = form === "text"
    ? textHead(kind, id, payload.length)
    : binaryHead(form, kind, id, sid, payload.length);
  return join(head, payload);
}

/** One buffer from a header, one character per byte, and its payload. */
function join(head: string, payload: Uint8Array): Bytes {
  const bytes = new Uint8Array(head.length + payload.length);
  for (let i = 0; i < head.length; i++) bytes[i] = head.charCodeAt(i);
  bytes.set(payload, head.length);
  return bytes;
}
