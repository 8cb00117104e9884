/**
 * The group profile over one link: what comes is handed to whom it concerns, and the conductor decides
 * which log is open.
 *
 * Nothing that the relay says is believed: it can keep frames back, and it can close the link. All else
 * is checked, and what does not pass is left out with a fault.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { Link, Message } from "../../link/link.ts";
import { hex, WireError, Writer } from "../../wire/bytes.ts";
import { decodeFault } from "../../wire/blaze/control.ts";
import {
  decodeExtension,
  type Delivered,
  framesIn,
  LARGEST_BATCH,
  openEnvelopes,
  Subtype,
} from "../../wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../../wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshake,
  encodeHandshake,
  type Handshake,
  TlvType,
  VERIFY_LENGTH,
} from "../../wire/blaze/handshake.ts";
import type { Conversation } from "../connection.ts";
import type { PaceOptions } from "../pacer.ts";
import { drawKeyPair, type KeyPair } from "../pair/pair_keys.ts";
import { claimTlv } from "./claims.ts";
import type { Clients } from "./clients.ts";
import { Conductor, type ConductorEvents } from "./conductor.ts";
import type { Device } from "./log/device.ts";
import type { SealOptions } from "./log/log_entries.ts";
import type { Safety } from "./group_types.ts";
import { LogLink } from "./log/log_link.ts";
import { Post } from "./log/post.ts";
import { Presence } from "./presence.ts";
import { Questions } from "./questions.ts";
import type { RecordState } from "./data/replica.ts";

const CAPABILITIES = Capability.encryption | Capability.compression | Capability.selectiveSync |
  Capability.rowLevelSecurity | Capability.shortHeaders | Capability.group | Capability.tlvs;

/** Bytes that may wait to be read: what a log holds, and some more. */
const MOST_WAITING = 96 * 1024 * 1024;
const SAFETIES: readonly Safety[] = ["memory", "process", "disk", "replicated"];

export interface SessionOptions extends SealOptions, PaceOptions {
  /** Serve clients that speak no group profile. */
  readonly sponsors: boolean;
}

export interface SessionEvents extends ConductorEvents {
  presence(node: string, online: boolean): void;
  lost(code: number, reason: string): void;
}

export class GroupSession implements Conversation {
  readonly post: Post;
  readonly #log: LogLink;
  readonly #presence: Presence;
  readonly #questions: Questions;
  readonly #conductor: Conductor;
  #pair!: KeyPair;
  #handshake: Handshake | undefined;
  /** The epoch that our Handshake speaks of. */
  #claimed: string | undefined;
  readonly #over = Promise.withResolvers<void>();
  /** Bytes of messages that wait to be read. */
  #waiting = 0;
  #safety: Safety | undefined;
  clients: Clients | undefined;

