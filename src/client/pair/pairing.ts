/**
 * Pair mode over one link: Handshake, Ack, Verify both ways, then sealed frames (seed 1).
 *
 * The partner may be a literal client of the seed's text, which knows neither trailing values nor
 * Extensions; what it cannot do is not asked of it.
 *
 * @module
 */
import type { Link, Message } from "../../link/link.ts";
import { type Bytes, sameBytes } from "../../wire/bytes.ts";
import { decodeFault } from "../../wire/blaze/control.ts";
import {
  decodeExtension,
  encodeExtension,
  framesIn,
  openEnvelopes,
  Subtype,
} from "../../wire/blaze/extension.ts";
import {
  type BlazeFrame,
  decodeFrame,
  encodeFrame,
  FrameType,
  MAX_PAYLOAD,
} from "../../wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshakeAck,
  encodeHandshake,
  type Handshake,
  type HandshakeAck,
  tlv,
  TlvType,
  VERIFY_LENGTH,
} from "../../wire/blaze/handshake.ts";
import { ClientError, type ClientFault, faultOf } from "../client_error.ts";
import { commitment, comparisonCode, drawKeyPair, type KeyPair, PairKeys } from "./pair_keys.ts";
import { type Compress, expand, shrink } from "../blaze/zstd.ts";
import type { Conversation } from "../connection.ts";

export interface PairingOptions {
  /** 16 bytes. */
  readonly node: Uint8Array;
  readonly database: string;
  readonly compress: Compress;
}

/** The other device, once the keys are agreed. */
export interface Partner {
  /** 16 bytes. */
  readonly node: Uint8Array;
  /** It proved that it holds the same secret. A literal client is not asked to. */
  readonly verified: boolean;
  /** Speaks the seed's text and nothing beyond. */
  readonly literal: boolean;
  /** What people compare on both screens: 6 digits, or 30 with a literal client. */
  readonly code: string;
}

export interface PairingEvents {
  paired(partner: Partner): void;
  /** A frame of the partner's, opened and decompressed. */
  frame(type: FrameType, plaintext: Bytes, wireLength: number): void;
  /** Something a partner or the relay did that is not as it should be. The link goes on. */
  fault(fault: ClientFault): void;
}

/** Largest batch that we take, as TLV 4 says. */
const MAX_BATCH = 256 * 1024;
/** Random nonces under one key (NIST SP 800-38D allows 2^32 for both sides together). */
const MAX_SEALS = 2 ** 31;

const CAPABILITIES = Capability.encryption | Capability.compression | Capability.selectiveSync |
  Capability.rowLevelSecurity | Capability.shortHeaders | Capability.tlvs;

/** Frame types whose content belongs to the two devices: never taken in the clear. */
const SEALED: ReadonlySet<FrameType> = new Set([
  FrameType.operation,
  FrameType.operationAck,
  FrameType.query,
  FrameType.queryResult,
]);

/** Everything known once the Ack has come. */
interface Agreement {
  readonly keys: PairKeys;
  readonly ack: HandshakeAck;
  readonly short: boolean;
}

export class Pairing implements Conversation {
  /** Frames are handled one after the other, although opening them takes time. */
  #inbound: Promise<void>;
  /** Frames go out in the order of `send`, although sealing them takes time. */
  #outbound: Promise<void> = Promise.resolve();
  readonly #nonce: Bytes = crypto.getRandomValues(new Uint8Array(16));
  #pair: KeyPair | undefined;
  #handshake: Handshake | undefined;
  #agreement: Agreement | undefined;
  #partner: Partner | undefined;
  #verified = false;
  #code: string | undefined;
  #compress: boolean;
  #seals = 0;
  #closed = false;

  constructor(
    private readonly link: Link,
    private readonly options: PairingOptions,
    private readonly events: PairingEvents,
  ) {
    this.#compress = options.compress !== "never";
    this.#inbound = this.#guard(() => this.#greet());
  }

  /** Seals and sends one plaintext. Resolves with the length of the frame on the wire. */
  send(type: FrameType, plaintext: Uint8Array): Promise<number> {
    const sent = this.#outbound.then(() => this.#seal(type, plaintext));
    this.#outbound = sent.then(() => {}, () => {});
    return sent;
  }

