/**
 * Extension payloads (type 0xF): the first byte is a subtype. The relay's own are read here; those
 * of the devices (0x10 to 0x1f) are bytes that it passes on unread.
 *
 * Four of them are envelopes. Nesting, outermost first: batch, sequenced, direct or tagged, frame.
 * This and nothing else is read, and it is {@linkcode decodeExtension} and {@linkcode openEnvelopes}
 * that see to it; so nobody's depth is ours to follow.
 *
 * @module
 */
import { type Bytes, Reader, WireError, Writer } from "../bytes.ts";
import { FrameType, frameType, headerSize } from "./blaze_frame.ts";
import { NODE_ID_LENGTH, readTlvs, type Tlv, writeTlvs } from "./handshake.ts";

export const Subtype = {
  joined: 0x01,
  direct: 0x02,
  tagged: 0x03,
  batch: 0x04,
  sequenced: 0x05,
  open: 0x06,
  recovered: 0x07,
  left: 0x08,
  accepted: 0x09,
  live: 0x0a,
  truncate: 0x0b,
  announce: 0x10,
  commit: 0x11,
  hold: 0x12,
  reveal: 0x13,
  checkpoint: 0x14,
  endorsement: 0x15,
  knock: 0x16,
  known: 0x17,
  agreed: 0x18,
  welcome: 0x19,
} as const;

export const TAG_LENGTH = 8;
export const RING_ID_LENGTH = 8;
export const LOG_ID_LENGTH = 16;
export const LOG_KEY_LENGTH = 32;
/** Bytes of a chain hash that a cursor names. */
export const CHECK_LENGTH = 8;
export const CHAIN_HASH_LENGTH = 32;

/** Subtypes from here to 0x1f are between devices. */
export const FIRST_DEVICE_SUBTYPE = 0x10;

/** What an Extension payload says. `frame` is a whole frame, header included. */
export type Extension =
  /**
   * `01`, node id 16, members u32: who came, and how many profile members there are now. To who came
   * itself, trailing values may follow: what this relay does.
   */
  | {
    readonly subtype: "joined";
    readonly node: Uint8Array;
    readonly members: number;
    /** Left out where there are none. */
    readonly tlvs?: readonly Tlv[];
  }
  /** `02`, node id 16, frame. To the relay: the target. From the relay: the source. */
  | { readonly subtype: "direct"; readonly node: Uint8Array; readonly frame: Uint8Array }
  /** `03`, tag 8, frame: for the members that subscribed to the tag. */
  | { readonly subtype: "tagged"; readonly tag: Uint8Array; readonly frame: Uint8Array }
  /** `04`, then u32 length and frame, repeated: at least one. */
  | { readonly subtype: "batch"; readonly frames: readonly Uint8Array[] }
  /**
   * `05`, sequence u64, frame. From the relay: an entry of a log, under its number. From a device: what
   * to append; the number that it must get, or 0 for whichever comes.
   */
  | { readonly subtype: "sequenced"; readonly sequence: bigint; readonly frame: Uint8Array }
  /**
   * `06`, log id 16, key 32, ring 8, sequence u64, check 8: opens a log from a cursor: the last entry
   * that was read, and the first bytes of the chain hash after it. All zeros: from the start.
   */
  | {
    readonly subtype: "open";
    readonly log: Uint8Array;
    readonly key: Uint8Array;
    readonly ring: Uint8Array;
    readonly sequence: bigint;
    readonly check: Uint8Array;
  }
  /**
   * `07`, flags u8, ring 8, first u64, last u64, hash 32: the log is open, and these entries follow. The
   * last one is below the first where there are none. Flags: bit 0 complete, from the cursor on (else a
   * gap: all that is kept follows); bits 1 and 2 how safe entries are, 0 to 3.
   */
  | {
    readonly subtype: "recovered";
    readonly complete: boolean;
    /** 0 as long as the relay runs, 1 survives it, 2 on disk, 3 on more than one machine. */
    readonly durability: number;
    readonly ring: Uint8Array;
    readonly first: bigint;
    readonly last: bigint;
    /** Chain hash before `first`. */
    readonly hash: Uint8Array;
  }
  /** `08`, node id 16, members u32: who left, and how many profile members remain. */
  | { readonly subtype: "left"; readonly node: Uint8Array; readonly members: number }
  /**
   * `09`, count u32, sequence u64: so many frames of yours are in the log, the last under this number.
   * Count 0: one is not, since the log is at another place than it wanted; `sequence` is its last entry.
   */
  | { readonly subtype: "accepted"; readonly count: number; readonly sequence: bigint }
  /** `0a`, sequence u64: everything up to it went out; what comes from here on is live. */
  | { readonly subtype: "live"; readonly sequence: bigint }
  /** `0b`, sequence u64: entries below it may go. */
  | { readonly subtype: "truncate"; readonly sequence: bigint }
  /** `10` to `1f`: between devices, unread. */
  | { readonly subtype: "device"; readonly code: number; readonly body: Uint8Array };

