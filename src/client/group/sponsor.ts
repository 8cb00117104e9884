/**
 * Serves clients that speak the seed's text and no group profile: they share a key with this device, and
 * this device seals anew in both directions.
 *
 * Nothing shows who such a client is but the code that people compare: the relay itself could pose as
 * one. So nothing is sealed for it before the application has said yes to the code.
 *
 * @module
 */
import { type Bytes, hex, Reader } from "../../wire/bytes.ts";
import { encodeFault } from "../../wire/blaze/control.ts";
import { decodeFrame, encodeFrame, FrameType } from "../../wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshakeAck,
  type Handshake,
  type HandshakeAck,
  NODE_ID_LENGTH,
  VERIFY_LENGTH,
} from "../../wire/blaze/handshake.ts";
import { decodeOperation, encodeOperation, type Operation } from "../../wire/blaze/operation.ts";
import { Close, type Fault, Refused } from "../../close.ts";
import { ClientError } from "../client_error.ts";
import { comparisonCode, type KeyPair, PairKeys, refuseReflection } from "../pair/pair_keys.ts";
import type { Compression } from "../blaze/compression.ts";
import { ClientFeed } from "./client_feed.ts";
import type { Device } from "./log/device.ts";
import { EarlyFrames } from "./early_frames.ts";
import type { Post } from "./log/post.ts";
import type { Clients } from "./clients.ts";

/** A client that asks to be served. */
export interface ClientRequest {
  /** Node id in hex: what the client says, and anybody could. */
  readonly node: string;
  /** Speaks the seed's text and nothing beyond. */
  readonly literal: boolean;
  /** 30 digits, the same on the client's screen unless somebody sits in between. */
  readonly code: string;
}

/** Whether to serve a client: compare its code first. */
export type Sponsor = (client: ClientRequest) => boolean | Promise<boolean>;

/** Sponsored clients that one device serves at a time. */
const MOST_CLIENTS = 32;
/** Counters of a client that are remembered, so that what it sends again is not done again. */
const MOST_SEEN = 10_000;
/** A client waits so long for a device that is about to be let into its group. */
const ENTER_MS = 5_000;

/** Why a client is not served. */
const SERVES_NONE = { ...Refused.notAllowed, help: "this device serves no more clients" };
const NOT_VERIFIED = { ...Refused.notAllowed, help: "verification failed" };

interface Client {
  readonly node: Bytes;
  readonly keys: PairKeys;
  readonly ack: HandshakeAck;
  /** The application said yes. */
  accepted: boolean;
  readonly feed: ClientFeed;
}

export interface SponsorEvents {
  /** A client wrote something: it is ours now, on its behalf. */
  wrote(operation: Operation, client: Bytes): Promise<void>;
}

export class Sponsored implements Clients {
  readonly #clients = new Map<string, Client>();
  /** Introductions that came before this device was in the group, by node id in hex. */
  readonly #early = new Map<string, () => Promise<void>>();
  /** Frames of clients that nobody said yes to. */
  readonly #waiting = new EarlyFrames();
  /** Operations taken from clients: node in hex and counter. */
  readonly #seen: Set<string>;

  constructor(
    private readonly device: Device,
    private readonly post: Post,
    private readonly sponsor: Sponsor | undefined,
    private readonly compression: Compression,
    seen: Set<string>,
    private readonly events: SponsorEvents,
  ) {
    this.#seen = seen;
  }

  /**
   * The relay introduces a client. Its word is all that there is, so a client is nobody who is known as a
   * device of the group, and nobody who is served already. Throws `NOT_A_CLIENT`, `REFLECTED`,
   * `INVALID_POINT`, and what the bytes are refused for.
   */
  async introduced(payload: Bytes, pair: KeyPair, handshake: Handshake): Promise<void> {
    const node = new Reader(payload).bytes(NODE_ID_LENGTH).slice();
    const name = hex(node);
    if (this.post.shown.has(name) || this.#clients.has(name) || this.#early.has(name)) {
      throw new ClientError("NOT_A_CLIENT", `${name} is here already`);
    }
    if (!this.sponsor || this.#clients.size + this.#early.size >= MOST_CLIENTS) {
      return this.#refuse(node, SERVES_NONE);
    }
    try {
      if (this.device.group.has(node)) throw new ClientError("NOT_A_CLIENT", `${name} is a member`);
      const ack = decodeHandshakeAck(payload, "drawing");
      refuseReflection(handshake, ack);
      if (this.device.group.membership) await this.#meet(ack, pair, handshake, this.sponsor);
      else this.#postpone(node, () => this.introduced(payload, pair, handshake));
    } catch (error) {
      this.#refuse(node, NOT_VERIFIED);
      throw error;
    }
  }

  /** It waits until this device is in the group. */
  #postpone(node: Bytes, introduce: () => Promise<void>): void {
    this.#early.set(hex(node), introduce);
    this.post.later(ENTER_MS, () => {
      if (this.#early.get(hex(node)) === introduce) this.#refuse(node, SERVES_NONE);
    });
  }

