/**
 * Seals what goes to a partner over one link, and opens what comes from it.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import {
  type BlazeFrame,
  encodeFrame,
  type FrameType,
  MAX_PAYLOAD,
} from "../../wire/blaze/blaze_frame.ts";
import { Capability, type HandshakeAck } from "../../wire/blaze/handshake.ts";
import type { Compression } from "../blaze/compression.ts";
import { ClientError } from "../client_error.ts";
import type { PairKeys } from "./pair_keys.ts";

/** Random nonces under one key (NIST SP 800-38D allows 2^32 for both sides together). */
const MAX_SEALS = 2 ** 31;

export class PairSeals {
  /** The partner did not ask for anything else. */
  wanted = true;
  #seals = 0;

  /**
   * `ask`: tells the partner whether we take compressed frames. `enough`: nobody waits any longer for
   * what cannot be decompressed yet.
   */
  constructor(
    private readonly keys: PairKeys,
    private readonly ack: HandshakeAck,
    private readonly compression: Compression,
    private readonly ask: (compressed: boolean) => void,
    private readonly enough: AbortSignal,
  ) {}

  /** A sealed frame. Throws `TOO_LARGE`, and `KEY_WORN_OUT` where it is time for another connection. */
  async seal(type: FrameType, plaintext: Uint8Array): Promise<Bytes> {
    if (++this.#seals > MAX_SEALS) {
      throw new ClientError("KEY_WORN_OUT", "connect again for a new key");
    }
    const { capabilities } = this.ack;
    const readable = this.wanted && (capabilities & Capability.compression) !== 0;
    const { bytes, compressed } = await this.compression.shrink(plaintext, readable);
    const payload = await this.keys.seal(bytes);
    if (payload.length > MAX_PAYLOAD) throw new ClientError("TOO_LARGE", "at most 1 MiB sealed");
    const short = (capabilities & Capability.shortHeaders) !== 0;
    return encodeFrame({ type, compressed, encrypted: true, payload }, { short });
  }

  /**
   * The plaintext of a sealed frame. What cannot be decompressed now keeps its place, and what comes
   * behind it waits; meanwhile the partner is asked not to compress.
   */
  async open({ payload, compressed }: BlazeFrame): Promise<Bytes> {
    const bytes = await this.keys.open(payload);
    try {
      return await this.compression.expand(bytes, compressed);
    } catch (error) {
      if (!this.compression.failed) throw error;
    }
    this.ask(false);
    await this.compression.wait(this.enough);
    const plaintext = await this.compression.expand(bytes, compressed);
    this.ask(true);
    return plaintext;
  }
}
