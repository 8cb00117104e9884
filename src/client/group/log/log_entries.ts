/**
 * What stands in an epoch's log, and how it is sealed. (docs/protocol/group.md, "What an epoch's log
 * holds")
 *
 * @module
 */
import { type Bytes, concat, hex, Reader, WireError, Writer } from "../../../wire/bytes.ts";
import {
  decodeExtension,
  encodeExtension,
  RING_ID_LENGTH,
  Subtype,
} from "../../../wire/blaze/extension.ts";
import {
  decodeFrame,
  encodeFrame,
  FrameType,
  MAX_PAYLOAD,
} from "../../../wire/blaze/blaze_frame.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import type { Compression } from "../../blaze/compression.ts";
import { ClientError } from "../../client_error.ts";
import { padded, unpad } from "../e2e/padding.ts";
import type { Epoch } from "../e2e/epoch.ts";
import {
  INSTANCE_LENGTH,
  type Opener,
  type Purpose,
  readNonce,
  Sealer,
  Sender,
} from "../e2e/sender.ts";
import { type EpochLog, HASH_LENGTH } from "./epoch_log.ts";
import type { Cursor } from "./log_link.ts";
import { type LinkVector, readLinks, writeLinks } from "../data/link_vector.ts";

/** Value of a door. */
const DOOR_LENGTH = 32;
const SIGNATURE_LENGTH = 64;

export interface SealOptions {
  readonly compression: Compression;
  /** Pad what is sealed. */
  readonly pad: boolean;
}

/** A frame of a log, opened. `node` is who sealed it. */
export type LogEntry =
  | { readonly kind: "announce"; readonly opener: Opener; readonly announce: Announce }
  | { readonly kind: "operation"; readonly node: Bytes; readonly body: Bytes }
  | { readonly kind: "commit"; readonly commit: CommitEntry }
  | {
    readonly kind: "checkpoint" | "endorsement" | "hold";
    readonly opener: Opener;
    readonly content: Bytes;
  };

/** Who speaks, what it has, and which past it was shown. */
export interface Announce {
  readonly position: Cursor;
  /** The signature key of the device. */
  readonly key: Bytes;
  readonly vector: LinkVector;
  readonly signature: Bytes;
  /** What the signature covers. */
  readonly covered: Bytes;
}

/** The commit of a change, and the welcome of who is let in, as it goes into a door. */
export interface CommitEntry {
  /** MLSMessage. */
  readonly message: Bytes;
  readonly welcome?: { readonly door: Bytes; readonly frame: Bytes } | undefined;
}

export async function encodeCommitEntry(
  { message, welcome }: CommitEntry,
  epoch: Epoch,
): Promise<Bytes> {
  const w = new Writer(message.length + 512).u32(message.length).bytes(message);
  if (welcome) w.bytes(welcome.door).u32(welcome.frame.length).bytes(welcome.frame);
  return deviceFrame(Subtype.commit, await epoch.sealCommit(padded(w.finish(), true)));
}

/** The commit in a frame of a log, if there is one, whatever else it is. */
export async function commitIn(frame: Uint8Array, epoch: Epoch): Promise<CommitEntry | undefined> {
  try {
    const { type, payload } = decodeFrame(frame);
    const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
    if (extension?.subtype !== "device" || extension.code !== Subtype.commit) return undefined;
    return await openCommitEntry(extension.body, epoch);
  } catch {
    return undefined;
  }
}

async function openCommitEntry(body: Uint8Array, epoch: Epoch): Promise<CommitEntry> {
  const r = new Reader(unpad(await epoch.openCommit(body)));
  const message = r.bytes(r.u32()).slice();
  if (r.left === 0) return { message };
  const door = r.bytes(DOOR_LENGTH).slice();
  const welcome = { door, frame: r.bytes(r.u32()).slice() };
  r.end();
  return { message, welcome };
}

