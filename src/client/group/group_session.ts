/**
 * The group profile over one link.
 *
 * Nothing that the relay says is believed: it can keep frames back, and it can close the link. All else
 * is checked, and what does not pass is left out with a fault.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { Link, Message } from "../../link/link.ts";
import {
  type Bytes,
  fromHex,
  hex,
  Reader,
  utf8Bytes,
  WireError,
  Writer,
} from "../../wire/bytes.ts";
import { decodeFault } from "../../wire/blaze/control.ts";
import {
  decodeExtension,
  type Delivered,
  encodeExtension,
  framesIn,
  LARGEST_BATCH,
  openEnvelopes,
  Subtype,
} from "../../wire/blaze/extension.ts";
import {
  type BlazeFrame,
  decodeFrame,
  encodeFrame,
  FrameType,
} from "../../wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshake,
  encodeHandshake,
  type Handshake,
  TlvType,
  VERIFY_LENGTH,
} from "../../wire/blaze/handshake.ts";
import type { Operation } from "../../wire/blaze/operation.ts";
import { ClientError } from "../client_error.ts";
import { type Body, bodySigned, decodeBody, encodeBody } from "./e2e/operation_body.ts";
import type { Action } from "./e2e/change.ts";
import type { Card } from "./e2e/identity.ts";
import { membershipTlv } from "./e2e/membership.ts";
import type { Conversation } from "../connection.ts";
import type { PaceOptions } from "../pacer.ts";
import { drawKeyPair, type KeyPair } from "../pair/pair_keys.ts";
import { CatchUp } from "./catch_up.ts";
import type { Device } from "./device.ts";
import type { Vector } from "./vector_clock.ts";
import { Keeper } from "./keeper.ts";
import type { Openers } from "./openers.ts";
import { Post } from "./post.ts";
import type { Effect, RecordState } from "./replica.ts";
import { GroupSeals, type SealOptions } from "./group_seals.ts";

/** Operations are acknowledged together. */
const ACK_MS = 50;
const CAPABILITIES = Capability.encryption | Capability.compression | Capability.selectiveSync |
  Capability.rowLevelSecurity | Capability.shortHeaders | Capability.group | Capability.tlvs;

export interface SessionOptions extends SealOptions, PaceOptions {
  /** Put operations into tagged frames, for devices that want some collections only. */
  readonly tagged: boolean;
  readonly collections: readonly string[] | undefined;
  /** Serve clients that speak no group profile. */
  readonly sponsors: boolean;
}

/** Where an operation came from. */
export interface Author {
  /** 16 bytes. */
  readonly node: Bytes;
  /** Name of the device. */
  readonly name: string;
  /** Node id of the sponsored client that made it, if one did. */
  readonly client?: Bytes | undefined;
  /** How sure that is: signed by that device, or sealed by some member of the group. */
  readonly verified: "signature" | "membership";
}

export interface SessionEvents {
  operation(operation: Operation, sender: Author, backlog: boolean, wireLength: number): void;
  /** The device is in the group, in this epoch. */
  entered(number: number): void;
  presence(node: string, online: boolean): void;
  backlog(received: number, total: number): void;
  fault(code: string, message: string): void;
  removed(): void;
  lost(code: number, reason: string): void;
}

/** What a session hands to whoever serves clients that speak the seed's text. */
export interface Clients {
  /** The device is in the group now. */
  entered(): Promise<void>;
  introduced(ack: Bytes, pair: KeyPair, handshake: Handshake): Promise<void>;
  /** A frame of a client, whose node id is in hex. False: no client of ours. */
  frame(node: string, frame: Bytes): Promise<boolean>;
  left(node: string): void;
  operation(operation: Operation): void;
}

export class GroupSession implements Conversation {
  readonly post: Post;
  readonly #seals: GroupSeals;
  readonly #keeper: Keeper;
  readonly #catchUp: CatchUp;
  readonly #ackDue = new Set<string>();
  #outbound: Promise<void> = Promise.resolve();
  #pair!: KeyPair;
  #handshake: Handshake | undefined;
  /** Our operations up to this counter went out over this link. */
  #sentUpTo = 0n;
  clients: Clients | undefined;

