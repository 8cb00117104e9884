/**
 * Pair mode over one link: Handshake, Ack, Verify both ways, a yes from both sides, then sealed frames
 * (seed 1).
 *
 * The partner may be a literal client of the seed's text, which knows neither trailing values nor
 * Extensions; what it cannot do is not asked of it.
 *
 * @module
 */
import { type Host, host as systemHost } from "../../host.ts";
import type { Link, Message } from "../../link/link.ts";
import { type Bytes, hex, Reader, Writer } from "../../wire/bytes.ts";
import { decodeFault, encodeFault } from "../../wire/blaze/control.ts";
import {
  decodeExtension,
  encodeExtension,
  framesIn,
  LARGEST_BATCH,
  openEnvelopes,
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
import { Close } from "../../close.ts";
import { hashNode } from "../blaze/node_hash.ts";
import { PairSeals } from "./pair_seals.ts";
import { Acquaintance } from "./acquaintance.ts";
import type { Partner, Trust } from "./partner.ts";
import {
  commitment,
  drawKeyPair,
  type KeyPair,
  PairKeys,
  refuseReflection,
  refuseStripped,
  REVEAL_LENGTH,
} from "./pair_keys.ts";
import type { Compression } from "../blaze/compression.ts";
import type { Conversation } from "../connection.ts";
import { PacedLink, type PaceOptions } from "../pacer.ts";

export interface PairingOptions extends PaceOptions {
  /** 16 bytes. */
  readonly node: Uint8Array;
  readonly database: string;
  readonly compression: Compression;
  readonly trust: Trust;
  readonly host?: Host;
  /** 16 bytes: what the partner shall name our operations by. None where there are no operations. */
  readonly run?: Bytes;
}

export interface PairingEvents {
  /** The relay has our Handshake. Who waits for a partner waits from now on. */
  waiting(): void;
  /** There is a key. Nothing passes before both sides said yes. */
  met(partner: Partner): void;
  /** Both sides said yes: from now on frames pass. */
  paired(partner: Partner): void;
  /** One side said no. The link ends. */
  refused(partner: Partner | undefined, by: "us" | "them"): void;
  /** A frame of the partner's, opened and decompressed. */
  frame(type: FrameType, plaintext: Bytes, wireLength: number): void;
  /** The relay has handed on all that was sent before the number was asked for. */
  passed?(number: bigint): void;
  /** Something a partner or the relay did that is not as it should be. The link goes on. */
  fault(fault: ClientFault): void;
  /** The link is gone, and everything that came over it has been handled. */
  ended?(): void;
}

/** Of what names a run of the program. */
export const RUN_LENGTH = 16;
/** Bytes that may wait behind what cannot be decompressed yet; beyond, that is left out. */
const MAX_UNHANDLED = 8 * 1024 * 1024;
/** What a partner may take to prove itself and to show its nonce: no people have a hand in that. */
const MEET_MS = 10_000;
/** Frames of a literal client that wait for our yes, and their bytes. */
const MOST_EARLY = 100;
const MOST_EARLY_BYTES = 4 * MAX_PAYLOAD;

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
  readonly seals: PairSeals;
  readonly acquaintance: Acquaintance;
}

export class Pairing implements Conversation {
  /** Frames are handled one after the other, although opening them takes time. */
  #inbound: Promise<void>;
  /** Frames go out in the order of `send`, although sealing them takes time. */
  #outbound: Promise<void> = Promise.resolve();
  /** What our operations carry of our node id, once the Handshake is out. */
  hash = 0;
  readonly #nonce: Bytes = crypto.getRandomValues(new Uint8Array(REVEAL_LENGTH));
  #pair: KeyPair | undefined;
  #handshake: Handshake | undefined;
  #agreement: Agreement | undefined;
  #stopWaiting: () => void = () => {};
  /** Both sides said yes. */
  #open = false;
  readonly #early: { frame: BlazeFrame; wireLength: number }[] = [];
  /** Nobody waits any longer for what cannot be decompressed yet. */
  readonly #enough = new AbortController();
  #unhandledBytes = 0;
  #closed = false;
  later = false;
  /** The link is gone, though not all that came over it was handled. */
  #gone = false;
  private readonly link: PacedLink;

  constructor(
    link: Link,
    private readonly options: PairingOptions,
    private readonly events: PairingEvents,
  ) {
    this.link = new PacedLink(link, options.host ?? systemHost, options);
    this.#inbound = this.#guard(() => this.#greet());
  }

  /** Seals and sends one plaintext. Resolves with the length of the frame on the wire. */
  send(type: FrameType, plaintext: Uint8Array): Promise<number> {
    const sent = this.#outbound.then(() => this.#seal(type, plaintext));
    this.#outbound = sent.then(() => {}, () => {});
    return sent;
  }

  /** Whether frames of ours can pass. */
  get live(): boolean {
    return this.#open && !this.#closed && !this.#gone;
  }