  async #meet(
    ack: HandshakeAck,
    pair: KeyPair,
    handshake: Handshake,
    sponsor: Sponsor,
  ): Promise<void> {
    const keys = await PairKeys.derive(pair.privateKey, ack.publicKey, [
      handshake.database,
      ack.database,
    ]);
    const node = hex(ack.node);
    const feed = new ClientFeed(
      this.device.ledger,
      this.post,
      (operation) => this.#seal(client, operation),
    );
    const client: Client = { node: ack.node.slice(), keys, ack, accepted: false, feed };
    this.#clients.set(node, client);
    if (ack.capabilities & Capability.tlvs) {
      this.#send(client, {
        type: FrameType.handshakeAck,
        payload: await keys.prove(ack.challenge),
      });
    }
    const code = await comparisonCode({ handshake }, { handshake: ack });
    const literal = (ack.capabilities & 0xf0) === 0;
    // People take their time: nothing else waits for them.
    const judge = async () => await sponsor({ node, literal, code });
    void judge().catch(() => false).then((yes) => this.post.run(() => this.#judged(client, yes)));
  }

  async entered(): Promise<void> {
    for (const [node, introduce] of [...this.#early]) {
      this.#early.delete(node);
      const frames = this.#waiting.take(node);
      await this.post.guard(introduce);
      for (const frame of frames) {
        await this.post.guard(async () => void await this.frame(node, frame));
      }
    }
  }

  async frame(node: string, frame: Bytes): Promise<boolean> {
    if (this.#early.has(node)) {
      this.#waiting.keep(node, frame);
      return true;
    }
    const client = this.#clients.get(node);
    if (client) await this.#take(client, frame);
    return client !== undefined;
  }

  left(node: string): void {
    this.#clients.get(node)?.feed.end();
    this.#clients.delete(node);
    this.#early.delete(node);
    this.#waiting.take(node);
  }

  /** An operation of the group, for every client. */
  operation(operation: Operation, except?: string): void {
    for (const [node, { accepted, feed }] of this.#clients) {
      if (node !== except && accepted) feed.change(operation);
    }
  }

  async #judged(client: Client, yes: boolean): Promise<void> {
    if (this.#clients.get(hex(client.node)) !== client) return;
    if (!yes) return this.#refuse(client.node, Close.notConfirmed);
    client.accepted = true;
    client.feed.everything();
    for (const frame of this.#waiting.take(hex(client.node))) {
      await this.post.guard(() => this.#take(client, frame));
    }
  }

  async #take(client: Client, frame: Bytes): Promise<void> {
    const { type, payload, encrypted, compressed } = decodeFrame(frame);
    if (type === FrameType.handshakeAck && payload.length === VERIFY_LENGTH) {
      if (await client.keys.verify(client.ack.challenge, payload)) return;
      this.#refuse(client.node, NOT_VERIFIED);
      throw new ClientError("VERIFY_FAILED", "a client does not hold the same secret");
    }
    if (type !== FrameType.operation) return;
    if (!encrypted) throw new ClientError("PLAINTEXT_AFTER_KEY", "it was not sealed");
    if (!client.accepted) return this.#waiting.keep(hex(client.node), frame);
    const operation = decodeOperation(
      await this.compression.expand(await client.keys.open(payload), compressed),
    );
    // One key seals both ways: what we sealed opens, too, when the relay sends it back.
    if (operation.node === this.device.ledger.hash) {
      throw new ClientError("REFLECTED", "an operation of our own");
    }
    const key = `${hex(client.node)} ${operation.counter}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (this.#seen.size > MOST_SEEN) this.#seen.delete(this.#seen.values().next().value!);
    await this.events.wrote(operation, client.node);
    this.operation(operation, hex(client.node));
  }

  async #seal(client: Client, operation: Operation): Promise<void> {
    const ours = { ...operation, node: this.device.ledger.hash };
    const payload = await client.keys.seal(encodeOperation(ours));
    this.#send(client, { type: FrameType.operation, encrypted: true, payload });
  }

  #send(client: Client, frame: Parameters<typeof encodeFrame>[0]): void {
    // Sealing takes time, and the relay counts what it cannot deliver as a fault.
    if (this.#clients.get(hex(client.node)) !== client) return;
    this.post.direct(client.node, encodeFrame(frame));
  }

  /** Says why, and sends the client away: the relay then tries the next sponsor. */
  #refuse(node: Uint8Array, { code, word, help }: Fault): void {
    const payload = encodeFault({ code, message: `${word}: ${help}` });
    this.post.direct(node, encodeFrame({ type: FrameType.error, payload }));
    this.post.direct(node, encodeFrame({ type: FrameType.disconnect }));
    this.left(hex(node));
  }
}