  constructor(
    link: Link,
    private readonly device: Device,
    private readonly openers: Openers,
    private readonly options: SessionOptions,
    host: Host,
    private readonly events: SessionEvents,
  ) {
    this.post = new Post(link, host, options, (code, message) => {
      if (code === "NO_ZSTD") this.#unreadable();
      else events.fault(code, message);
    });
    this.#seals = new GroupSeals(device.group, openers, options);
    this.#keeper = new Keeper(device, this.post, this.#seals, options.collections, {
      entered: (number) => {
        events.entered(number);
        void this.post.run(() => this.clients?.entered());
        void this.pump();
      },
      presence: (node, online) => events.presence(node, online),
      announced: (node, vector) => this.#announced(node, vector),
      removed: () => events.removed(),
    });
    this.#catchUp = new CatchUp(
      device,
      this.post,
      this.#seals,
      this.#keeper.present,
      options.collections ?? [],
      {
        state: (state, sender) => this.#merge(state, sender),
        progress: (received, total) => events.backlog(received, total),
        done: () => {
          for (const node of this.#keeper.present.keys()) this.#acknowledge(node);
        },
      },
    );
    void this.post.run(() => this.#greet());
  }

  /** Members that are here now, in hex. */
  get present(): ReadonlyMap<string, Vector> {
    return this.#keeper.present;
  }

  /** Sends what is pending, if anybody is here. */
  pump(): Promise<void> {
    this.#outbound = this.#outbound.then(() => this.post.guard(() => this.#flush()));
    return this.#outbound;
  }

  /** Makes a change of the group and goes on in the new epoch. */
  change(action: Action): Promise<void> {
    const done = Promise.withResolvers<void>();
    const made = this.post.run(() => this.#keeper.change(action).then(done.resolve, done.reject));
    // Nothing is done once the link is gone.
    void made.then(() => done.reject(new ClientError("OFFLINE", "the link is gone")));
    return done.promise;
  }

  /** Asks somebody who is here for records. Throws `NOBODY_HERE`, `NO_ANSWER`. */
  async query(collection: string): Promise<RecordState[]> {
    const [node] = this.#keeper.present.keys();
    if (node === undefined) throw new ClientError("NOBODY_HERE", "no other device is online");
    return await this.#catchUp.query(fromHex(node), collection);
  }

  probe(): boolean {
    // Nothing goes before the Handshake.
    if (!this.#handshake) return false;
    this.post.send({ type: FrameType.ping });
    return true;
  }

  leave(): void {
    this.#saveMarks();
    this.post.send({ type: FrameType.disconnect });
    this.post.link.close(1000, "");
  }

  message(message: Message): void {
    void this.post.run(() => this.#receive(message));
  }

  text(): void {
    this.events.fault("NOT_BINARY", "a text message came");
  }

  drained(): void {}

  closed(code: number, reason: string): void {
    // After what came before it.
    void this.post.run(() => {
      this.post.close();
      this.#catchUp.close();
      this.#saveMarks();
      for (const node of this.#keeper.present.keys()) this.events.presence(node, false);
      this.events.lost(code, reason);
    });
  }

  async #greet(): Promise<void> {
    this.#pair = await drawKeyPair();
    const { group } = this.device;
    const plain: Handshake = {
      node: group.identity.card.node,
      database: group.room,
      publicKey: this.#pair.publicKey,
      capabilities: CAPABILITIES & ~(this.options.compression.failed ? Capability.compression : 0),
      timestamp: BigInt(Date.now()),
      tlvs: [
        { type: TlvType.batch, value: new Writer(4).u32(LARGEST_BATCH).finish() },
        ...this.options.sponsors ? [{ type: TlvType.sponsor, value: new Uint8Array() }] : [],
      ],
    };
    const { epoch } = group;
    const tlvs = epoch ? [...plain.tlvs, await membershipTlv(plain, epoch)] : plain.tlvs;
    this.#handshake = { ...plain, tlvs };
    const payload = encodeHandshake(this.#handshake);
    this.post.link.send(encodeFrame({ type: FrameType.handshake, payload }));
  }

  async #receive(message: Message): Promise<void> {
    for (const frame of framesIn(message)) {
      await this.post.guard(() => this.#take(openEnvelopes(frame)));
    }
  }

  async #take({ frame: message, from, tag }: Delivered): Promise<void> {
    const source = from?.slice();
    if (source && await this.clients?.frame(hex(source), message.slice())) return;
    const frame = decodeFrame(message);
    const { type, payload } = frame;
    // Of a client that we have just sent away.
    if (type === FrameType.handshakeAck && payload.length === VERIFY_LENGTH) return;
    switch (type) {
      case FrameType.handshake:
      case FrameType.handshakeAck:
        if (from || tag) throw new WireError("UNEXPECTED_TYPE", 2, "the relay alone introduces");
        if (type === FrameType.handshake) {
          return await this.#keeper.meet(decodeHandshake(payload.slice()));
        }
        return await this.clients?.introduced(payload.slice(), this.#pair, this.#handshake!);
      case FrameType.operation:
        return await this.#operation(frame, message.length);
      case FrameType.operationAck:
        return await this.#acknowledged(frame);
      case FrameType.query:
        return await this.#catchUp.serve(await this.#open(frame), FrameType.queryResult);
      case FrameType.queryResult:
        return await this.#catchUp.part(await this.#open(frame));
      case FrameType.ping:
        return this.post.answer({ type: FrameType.pong, payload });
      case FrameType.error: {
        const { code, message } = decodeFault(payload);
        return this.events.fault(`ERROR_${code}`, message);
      }
      case FrameType.extension:
        return await this.#extension(payload, source);
      case FrameType.subscribe:
      case FrameType.unsubscribe:
      case FrameType.reserved:
        throw new WireError("UNEXPECTED_TYPE", 2, "nobody sends this to a device");
    }
    // Disconnect, Pong and preferences need no answer, and are no statement of any device's.
  }

  async #extension(payload: Uint8Array, from?: Bytes): Promise<void> {
    const extension = decodeExtension(payload);
    switch (extension.subtype) {
      case "joined":
        if (hex(extension.node) === this.device.node) await this.#keeper.arrive();
        return;
      case "left": {
        const node = hex(extension.node);
        this.#keeper.gone(node);
        this.clients?.left(node);
        return await this.#catchUp.gone(node);
      }
      case "device":
        return await this.#deviceFrame(extension.code, extension.body.slice(), from);
    }
  }

  async #deviceFrame(code: number, body: Bytes, from: Bytes | undefined): Promise<void> {
    if (await this.#keeper.take(code, body, from)) return;
    if (code === Subtype.snapshotRequest) {
      await this.#catchUp.serve(await this.#openExtension(code, body), Subtype.snapshot);
    } else if (code === Subtype.snapshot) {
      await this.#catchUp.part(await this.#openExtension(code, body));
    }
  }

  async #announced(node: Bytes, vector: Vector): Promise<void> {
    const { device } = this;
    const theirs = vector.get(device.node) ?? 0n;
    if (theirs > device.history.have(device.node)) {
      await device.renumber(theirs);
      this.#sentUpTo = 0n;
    } else {
      device.acknowledged(theirs);
    }
    await device.saver.flush();
    await this.#catchUp.ask(node);
    void this.pump();
  }

  async #flush(): Promise<void> {
    const { group } = this.device;
    if (!this.#seals.ready || this.#keeper.present.size === 0) return;
    const signer = group.roster!.signsOperations ? group.identity : undefined;
    for (const one of [...this.device.pending]) {
      const { counter, collection } = one.operation;
      if (counter <= this.#sentUpTo) continue;
      // Before it is sealed: what is sealed goes at once, in the epoch that it is sealed in.
      await this.post.link.turn();
      if (this.post.closed) return;
      const body = await encodeBody(one, group.id, signer);
      const { present } = this.#keeper;
      const readable = [...present.keys()].every((node) => this.post.zstd.has(node));
      const frame = await this.#seals.frame(FrameType.operation, body, readable);
      // `entered` brings us back here.
      if (!frame) return;
      if (this.options.tagged) {
        const tag = await group.epoch!.tag(utf8Bytes(collection));
        this.post.extend(encodeExtension({ subtype: "tagged", tag, frame }));
      } else {
        this.post.link.send(frame);
      }
      this.#sentUpTo = counter;
    }
  }

  async #operation(frame: BlazeFrame, wireLength: number): Promise<void> {
    const { sender, plaintext } = await this.#open(frame);
    const body = decodeBody(plaintext);
    const card = this.device.group.card(sender.node)!;
    const verified = await this.#judge(body, card);
    const node = hex(sender.node);
    const { effect, gap } = this.device.take(node, body);
    if (gap) await this.#catchUp.ask(sender.node, true);
    await this.device.saver.flush();
    this.#acknowledge(node);
    const who = { node: card.node, name: card.name, client: body.origin, verified };
    this.#tell(body.operation, effect, who, false, wireLength);
  }

  async #judge(body: Body, card: Card): Promise<Author["verified"]> {
    const { id, roster } = this.device.group;
    if (await bodySigned(body, id, card)) return "signature";
    if (body.signature) throw new ClientError("BAD_SIGNATURE", "not signed by its sender");
    if (roster!.signsOperations) throw new ClientError("UNSIGNED", "this group signs operations");
    return "membership";
  }

  #merge(state: RecordState, sender: Bytes): void {
    const { device } = this;
    const effect = device.merge(state);
    const { collection, id } = state;
    const counter = device.history.clock;
    const name = device.group.card(sender)?.name ?? "";
    const operation: Operation = { kind: "update", collection, id, counter, node: 0, changes: {} };
    this.#tell(operation, effect, { node: sender, name, verified: "membership" }, true, 0);
  }

  #tell(
    operation: Operation,
    effect: Effect,
    sender: Author,
    backlog: boolean,
    wireLength: number,
  ): void {
    if (!effect) return;
    const seen = { ...operation, ...effect };
    this.events.operation(seen, sender, backlog, wireLength);
    this.clients?.operation(seen);
  }

  #acknowledge(node: string): void {
    if (this.#ackDue.size === 0) this.post.later(ACK_MS, () => this.#sendAcks());
    this.#ackDue.add(node);
  }

  /** OperationAck, sealed for the sender: u64 counter up to which we have its operations. */
  async #sendAcks(): Promise<void> {
    const due = [...this.#ackDue];
    this.#ackDue.clear();
    this.#saveMarks();
    for (const node of due) {
      const counter = new Writer(8).u64(this.device.history.have(node)).finish();
      await this.#seals.send(this.post, fromHex(node), FrameType.operationAck, counter);
    }
    await this.device.saver.flush();
  }

  async #acknowledged(frame: BlazeFrame): Promise<void> {
    const r = new Reader((await this.#open(frame)).plaintext);
    this.device.acknowledged(r.u64());
    r.end();
    await this.device.saver.flush();
  }

  /**
   * Something came compressed, and we have no zstd, as the application has been told. Who says so in its
   * Handshake is sent nothing compressed: we come back as such, and get what we lack as records.
   */
  #unreadable(): void {
    if (this.#handshake!.capabilities & Capability.compression) {
      return this.post.link.close(1000, "cannot decompress; coming back without");
    }
    // Sent before our Handshake was seen.
    const [node] = this.#keeper.present.keys();
    if (node !== undefined) void this.post.run(() => this.#catchUp.ask(fromHex(node), true));
  }

  /** `marks`: instance's epoch and instance in hex, and one above the highest counter taken. */
  #saveMarks(): void {
    const w = new Writer(1024);
    for (const [key, mark] of this.openers.marks()) w.bytes(fromHex(key)).u64(mark);
    this.device.saver.set("marks", w.finish());
  }

  #open(frame: BlazeFrame) {
    return this.#known(() => this.#seals.openFrame(frame));
  }

  #openExtension(code: number, body: Bytes) {
    return this.#known(() => this.#seals.openExtension(code, body));
  }

  /** An instance that we do not know has lost its announce on the way: ask for it. */
  async #known<T>(open: () => Promise<T>): Promise<T> {
    try {
      return await open();
    } catch (error) {
      const unknown = error instanceof ClientError && error.code === "UNKNOWN_SENDER";
      if (unknown && this.device.group.roster) this.#keeper.ask();
      throw error;
    }
  }
}