export type ExtensionErrorCode =
  | "TRUNCATED"
  | "TRAILING_BYTES"
  | "UNKNOWN_SUBTYPE"
  | "EMPTY_BATCH"
  | "EMPTY_FRAME"
  | "BAD_FLAG"
  | "NESTING"
  | "DUPLICATE_TLV"
  | "TOO_LARGE";

/**
 * Reads an Extension payload. Frames inside are views, and are read no further than is needed to tell
 * envelopes. Throws {@linkcode ExtensionErrorCode}; `NESTING` for a frame that may not be inside, which
 * in a batch is left to {@linkcode openEnvelopes}: the frames beside it are good.
 */
export function decodeExtension(payload: Uint8Array): Extension {
  const r = new Reader(payload);
  const code = r.u8();
  const extension = readBody(r, code);
  r.end();
  return extension;
}

function readBody(r: Reader, code: number): Extension {
  switch (code) {
    case Subtype.joined: {
      const joined = {
        subtype: "joined",
        node: r.bytes(NODE_ID_LENGTH),
        members: r.u32(),
      } as const;
      return r.left === 0 ? joined : { ...joined, tlvs: readTlvs(r) };
    }
    case Subtype.direct:
      return { subtype: "direct", node: r.bytes(NODE_ID_LENGTH), frame: readFrame(r, code) };
    case Subtype.tagged:
      return { subtype: "tagged", tag: r.bytes(TAG_LENGTH), frame: readFrame(r, code) };
    case Subtype.batch:
      return { subtype: "batch", frames: readBatch(r) };
    case Subtype.sequenced:
      return { subtype: "sequenced", sequence: r.u64(), frame: readFrame(r, code) };
    case Subtype.open:
      return {
        subtype: "open",
        log: r.bytes(LOG_ID_LENGTH),
        key: r.bytes(LOG_KEY_LENGTH),
        ring: r.bytes(RING_ID_LENGTH),
        sequence: r.u64(),
        check: r.bytes(CHECK_LENGTH),
      };
    case Subtype.recovered: {
      const at = r.offset;
      const flags = r.u8();
      if (flags > 7) throw new WireError("BAD_FLAG", at);
      return {
        subtype: "recovered",
        complete: (flags & 1) !== 0,
        durability: flags >> 1,
        ring: r.bytes(RING_ID_LENGTH),
        first: r.u64(),
        last: r.u64(),
        hash: r.bytes(CHAIN_HASH_LENGTH),
      };
    }
    case Subtype.left:
      return { subtype: "left", node: r.bytes(NODE_ID_LENGTH), members: r.u32() };
    case Subtype.accepted:
      return { subtype: "accepted", count: r.u32(), sequence: r.u64() };
    case Subtype.live:
      return { subtype: "live", sequence: r.u64() };
    case Subtype.truncate:
      return { subtype: "truncate", sequence: r.u64() };
  }
  if (!isDevice(code)) throw new WireError("UNKNOWN_SUBTYPE", 0);
  return { subtype: "device", code, body: r.rest() };
}

const isDevice = (code: number): boolean => code >= FIRST_DEVICE_SUBTYPE && code <= 0x1f;

function readFrame(r: Reader, envelope: number): Uint8Array {
  const at = r.offset;
  const frame = r.rest();
  checkFrame(frame, envelope, at);
  return frame;
}

/** Throws for what may not be in an envelope of this subtype; `at`: where it is. */
export function checkFrame(frame: Uint8Array, envelope: number, at: number): void {
  if (frame.length === 0) throw new WireError("EMPTY_FRAME", at);
  const inside = subtypeOf(frame);
  if (inside !== undefined && !mayHold(envelope, inside)) {
    throw new WireError("NESTING", at, `${hexByte(inside)} inside ${hexByte(envelope)}`);
  }
}

/** What a device sends to others is never one of the relay's own words. */
const mayHold = (envelope: number, inside: number): boolean =>
  envelope === Subtype.sequenced
    ? inside !== Subtype.batch && inside !== Subtype.sequenced
    : inside >= FIRST_DEVICE_SUBTYPE;

const hexByte = (value: number): string => value.toString(16).padStart(2, "0");

/** The subtype of a frame, if that is an Extension and whole. */
function subtypeOf(frame: Uint8Array): number | undefined {
  try {
    const header = headerSize(frame);
    return frameType(frame) === FrameType.extension ? frame[header] : undefined;
  } catch {
    // It is no frame, and whoever reads it says so.
    return undefined;
  }
}

/** Largest batch that a device takes, in bytes with its header, as trailing value 4 says. */
export const LARGEST_BATCH = 256 * 1024;

/** A frame that is no envelope, and what the envelopes around it said. */
export interface Delivered {
  readonly frame: Uint8Array;
  /** Node id of the device that sent it to this one alone, as the relay says. */
  readonly from?: Uint8Array;
  readonly tag?: Uint8Array;
  readonly sequence?: bigint;
}

