/**
 * GroupSeals and opens what passes over one link: compress, pad, seal, and back.
 *
 * Sealed Extensions between two devices: subtype, u8 1 if compressed else 0, sealed payload.
 *
 * @module
 */
import { type Bytes, concat, hex, WireError } from "../../wire/bytes.ts";
import { Subtype } from "../../wire/blaze/extension.ts";
import {
  type BlazeFrame,
  encodeFrame,
  FrameType,
  MAX_PAYLOAD,
} from "../../wire/blaze/blaze_frame.ts";
import { ClientError } from "../client_error.ts";
import { padded, unpad } from "./e2e/padding.ts";
import { type Purpose, readNonce, Sealer, Sender } from "./e2e/sender.ts";
import type { Compression } from "../blaze/compression.ts";
import type { Group } from "./group_state.ts";
import type { Openers } from "./openers.ts";
import type { Post } from "./post.ts";

/** Frame types that are for one device; the other sealed ones are for everybody. */
const TARGETED: ReadonlySet<number> = new Set([
  FrameType.operationAck,
  FrameType.query,
  FrameType.queryResult,
]);

const ANNOUNCE: Purpose = {
  type: FrameType.extension,
  subtype: Subtype.announce,
  compressed: false,
};

export interface SealOptions {
  readonly compression: Compression;
  /** Pad what is sealed. */
  readonly pad: boolean;
}

export interface OpenedFrame {
  readonly sender: Sender;
  readonly plaintext: Bytes;
}

export class GroupSeals {
  /** What is for everybody, and what is for one device: each counts by itself. */
  #broadcast: Sealer | undefined;
  #direct: Sealer | undefined;

  constructor(
    private readonly group: Group,
    private readonly openers: Openers,
    private readonly options: SealOptions,
  ) {}

  get ready(): boolean {
    return this.#broadcast !== undefined;
  }

  /** Draws new instances in the epoch in force. */
  async draw(): Promise<void> {
    const { epoch, database, identity } = this.group;
    const sealer = async () =>
      new Sealer(
        await Sender.draw(
          epoch!,
          identity.card.node,
          database,
          (hint) => this.openers.taken(hint),
        ),
      );
    [this.#broadcast, this.#direct] = [await sealer(), await sealer()];
  }

  /** Announces of our instances: the instance in the clear, then what only members can read. */
  async announces(plaintext: Uint8Array): Promise<Bytes[]> {
    const sealers = [this.#broadcast, this.#direct].filter((sealer) => sealer !== undefined);
    return await Promise.all(sealers.map(async (sealer) => {
      const { epoch, node, instance } = sealer.sender;
      const sealed = await sealer.seal(ANNOUNCE, padded(plaintext, this.options.pad));
      return concat(epoch.id, node, instance, sealed);
    }));
  }

  /** Opens an announce of an instance, and listens to it from now on. */
  async openAnnounce(sender: Sender, sealed: Uint8Array): Promise<Uint8Array> {
    const opener = this.openers.of(sender);
    if (readNonce(sealed).hint !== hex(sender.hint)) {
      throw new ClientError("AUTH_FAILED", "the nonce does not begin with the sender's hint");
    }
    const plaintext = unpad(await opener.open(sealed, ANNOUNCE));
    this.openers.keep(opener);
    return plaintext;
  }

  /**
   * A frame for everybody; `readable`: all of them read zstd. None between a change and `draw`: a device
   * that was removed still has the keys of the epoch that has ended.
   */
  async frame(
    type: FrameType,
    plaintext: Uint8Array,
    readable: boolean,
  ): Promise<Bytes | undefined> {
    const { bytes, compressed } = await this.options.compression.shrink(plaintext, readable);
    const sealer = ready(this.#broadcast);
    if (sealer.sender.epoch.name !== this.group.epoch?.name) return undefined;
    const payload = fitting(
      await sealer.seal({ type, compressed }, padded(bytes, this.options.pad)),
    );
    return encodeFrame({ type, compressed, encrypted: true, payload }, { short: true });
  }

  /** Sends to one device: a frame of this type, or an Extension of this subtype. */
  async send(post: Post, target: Uint8Array, what: number, plaintext: Uint8Array): Promise<void> {
    await post.link.turn();
    const readable = post.zstd.has(hex(target));
    const { bytes, compressed } = await this.options.compression.shrink(plaintext, readable);
    const type = TARGETED.has(what) ? what as FrameType : FrameType.extension;
    const isFrame = type !== FrameType.extension;
    const purpose = { type, subtype: isFrame ? 0 : what, compressed, target };
    const payload = fitting(
      await ready(this.#direct).seal(purpose, padded(bytes, this.options.pad)),
    );
    if (!isFrame) {
      return post.toDevice(target, what, concat(Uint8Array.of(compressed ? 1 : 0), payload));
    }
    post.sendTo(
      target,
      encodeFrame({ type, compressed, encrypted: true, payload }, { short: true }),
    );
  }

  /** Throws `PLAINTEXT_AFTER_KEY`, `UNKNOWN_SENDER`, `NOT_A_MEMBER`, `REPLAY`, `AUTH_FAILED`. */
  async openFrame({ type, compressed, encrypted, payload }: BlazeFrame): Promise<OpenedFrame> {
    if (!encrypted) throw new ClientError("PLAINTEXT_AFTER_KEY", "it was not sealed");
    const target = TARGETED.has(type) ? this.group.identity.card.node : undefined;
    return await this.#open(payload, { type, compressed, target });
  }

  async openExtension(subtype: number, body: Uint8Array): Promise<OpenedFrame> {
    const flag = body[0];
    if (flag === undefined || flag > 1) throw new WireError("BAD_FLAG", 1);
    const target = this.group.identity.card.node;
    const purpose = { type: FrameType.extension, subtype, compressed: flag === 1, target };
    return await this.#open(body.subarray(1), purpose);
  }

  async #open(payload: Uint8Array, purpose: Purpose): Promise<OpenedFrame> {
    const opener = this.openers.get(readNonce(payload).hint);
    if (!opener) throw new ClientError("UNKNOWN_SENDER", "sealed by an instance not announced");
    const { sender } = opener;
    if (!this.group.has(sender.node)) {
      throw new ClientError("NOT_A_MEMBER", "sealed by a device that was removed");
    }
    const opened = unpad(await opener.open(payload, purpose));
    const { compression } = this.options;
    return { sender, plaintext: await compression.expand(opened.slice(), purpose.compressed) };
  }
}

function ready(sealer: Sealer | undefined): Sealer {
  if (!sealer) throw new ClientError("NO_KEY", "the device is not in the group yet");
  return sealer;
}

function fitting(payload: Bytes): Bytes {
  if (payload.length > MAX_PAYLOAD) throw new ClientError("TOO_LARGE", "at most 1 MiB sealed");
  return payload;
}