/** What an announce says, without its signature. */
export function encodeAnnounce(position: Cursor, key: Uint8Array, vector: LinkVector): Bytes {
  const w = new Writer(256).bytes(position.ring).u64(position.sequence).bytes(position.hash);
  return writeLinks(w.u8(key.length).bytes(key), vector).finish();
}

function decodeAnnounce(bytes: Uint8Array): Announce {
  const end = Math.max(0, bytes.length - SIGNATURE_LENGTH);
  const covered = bytes.slice(0, end);
  const r = new Reader(covered);
  const position = {
    ring: r.bytes(RING_ID_LENGTH).slice(),
    sequence: r.u64(),
    hash: r.bytes(HASH_LENGTH).slice(),
  };
  const key = r.bytes(r.u8()).slice();
  const vector = readLinks(r);
  r.end();
  return { position, key, vector, signature: bytes.slice(end), covered };
}

/**
 * Opens an entry. A speaker that an announce or a checkpoint brings is not listened to yet: whoever asks
 * looks at it first. Throws the codes of frames and seals, `UNKNOWN_SENDER`, `PLAINTEXT_AFTER_KEY`,
 * `UNEXPECTED_TYPE`, `NO_ZSTD`.
 */
export async function openEntry(
  frame: Uint8Array,
  log: EpochLog,
  compression: Compression,
): Promise<LogEntry> {
  const { type, encrypted, compressed, payload } = decodeFrame(frame);
  if (type === FrameType.operation) {
    if (!encrypted) throw new ClientError("PLAINTEXT_AFTER_KEY", "it was not sealed");
    const opener = speaker(log, payload);
    const body = await opened(opener, payload, { type, compressed }, compression);
    return { kind: "operation", node: opener.sender.node, body };
  }
  const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
  if (extension?.subtype !== "device") throw new WireError("UNEXPECTED_TYPE", 2, "in no log");
  const { code, body } = extension;
  const purpose = { type, subtype: code };
  const r = new Reader(body);
  switch (code) {
    case Subtype.commit:
      return { kind: "commit", commit: await openCommitEntry(body, log.epoch) };
    case Subtype.announce: {
      const opener = await newSpeaker(r, log);
      const content = await opened(opener, r.rest(), { ...purpose, compressed: false });
      return { kind: "announce", opener, announce: decodeAnnounce(content) };
    }
    case Subtype.checkpoint: {
      const opener = await newSpeaker(r, log);
      const flagged = { ...purpose, compressed: readFlag(r) };
      const content = await opened(opener, r.rest(), flagged, compression);
      return { kind: "checkpoint", opener, content };
    }
    case Subtype.endorsement:
    case Subtype.hold: {
      const flagged = { ...purpose, compressed: readFlag(r) };
      const sealed = r.rest();
      const opener = speaker(log, sealed);
      const content = await opened(opener, sealed, flagged, compression);
      return { kind: code === Subtype.hold ? "hold" : "endorsement", opener, content };
    }
  }
  throw new WireError("UNEXPECTED_TYPE", 2, "in no log");
}

/** Whether what an entry holds was compressed. False for what is no entry at all. */
export function isCompressed(frame: Uint8Array): boolean {
  const { type, compressed, payload } = decodeFrame(frame);
  if (type !== FrameType.extension) return compressed;
  const extension = decodeExtension(payload);
  if (extension.subtype !== "device") return false;
  switch (extension.code) {
    case Subtype.checkpoint:
      return extension.body[NODE_ID_LENGTH + INSTANCE_LENGTH] === 1;
    case Subtype.endorsement:
    case Subtype.hold:
      return extension.body[0] === 1;
  }
  return false;
}

function readFlag(r: Reader): boolean {
  const at = r.offset;
  const flag = r.u8();
  if (flag > 1) throw new WireError("BAD_FLAG", at);
  return flag === 1;
}

async function newSpeaker(r: Reader, log: EpochLog): Promise<Opener> {
  const node = r.bytes(NODE_ID_LENGTH);
  return await log.candidate(node, r.bytes(INSTANCE_LENGTH));
}