  /**
   * Where the partner answers operations with receipts: the bond with it and what it names its run of the
   * program. Without the bond a partner could speak as another one, whose run everybody sees.
   */
  get receipts(): string | undefined {
    const { ack, acquaintance } = this.#agreement ?? {};
    const run = ack && tlv(ack, TlvType.receipts);
    const bond = acquaintance?.bond;
    return this.options.run && bond && run?.length === RUN_LENGTH
      ? hex(run) + hex(bond)
      : undefined;
  }

  /** Asks the relay for a Pong with this number: it answers behind all that was sent before. */
  ask(number: bigint): void {
    this.link.send(
      encodeFrame({ type: FrameType.ping, payload: new Writer(8).u64(number).finish() }),
    );
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
    this.#unhandledBytes += message.length;
    if (this.#unhandledBytes > MAX_UNHANDLED) this.#enough.abort();
    this.#inTurn(() => this.#receive(message));
    this.#inbound = this.#inbound.then(() => {
      this.#unhandledBytes -= message.length;
    });
  }

  text(): void {
    this.events.fault({ code: "NOT_BINARY", message: "a text message came" });
  }

  drained(): void {}

  closed(): void {
    this.#gone = true;
    if (this.#agreement?.acquaintance.withheld) this.later = this.options.trust.withheld();
    this.#stopWaiting();
    this.#enough.abort();
    // After what came before it.
    this.#inbound = this.#inbound.then(() => {
      this.#closed = true;
      this.events.ended?.();
    });
  }

  #inTurn(step: () => Promise<void>): void {
    this.#inbound = this.#inbound.then(() => this.#guard(step));
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
    this.hash = await hashNode(this.options.node);
    const { run } = this.options;
    const batch = new Uint8Array(4);
    new DataView(batch.buffer).setUint32(0, LARGEST_BATCH);
    this.#handshake = {
      node: this.options.node,
      database: this.options.database,
      publicKey: this.#pair.publicKey,
      capabilities: this.options.compression.failed
        ? CAPABILITIES & ~Capability.compression
        : CAPABILITIES,
      timestamp: BigInt(Date.now()),
      tlvs: [
        { type: TlvType.commitment, value: await commitment(this.#nonce) },
        { type: TlvType.batch, value: batch },
        ...run ? [{ type: TlvType.receipts, value: run }] : [],
      ],
    };
    const payload = encodeHandshake(this.#handshake);
    this.link.send(encodeFrame({ type: FrameType.handshake, payload }));
    this.events.waiting();
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
          : await this.#introduce(frame.payload.slice());
      case FrameType.ping:
        return this.link.answer(encodeFrame({ type: FrameType.pong, payload: frame.payload }));
      case FrameType.pong:
        // The one without a number answers `probe`.
        if (frame.payload.length === 8) this.events.passed?.(new Reader(frame.payload).u64());
        return;
      case FrameType.error: {
        const { code, message } = decodeFault(frame.payload);
        if (code === Close.notConfirmed.code && !this.#open) return await this.#declined();
        return this.events.fault({ code: `ERROR_${code}`, message });
      }
      case FrameType.compress:
      case FrameType.decompress:
        if (this.#agreement) this.#agreement.seals.wanted = frame.type === FrameType.compress;
        return;
      case FrameType.extension:
        return await this.#extension(frame.payload);
      default:
        if (SEALED.has(frame.type)) await this.#unseal(frame, message.length);
    }
    // Disconnect needs no answer: the relay closes after a Disconnect.
  }

  /** The first Ack. A partner that cannot be met must not keep its place. */
  async #introduce(payload: Bytes): Promise<void> {
    if (this.#agreement) throw new ClientError("SECOND_ACK", "the partner cannot change");
    this.#patience(MEET_MS, "the partner did not prove itself");
    try {
      await this.#agree(decodeHandshakeAck(payload));
    } catch (error) {
      this.part("cannot be met");
      throw error;
    }
  }

  async #agree(ack: HandshakeAck): Promise<void> {
    const handshake = this.#handshake!;
    refuseReflection(handshake, ack);
    refuseStripped(ack);
    const keys = await PairKeys.derive(this.#pair!.privateKey, ack.publicKey, [
      handshake.database,
      ack.database,
    ]);
    const { trust, compression } = this.options;
    const ask = (compressed: boolean) =>
      this.#send(compressed ? FrameType.compress : FrameType.decompress);
    const seals = new PairSeals(keys, ack, compression, ask, this.#enough.signal);
    const acquaintance = await Acquaintance.of(keys, handshake, ack, this.#nonce, trust, {
      extend: (code, body) => this.#extend(code, body),
      later: (step) => this.#inTurn(step),
      met: (partner) => {
        this.#stopWaiting();
        this.events.met(partner);
      },
      paired: (partner) => this.#paired(partner),
      refused: (partner) => this.#refuse(partner),
      awaits: (ms) => this.#patience(ms, "the partner did not say yes"),
      broken: (why) => this.part(why),
    });
    this.#agreement = { keys, ack, seals, acquaintance };
    this.#send(FrameType.handshakeAck, await keys.prove(ack.challenge));
    await acquaintance.begin();
  }

  /** Who holds the place of a partner and does not go on must not keep it for ever. */
  #patience(ms: number, why: string): void {
    const { host = systemHost } = this.options;
    this.#stopWaiting();
    this.#stopWaiting = host.after(ms, () => {
      this.events.fault(faultOf(new ClientError("NO_ANSWER", why)));
      this.part("no answer");
    });
  }

  /** The partner's side said no. The relay ends the link, so that we come back later. */
  async #declined(): Promise<void> {
    const acquaintance = this.#agreement?.acquaintance;
    // Said again and again it would keep us here.
    if (acquaintance?.over) return;
    this.events.refused(acquaintance?.partner, "them");
    if (!acquaintance) return;
    this.#patience(MEET_MS, "the partner said no and stays");
    await acquaintance.declined();
  }

  /** The partner's Verify. */
  async #check(proof: Uint8Array): Promise<void> {
    const { keys, ack, acquaintance } = this.#agreed();
    if (!await keys.verify(ack.challenge, proof)) {
      this.part("verification failed");
      throw new ClientError("VERIFY_FAILED", "the partner does not hold the same secret");
    }
    acquaintance.verified();
  }

  async #extension(payload: Uint8Array): Promise<void> {
    const extension = decodeExtension(payload);
    if (extension.subtype === "device") {
      await this.#agreed().acquaintance.take(extension.code, extension.body.slice());
    }
    // Others are for the group profile, which this link did not ask for.
  }

  async #paired(partner: Partner): Promise<void> {
    this.#stopWaiting();
    this.#open = true;
    this.events.paired(partner);
    for (const { frame, wireLength } of this.#early.splice(0)) {
      await this.#guard(() => this.#unseal(frame, wireLength));
    }
  }

  #refuse(partner: Partner | undefined): void {
    const { code, word, help } = Close.notConfirmed;
    this.#send(FrameType.error, encodeFault({ code, message: `${word}: ${help}` }));
    this.events.refused(partner, "us");
    // A copy of this device: it would only keep both from their partner.
    this.later ||= partner === undefined;
    this.part("not confirmed");
  }

  async #unseal(frame: BlazeFrame, wireLength: number): Promise<void> {
    const { seals } = this.#agreed();
    if (!frame.encrypted) throw new ClientError("PLAINTEXT_AFTER_KEY", "it was not sealed");
    if (!this.#open) return this.#wait(frame, wireLength);
    this.events.frame(frame.type, await seals.open(frame), wireLength);
  }

  /** A literal client does not know that people are being asked: what it sends waits for them. */
  #wait(frame: BlazeFrame, wireLength: number): void {
    const bytes = this.#early.reduce((sum, one) => sum + one.wireLength, wireLength);
    const full = this.#early.length >= MOST_EARLY || bytes > MOST_EARLY_BYTES;
    if (this.#agreed().acquaintance.mutual || full) {
      throw new ClientError("NOT_CONFIRMED", "nobody has said yes to this partner yet");
    }
    this.#early.push({ frame: { ...frame, payload: frame.payload.slice() }, wireLength });
  }

  async #seal(type: FrameType, plaintext: Uint8Array): Promise<number> {
    const { seals } = this.#agreed();
    this.#mustLive();
    await this.link.turn();
    let message: Bytes;
    try {
      message = await seals.seal(type, plaintext);
    } catch (error) {
      if (faultOf(error).code === "KEY_WORN_OUT") this.part("time for a new key");
      throw error;
    }
    // Sealing takes time. What a link that is gone would drop in silence is for the next one.
    this.#mustLive();
    this.link.send(message);
    return message.length;
  }

  #mustLive(): void {
    if (this.live) return;
    throw new ClientError("NOT_PAIRED", "there is no partner that both sides said yes to");
  }

  #send(type: FrameType, payload: Bytes = new Uint8Array()): void {
    const short = (this.#agreed().ack.capabilities & Capability.shortHeaders) !== 0;
    this.link.send(encodeFrame({ type, payload }, { short }));
  }

  #extend(code: number, body: Bytes): void {
    this.#send(FrameType.extension, encodeExtension({ subtype: "device", code, body }));
  }

  /** Leaves this partner. The device comes back by itself and is introduced anew. */
  part(why: string): void {
    this.#closed = true;
    this.#stopWaiting();
    this.#enough.abort();
    this.#agreement?.acquaintance.end();
    this.link.close(Close.partnerLeft.code, why);
  }

  #agreed(): Agreement {
    if (!this.#agreement) throw new ClientError("NO_KEY", "there is no key yet");
    return this.#agreement;
  }
}