/**
 * The frames of a message, each in its envelopes: those of a batch, or the message itself. Throws
 * `TOO_LARGE` for a batch of more than {@linkcode LARGEST_BATCH} bytes.
 */
export function framesIn(message: Uint8Array): readonly Uint8Array[] {
  if (subtypeOf(message) !== Subtype.batch) return [message];
  if (message.length > LARGEST_BATCH) throw new WireError("TOO_LARGE", 0, "more than we said");
  const extension = decodeExtension(message.subarray(headerSize(message)));
  return extension.subtype === "batch" ? extension.frames : [];
}

/**
 * Takes the envelopes off one of the {@linkcode framesIn} a message. Views; at most two steps. Throws
 * {@linkcode ExtensionErrorCode}.
 */
export function openEnvelopes(frame: Uint8Array): Delivered {
  let delivered: Delivered = { frame };
  for (;;) {
    const subtype = subtypeOf(delivered.frame);
    if (subtype === Subtype.batch) throw new WireError("NESTING", 0, "a batch in a batch");
    if (!ENVELOPES.has(subtype)) return delivered;
    const inside = decodeExtension(delivered.frame.subarray(headerSize(delivered.frame)));
    if (inside.subtype === "sequenced") {
      delivered = { frame: inside.frame, sequence: inside.sequence };
    } else if (inside.subtype === "direct") {
      delivered = { ...delivered, frame: inside.frame, from: inside.node };
    } else if (inside.subtype === "tagged") {
      delivered = { ...delivered, frame: inside.frame, tag: inside.tag };
    }
  }
}

const ENVELOPES: ReadonlySet<number | undefined> = new Set([
  Subtype.sequenced,
  Subtype.direct,
  Subtype.tagged,
]);

function readBatch(r: Reader): Uint8Array[] {
  const frames: Uint8Array[] = [];
  do {
    const at = r.offset;
    if (r.left === 0) throw new WireError("EMPTY_BATCH", at);
    const length = r.u32();
    if (length === 0) throw new WireError("EMPTY_FRAME", at);
    frames.push(r.bytes(length));
  } while (r.left > 0);
  return frames;
}

/**
 * Writes an Extension payload. Throws `EMPTY_BATCH` and `EMPTY_FRAME` as {@linkcode decodeExtension}
 * would, and `RangeError` for a node id, tag, ring id or code of devices that is none.
 */
export function encodeExtension(extension: Extension): Bytes {
  const w = new Writer(64);
  switch (extension.subtype) {
    case "joined":
    case "left":
      w.u8(Subtype[extension.subtype]).bytes(sized(extension.node, NODE_ID_LENGTH));
      w.u32(extension.members);
      if (extension.subtype === "joined") writeTlvs(w, extension.tlvs ?? []);
      break;
    case "direct":
      w.u8(Subtype.direct).bytes(sized(extension.node, NODE_ID_LENGTH));
      w.bytes(filled(extension.frame));
      break;
    case "tagged":
      w.u8(Subtype.tagged).bytes(sized(extension.tag, TAG_LENGTH)).bytes(filled(extension.frame));
      break;
    case "batch":
      if (extension.frames.length === 0) throw new WireError("EMPTY_BATCH", 1);
      w.u8(Subtype.batch);
      for (const frame of extension.frames) w.u32(frame.length).bytes(filled(frame));
      break;
    case "sequenced":
      w.u8(Subtype.sequenced).u64(extension.sequence).bytes(filled(extension.frame));
      break;
    case "open":
      w.u8(Subtype.open).bytes(sized(extension.log, LOG_ID_LENGTH));
      w.bytes(sized(extension.key, LOG_KEY_LENGTH)).bytes(sized(extension.ring, RING_ID_LENGTH));
      w.u64(extension.sequence).bytes(sized(extension.check, CHECK_LENGTH));
      break;
    case "recovered": {
      const { durability } = extension;
      if (![0, 1, 2, 3].includes(durability)) throw new RangeError("durability is 0 to 3");
      w.u8(Subtype.recovered).u8((extension.complete ? 1 : 0) | durability << 1);
      w.bytes(sized(extension.ring, RING_ID_LENGTH)).u64(extension.first).u64(extension.last);
      w.bytes(sized(extension.hash, CHAIN_HASH_LENGTH));
      break;
    }
    case "accepted":
      w.u8(Subtype.accepted).u32(extension.count).u64(extension.sequence);
      break;
    case "live":
    case "truncate":
      w.u8(Subtype[extension.subtype]).u64(extension.sequence);
      break;
    case "device":
      if (!isDevice(extension.code)) throw new RangeError("subtypes of devices are 0x10 to 0x1f");
      w.u8(extension.code).bytes(extension.body);
  }
  return w.finish();
}

function sized(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length) throw new RangeError(`${length} bytes, not ${bytes.length}`);
  return bytes;
}

function filled(frame: Uint8Array): Uint8Array {
  if (frame.length === 0) throw new WireError("EMPTY_FRAME", 0);
  return frame;
}