function speaker(log: EpochLog, sealed: Uint8Array): Opener {
  const opener = log.opener(readNonce(sealed).hint);
  if (!opener) throw new ClientError("UNKNOWN_SENDER", "sealed by an instance not announced");
  return opener;
}

/** Opens a payload once. Throws `AUTH_FAILED`, `REPLAY`, `NO_ZSTD`. */
export async function opened(
  opener: Opener,
  sealed: Uint8Array,
  purpose: Purpose,
  compression?: Compression,
): Promise<Bytes> {
  if (readNonce(sealed).hint !== hex(opener.sender.hint)) {
    throw new ClientError("AUTH_FAILED", "the nonce does not begin with the sender's hint");
  }
  const content = unpad(await opener.open(sealed, purpose)).slice();
  return compression ? await compression.expand(content, purpose.compressed) : content;
}

/** This device's own instance in one epoch: seals what goes into its log. */
export class Voice {
  readonly #sealer: Sealer;

  private constructor(readonly sender: Sender, private readonly options: SealOptions) {
    this.#sealer = new Sealer(sender);
  }

  static async draw(
    log: EpochLog,
    node: Uint8Array,
    database: string,
    options: SealOptions,
  ): Promise<Voice> {
    const taken = (hint: string) => log.opener(hint) !== undefined;
    return new Voice(await Sender.draw(log.epoch, node, database, taken), options);
  }

  /** `signed`: {@linkcode encodeAnnounce} and its signature. */
  async announce(signed: Uint8Array): Promise<Bytes> {
    const sealed = await this.#seal(signed, { subtype: Subtype.announce, compressed: false });
    return deviceFrame(Subtype.announce, concat(this.#name, sealed));
  }

  async operation(body: Uint8Array, readable: boolean): Promise<Bytes> {
    const { bytes, compressed } = await this.options.compression.shrink(body, readable);
    const payload = await this.#seal(bytes, { type: FrameType.operation, compressed });
    const type = FrameType.operation;
    return encodeFrame({ type, compressed, encrypted: true, payload }, { short: true });
  }

  async checkpoint(part: Uint8Array, readable: boolean): Promise<Bytes> {
    return deviceFrame(
      Subtype.checkpoint,
      concat(this.#name, await this.#flagged(Subtype.checkpoint, part, readable)),
    );
  }

  async endorsement(content: Uint8Array): Promise<Bytes> {
    return deviceFrame(
      Subtype.endorsement,
      await this.#flagged(Subtype.endorsement, content, false),
    );
  }

  async hold(): Promise<Bytes> {
    return deviceFrame(Subtype.hold, await this.#flagged(Subtype.hold, new Uint8Array(), false));
  }

  get #name(): Bytes {
    return concat(this.sender.node, this.sender.instance);
  }

  async #flagged(subtype: number, content: Uint8Array, readable: boolean): Promise<Bytes> {
    const { bytes, compressed } = await this.options.compression.shrink(content, readable);
    const sealed = await this.#seal(bytes, { subtype, compressed });
    return concat(Uint8Array.of(compressed ? 1 : 0), sealed);
  }

  async #seal(
    content: Uint8Array,
    purpose: { type?: number; subtype?: number; compressed: boolean },
  ): Promise<Bytes> {
    const full = { type: FrameType.extension, ...purpose };
    const sealed = await this.#sealer.seal(full, padded(content, this.options.pad));
    if (sealed.length > MAX_PAYLOAD - 64) {
      throw new ClientError("TOO_LARGE", "at most 1 MiB sealed");
    }
    return sealed;
  }
}

/** An Extension between devices, as a frame. */
export function deviceFrame(code: number, body: Uint8Array): Bytes {
  const payload = encodeExtension({ subtype: "device", code, body });
  return encodeFrame({ type: FrameType.extension, payload }, { short: true });
}