  probe(): boolean {
    // Nothing goes before the Handshake.
    if (!this.#handshake) return false;
    this.link.send(encodeFrame({ type: FrameType.ping }));
    return true;
  }

  /** Says goodbye. */
  leave(): void {
    this.link.send(encodeFrame({ type: FrameType.disconnect }));
    this.link.close(1000, "");
  }

  message(message: Message): void {
    this.#inbound = this.#inbound.then(() => this.#guard(() => this.#receive(message)));
  }

  text(): void {
    this.events.fault({ code: "NOT_BINARY", message: "a text message came" });
  }

  drained(): void {}

  closed(): void {
    // After what came before it.
    this.#inbound = this.#inbound.then(() => {
      this.#closed = true;
    });
  }

  /** Turns what was thrown into a fault: bad bytes of others never end this device. */
  async #guard(step: () => Promise<void>): Promise<void> {
    if (this.#closed) return;
    try {
      await step();
    } catch (error) {
      this.events.fault(faultOf(error));
    }
  }

  async #greet(): Promise<void> {
    this.#pair = await drawKeyPair();
    const batch = new Uint8Array(4);
    new DataView(batch.buffer).setUint32(0, MAX_BATCH);
    this.#handshake = {
      node: this.options.node,
      database: this.options.database,
      publicKey: this.#pair.publicKey,
      capabilities: CAPABILITIES,
      timestamp: BigInt(Date.now()),
      tlvs: [
        { type: TlvType.commitment, value: await commitment(this.#nonce) },
        { type: TlvType.batch, value: batch },
      ],
    };
    const payload = encodeHandshake(this.#handshake);
    this.link.send(encodeFrame({ type: FrameType.handshake, payload }));
  }

  async #receive(message: Message): Promise<void> {
    for (const frame of framesIn(message)) {
      await this.#guard(() => this.#take(openEnvelopes(frame).frame));
    }
  }

  async #take(message: Uint8Array): Promise<void> {
    const frame = decodeFrame(message);
    switch (frame.type) {
      case FrameType.handshakeAck:
        return frame.payload.length === VERIFY_LENGTH
          ? await this.#check(frame.payload)
          : await this.#agree(decodeHandshakeAck(frame.payload));
      case FrameType.ping:
        return this.link.send(encodeFrame({ type: FrameType.pong, payload: frame.payload }));
      case FrameType.error: {
        const { code, message } = decodeFault(frame.payload);
        return this.events.fault({ code: `ERROR_${code}`, message });
      }
      case FrameType.compress:
      case FrameType.decompress:
        this.#compress = frame.type === FrameType.compress && this.options.compress !== "never";
        return;
      case FrameType.extension:
        return await this.#extension(frame.payload);
      default:
        if (SEALED.has(frame.type)) await this.#open(frame, message.length);
    }
    // Pong and Disconnect need no answer: the relay closes after a Disconnect.
  }

  async #agree(ack: HandshakeAck): Promise<void> {
    if (this.#agreement) throw new ClientError("SECOND_ACK", "the partner cannot change");
    const handshake = this.#handshake!;
    const keys = await PairKeys.derive(this.#pair!.privateKey, ack.publicKey, [
      handshake.database,
      ack.database,
    ]);
    const short = (ack.capabilities & Capability.shortHeaders) !== 0;
    this.#agreement = { keys, ack, short };
    const payload = await keys.prove(ack.challenge);
    this.link.send(encodeFrame({ type: FrameType.handshakeAck, payload }, { short }));
    if (tlv(ack, TlvType.commitment)) {
      // Both Handshakes are out: now the nonce may be seen.
      const reveal = encodeExtension({
        subtype: "device",
        code: Subtype.reveal,
        body: this.#nonce,
      });
      this.link.send(encodeFrame({ type: FrameType.extension, payload: reveal }, { short }));
    } else {
      this.#code = await comparisonCode({ handshake }, { handshake: ack });
      this.#announce();
    }
  }

  /** The partner's Verify. */
  async #check(proof: Uint8Array): Promise<void> {
    const { keys, ack } = this.#agreed();
    if (!await keys.verify(ack.challenge, proof)) {
      this.link.close(1000, "verification failed");
      throw new ClientError("VERIFY_FAILED", "the partner does not hold the same secret");
    }
    this.#verified = true;
    this.#announce();
  }

  async #extension(payload: Uint8Array): Promise<void> {
    const extension = decodeExtension(payload);
    if (extension.subtype === "device" && extension.code === Subtype.reveal) {
      await this.#reveal(extension.body.slice());
    }
    // Others are for the group profile, which this link did not ask for.
  }

  async #reveal(nonce: Bytes): Promise<void> {
    const { ack } = this.#agreed();
    const promised = tlv(ack, TlvType.commitment);
    if (!promised || !sameBytes(await commitment(nonce), promised)) {
      this.link.close(1000, "commitment broken");
      throw new ClientError("COMMITMENT_BROKEN", "the nonce is not the one committed to");
    }
    this.#code = await comparisonCode(
      { handshake: this.#handshake!, nonce: this.#nonce },
      { handshake: ack, nonce },
    );
    this.#announce();
  }

  /** Once everything is known that this partner can show. */
  #announce(): void {
    const { ack } = this.#agreed();
    const asked = (ack.capabilities & Capability.tlvs) !== 0;
    if (this.#partner || this.#code === undefined || (asked && !this.#verified)) return;
    this.#partner = {
      node: ack.node,
      verified: this.#verified,
      literal: (ack.capabilities & 0xf0) === 0,
      code: this.#code,
    };
    this.events.paired(this.#partner);
  }

  async #open(
    { type, compressed, encrypted, payload }: BlazeFrame,
    wireLength: number,
  ): Promise<void> {
    const { keys } = this.#agreed();
    if (!encrypted) throw new ClientError("PLAINTEXT_AFTER_KEY", "it was not sealed");
    const plaintext = await expand(await keys.open(payload), compressed);
    this.events.frame(type, plaintext, wireLength);
  }

  async #seal(type: FrameType, plaintext: Uint8Array): Promise<number> {
    const { keys, short } = this.#agreed();
    if (++this.#seals > MAX_SEALS) {
      this.link.close(1000, "time for a new key");
      throw new ClientError("KEY_WORN_OUT", "connect again for a new key");
    }
    const mode = this.#compress ? this.options.compress : "never";
    const { bytes, compressed } = await shrink(plaintext, mode);
    const payload = await keys.seal(bytes);
    if (payload.length > MAX_PAYLOAD) throw new ClientError("TOO_LARGE", "at most 1 MiB sealed");
    const message = encodeFrame({ type, compressed, encrypted: true, payload }, { short });
    this.link.send(message);
    return message.length;
  }

  #agreed(): Agreement {
    if (!this.#agreement) throw new ClientError("NO_KEY", "there is no key yet");
    return this.#agreement;
  }
}