  constructor(
    link: Link,
    private readonly device: Device,
    private readonly options: SessionOptions,
    host: Host,
    private readonly events: SessionEvents,
    /** The session before has ended. */
    before: Promise<void>,
  ) {
    const fault = (code: string, message: string) => events.fault(code, message);
    this.post = new Post(link, host, options, fault);
    this.#log = new LogLink(this.post, ({ code, message }) => {
      fault(code, message);
      // Another attempt begins with a new link.
      this.post.link.close(1000, "begins again");
    });
    this.#presence = new Presence(device.group, this.post, {
      presence: (node, online) => events.presence(node, online),
      // A Handshake of an epoch before says nothing to who comes now.
      arrived: () => this.#claimed !== device.group.epoch?.name && this.#conductor.greet(),
      stranger: () => this.#conductor.stranger(),
      elsewhere: (node) => this.#conductor.elsewhere(node),
    });
    this.#questions = new Questions(device, this.post, this.#presence.members, options);
    const parts = { device, post: this.post, log: this.#log, presence: this.#presence, options };
    this.#conductor = new Conductor(parts, {
      ...events,
      operation: (...told) => {
        events.operation(...told);
        const [operation, effect] = told;
        if (effect) this.clients?.operation({ ...operation, ...effect });
      },
      entered: (number) => {
        events.entered(number);
        this.#questions.begin();
        void this.post.run(() => this.clients?.entered());
      },
    });
    // One after the other: both would read into the same device.
    void this.post.run(() => before.then(() => this.#greet()));
  }

  /** Members that are here now, in hex. */
  get present(): ReadonlySet<string> {
    return this.#presence.members;
  }

  /** How safe entries of logs are at this relay. */
  get safety(): Safety | undefined {
    return this.#safety;
  }

  /** Sends what waits. */
  pump(): void {
    this.#conductor.pump();
  }

  /** Asks somebody who is here for records. Throws `NOBODY_HERE`, `NO_ANSWER`. */
  query(collection: string): Promise<RecordState[]> {
    return this.#questions.ask(collection);
  }

  probe(): boolean {
    // Nothing goes before the Handshake.
    if (!this.#handshake) return false;
    this.post.send({ type: FrameType.ping });
    return true;
  }

  leave(): void {
    this.post.send({ type: FrameType.disconnect });
    this.post.link.close(1000, "");
  }

  message(message: Message): void {
    this.#waiting += message.length;
    // A relay cannot make this device keep any amount: the log is read on from there over another link.
    if (this.#waiting > MOST_WAITING) return this.post.link.close(1000, "more than can be read");
    void this.post.run(() => this.#receive(message)).then(() => this.#waiting -= message.length);
  }

  text(): void {
    this.events.fault("NOT_BINARY", "a text message came");
  }

  drained(): void {}

  closed(code: number, reason: string): void {
    // What still waits is not read: the next link begins where this one has come to.
    this.post.close();
    this.#conductor.close();
    this.#log.close();
    this.#questions.close();
    for (const node of this.#presence.members) this.events.presence(node, false);
    this.events.lost(code, reason);
    void Promise.allSettled([this.post.idle, this.#conductor.done]).then(() =>
      this.#over.resolve()
    );
  }

  /** Resolves once nothing of this session touches the device any more. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  async #greet(): Promise<void> {
    this.#pair = await drawKeyPair();
    const { group } = this.device;
    this.post.readsZstd = !this.options.compression.failed;
    const plain: Handshake = {
      node: group.nodeId,
      database: group.room,
      publicKey: this.#pair.publicKey,
      capabilities: CAPABILITIES & ~(this.post.readsZstd ? 0 : Capability.compression),
      timestamp: BigInt(Date.now()),
      tlvs: [
        { type: TlvType.batch, value: new Writer(4).u32(LARGEST_BATCH).finish() },
        ...this.options.sponsors ? [{ type: TlvType.sponsor, value: new Uint8Array() }] : [],
      ],
    };
    const { epoch, membership } = group;
    this.#claimed = membership && epoch?.name;
    const tlvs = epoch && membership
      ? [...plain.tlvs, await claimTlv(plain, epoch, membership)]
      : plain.tlvs;
    this.#handshake = { ...plain, tlvs };
    const payload = encodeHandshake(this.#handshake);
    this.post.link.send(encodeFrame({ type: FrameType.handshake, payload }));
  }

  async #receive(message: Message): Promise<void> {
    for (const frame of framesIn(message)) {
      await this.post.guard(() => this.#take(openEnvelopes(frame)));
    }
  }

  async #take({ frame: message, from, tag, sequence }: Delivered): Promise<void> {
    if (sequence !== undefined) return await this.#log.entry(sequence, message.slice());
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
          return await this.#presence.meet(decodeHandshake(payload.slice()));
        }
        return await this.clients?.introduced(payload.slice(), this.#pair, this.#handshake!);
      case FrameType.query:
        return await this.#questions.serve(frame, source);
      case FrameType.queryResult:
        return await this.#questions.answer(frame, source);
      case FrameType.ping:
        return this.post.answer({ type: FrameType.pong, payload });
      case FrameType.error: {
        const { code, message } = decodeFault(payload);
        // What another device calls an error is no answer of the relay's.
        const told = from !== undefined || tag !== undefined;
        if (told || !this.#log.refused(code)) this.events.fault(`ERROR_${code}`, message);
        return;
      }
      case FrameType.extension:
        return await this.#extension(payload);
      case FrameType.operation:
      case FrameType.operationAck:
      case FrameType.subscribe:
      case FrameType.unsubscribe:
      case FrameType.reserved:
        throw new WireError("UNEXPECTED_TYPE", 2, "nobody sends this to a device");
    }
    // Disconnect, Pong and preferences need no answer, and are no statement of any device's.
  }

  async #extension(payload: Uint8Array): Promise<void> {
    const extension = decodeExtension(payload);
    if (await this.#log.take(extension)) return;
    switch (extension.subtype) {
      case "joined":
        if (hex(extension.node) === this.device.group.node) {
          const log = extension.tlvs?.find(({ type }) => type === TlvType.log);
          this.#safety = log && SAFETIES[log.value[0] ?? 0];
          this.#conductor.joined(log !== undefined);
        }
        return;
      case "left": {
        const node = hex(extension.node);
        this.#presence.gone(node);
        this.#questions.gone(node);
        this.clients?.left(node);
        return;
      }
      case "device":
        // A hint, and nothing more: who asks is seen in the door.
        if (extension.code === Subtype.knock) this.#conductor.stranger();
        else if (extension.code === Subtype.commit) this.#conductor.lookAgain();
    }
  }
}
