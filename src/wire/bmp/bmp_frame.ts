/**
 * What a frame of the Blazeio Multiplexer Protocol is, whichever form carries it.
 *
 * ```text
 * text      <::ID::><::OPTIONS::><::LENGTH::>payload
 * binary3   00 ID 01  00 OPTIONS 01  00 LENGTH 01  payload
 * binary4   00 ID 01  00 OPTIONS 01  00 SID 01  00 LENGTH 01  payload
 * ```
 *
 * LENGTH counts the payload's bytes in ASCII hexadecimal. Fields have no escaping, so none can hold
 * the mark that ends it; payloads may hold anything. Text is the form of the document (BMP 1.0
 * section 2) as Blazeio 2.2.4.5 speaks it, binary3 that of Blazeio 2.2.5.0 to 2.4.2, binary4 that
 * of Blazeio 2.4.3.0 to 4.5.2.
 *
 * @module
 */

/** How frames are written on one connection. Both directions use the same form. */
export type Form = "text" | "binary3" | "binary4";

/**
 * What a frame says about its stream.
 *
 * - `create`: first frame of a stream; usually carries payload. On an open stream it is `data`.
 * - `data`: payload. Options that nobody knows are read as `data`, as Blazeio does.
 * - `heartbeat`: binary only; Blazeio treats it as `data`.
 * - `ack`: one frame of the other side has arrived as a whole.
 * - `eof`: the sender has no more payload for this stream.
 * - `close`: the stream is over, both ways, without a reply.
 */
export type Kind = "create" | "data" | "heartbeat" | "ack" | "eof" | "close";

/** The header of a frame. */
export interface Head {
  readonly kind: Kind;
  /** Stream, unique among the connection's open streams. Well-formed Unicode, may be empty. */
  readonly id: string;
  /**
   * Which frame of the stream, one character (U+0000 to U+00FF) per byte. On `create`, `data` and
   * `heartbeat` what the ack shall repeat, and empty if no ack is wanted; on `ack` the frame that
   * arrived. Only binary4 carries it: elsewhere, and on `eof` and `close`, it is empty.
   */
  readonly sid: string;
  /** Payload bytes on the wire, those of `ack`, `eof` and `close` included. */
  readonly length: number;
  /** Header bytes on the wire. */
  readonly size: number;
}

/** A frame to write. */
export interface BmpFrame extends Pick<Head, "kind" | "id"> {
  /** As in {@linkcode Head}; empty if absent, and not written where the form has no place for it. */
  readonly sid?: string;
  /** Not written on `ack`, `eof` and `close`, whose few bytes the form dictates. */
  readonly payload?: Uint8Array;
}

/** Whether frames of this kind carry bytes for the stream's reader. */
export const carriesPayload = (kind: Kind): boolean =>
  kind === "data" || kind === "create" || kind === "heartbeat";

/**
 * Why a connection was refused. All are fatal: after a broken header nobody knows where the next
 * frame starts. The offset of the error counts from the first byte of the frame.
 *
 * - `UNKNOWN_FORM`: the first byte of the connection is neither `<` nor 00.
 * - `BAD_MARK`: a field does not start where the one before it ended.
 * - `ID_TOO_LONG`, `OPTIONS_TOO_LONG`, `SID_TOO_LONG`, `LENGTH_TOO_LONG`: a field is over its limit.
 * - `BAD_LENGTH`: the length is empty or not hexadecimal digits.
 * - `PAYLOAD_TOO_LARGE`: the length is over the limit.
 * - `INVALID_UTF8`: the id is not UTF-8.
 */
export type BmpErrorCode =
  | "UNKNOWN_FORM"
  | "BAD_MARK"
  | "ID_TOO_LONG"
  | "OPTIONS_TOO_LONG"
  | "SID_TOO_LONG"
  | "LENGTH_TOO_LONG"
  | "BAD_LENGTH"
  | "PAYLOAD_TOO_LARGE"
  | "INVALID_UTF8";
