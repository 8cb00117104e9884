/**
 * What a peer can do wrong in RFC 6455, and the close code that answers each fault.
 *
 * @module
 */
import { WireError } from "../bytes.ts";

/** Every violation and the status code (RFC 6455, 7.4.1) that the connection is closed with. */
export const violations = {
  /** A bit of RSV1–3 is set and no extension was agreed on (5.2). */
  RESERVED_BITS: 1002,
  /** Opcode 3–7 or 11–15 (5.2). */
  UNKNOWN_OPCODE: 1002,
  /** A control frame without FIN (5.5). */
  CONTROL_FRAGMENTED: 1002,
  /** A control frame of more than 125 bytes (5.5). */
  CONTROL_TOO_LONG: 1002,
  /** A continuation with nothing to continue (5.4). */
  CONTINUATION_UNEXPECTED: 1002,
  /** A new text or binary frame before the last message ended (5.4). */
  MESSAGE_UNFINISHED: 1002,
  /** A frame of a client that is not masked (5.1). */
  MASK_MISSING: 1002,
  /** A frame of a server that is masked (5.1). */
  MASK_UNEXPECTED: 1002,
  /** A length written in more bytes than it needs (5.2). */
  LENGTH_NOT_MINIMAL: 1002,
  /** A 64-bit length with its top bit set (5.2). */
  LENGTH_TOP_BIT: 1002,
  /** A close payload of one byte: half a code (5.5.1). */
  CLOSE_TRUNCATED: 1002,
  /** A close code that never travels, or that nobody has defined (7.4). */
  CLOSE_CODE: 1002,
  /** A text message or a close reason that is not UTF-8 (8.1). */
  INVALID_UTF8: 1007,
  /** One frame announces more than {@linkcode FrameLimits.maxFrame} (10.4). */
  FRAME_TOO_LARGE: 1009,
  /** The frames of a message add up to more than {@linkcode FrameLimits.maxMessage} (10.4). */
  MESSAGE_TOO_LARGE: 1009,
  /** A message comes in more than {@linkcode FrameLimits.maxFragments} frames (10.4). */
  TOO_MANY_FRAGMENTS: 1009,
} as const;

/** The name of a violation: stable, and made for programs. */
export type Violation = keyof typeof violations;

/** What one connection may make the reader keep. All are inclusive, all are required. */
export interface FrameLimits {
  /** Payload bytes of one data frame. Control frames have the RFC's own limit of 125. */
  readonly maxFrame: number;
  /** Payload bytes of one message, all its fragments together. */
  readonly maxMessage: number;
  /** Frames of one message: a million empty fragments are also an attack. */
  readonly maxFragments: number;
}

/**
 * A peer that broke RFC 6455 or a limit. It knows how to close: send `closeCode`, then read no more.
 *
 * `offset` counts bytes from the start of the stream, and does not depend on how it was cut.
 */
export class FrameError extends WireError<Violation> {
  /** The status code to answer with. */
  readonly closeCode: 1002 | 1007 | 1009;

  constructor(code: Violation, offset: number) {
    super(code, offset);
    this.closeCode = violations[code];
  }
}
