/**
 * What a frame is (RFC 6455, 5.2): the low four bits of its first byte.
 *
 * @module
 */

/** The opcodes of RFC 6455. All others are reserved and refused. */
export const Opcode = {
  /** More of the message that is under way (5.4). */
  continuation: 0x0,
  /** A message of UTF-8 text, or its first fragment (5.6). */
  text: 0x1,
  /** A message of bytes, or its first fragment (5.6). */
  binary: 0x2,
  /** The last frame of a direction: nothing, or a code and a reason (5.5.1). */
  close: 0x8,
  /** To be answered by a pong with the same payload (5.5.2). */
  ping: 0x9,
  /** The answer to a ping, or a sign of life that nobody asked for (5.5.3). */
  pong: 0xa,
} as const;

/** One of the six opcodes. */
export type Opcode = typeof Opcode[keyof typeof Opcode];

/** The most payload bytes of a control frame (5.5): it always fits the 7-bit length. */
export const MAX_CONTROL = 125;

/** Whether frames of this opcode are control frames: short, never fragmented (5.5). */
export const isControl = (opcode: number): boolean => opcode >= Opcode.close;
