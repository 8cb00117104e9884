/**
 * Seals what goes to a partner over one link, and opens what comes from it.
 *
 * @module
 */
import { type Bytes, WireError } from "../../wire/bytes.ts";
import {
  type BlazeFrame,
  encodeFrame,
  FrameType,
  MAX_PAYLOAD,
} from "../../wire/blaze/blaze_frame.ts";
import { Capability, type HandshakeAck } from "../../wire/blaze/handshake.ts";
import type { Compression } from "../blaze/compression.ts";
import { ClientError } from "../client_error.ts";
import { NONCE_LENGTH, type PairKeys } from "./pair_keys.ts";

/** Random nonces under one key (NIST SP 800-38D allows 2^32 for both sides together). */
const MAX_SEALS = 2 ** 31;
/** Frames of the partner's by whose nonces a repeated one is told. */
const MOST_NONCES = 65_536;

export class PairSeals {
  /** The partner did not ask for anything else. */
  wanted = true;
  #seals = 0;
  /** Nonces of what was opened, oldest first. */
  readonly #nonces = new Set<string>();

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
    // A receipt is some bytes, and shall open where nothing can be decompressed.
    const readable = type !== FrameType.operationAck && this.wanted &&
      (capabilities & Capability.compression) !== 0;
    const { bytes, compressed } = await this.compression.shrink(plaintext, readable);
    const payload = await this.keys.seal(bytes);
    if (payload.length > MAX_PAYLOAD) throw new ClientError("TOO_LARGE", "at most 1 MiB sealed");
    const short = (capabilities & Capability.shortHeaders) !== 0;
    return encodeFrame({ type, compressed, encrypted: true, payload }, { short });
  }

  /**
   * The plaintext of a sealed frame. What cannot be decompressed now keeps its place, and what comes
   * behind it waits; meanwhile the partner is asked not to compress. Throws `REPLAY` for what was opened
   * before, and what {@linkcode PairKeys.open} throws.
   */
  async open({ payload, compressed }: BlazeFrame): Promise<Bytes> {
    // A relay could have a frame opened, and decompressed to a thousand times its size, without end.
    const nonce = String.fromCharCode(...payload.subarray(0, NONCE_LENGTH));
    if (this.#nonces.has(nonce)) throw new WireError("REPLAY", 0, "opened before");
    const bytes = await this.keys.open(payload);
    this.#nonces.add(nonce);
    if (this.#nonces.size > MOST_NONCES) this.#nonces.delete(this.#nonces.values().next().value!);
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
