/**
 * Asks a member that is here for its records of a collection, and answers others: for devices that do
 * not keep all collections. No log keeps any of it. (docs/protocol/group.md, "Frames that no log keeps")
 *
 * Payload of Query and QueryResult: instance 8 ‖ sealed payload, for one receiver; whether it is
 * compressed says the header's flag. Request: id 8 ‖ u16 length ‖ place to go on after ‖ u8 length ‖ collection. Answer: id 8 ‖
 * u8 1 if last ‖ (u32 length ‖ record) each.
 *
 * @module
 */
import { type Bytes, concat, fromHex, hex, Reader, utf8Bytes, Writer } from "../../wire/bytes.ts";
import { type BlazeFrame, encodeFrame, FrameType } from "../../wire/blaze/blaze_frame.ts";
import { ClientError } from "../client_error.ts";
import type { Device } from "./log/device.ts";
import { random } from "./e2e/derive.ts";
import { padded } from "./e2e/padding.ts";
import { INSTANCE_LENGTH, Opener, Sealer, Sender } from "./e2e/sender.ts";
import { opened, type SealOptions } from "./log/log_entries.ts";
import type { Post } from "./log/post.ts";
import { decodeState, encodeState } from "./data/record_state.ts";
import type { RecordState, Replica } from "./data/replica.ts";

/** A request without an answer is given up after so long. */
const ANSWER_MS = 5_000;
/** Bytes of records in one part, unless a single one has more. */
const PART = 256 * 1024;
/** Instances of others that are remembered, so that nothing is answered twice. */
const MOST_INSTANCES = 256;
/** Answers a second for one device: a question is small, and its answer is not. */
const ANSWERS_PER_SECOND = 20;
const ID_LENGTH = 8;

interface Asked {
  readonly id: string;
  readonly node: string;
  readonly collection: string;
  readonly found: RecordState[];
  readonly done: PromiseWithResolvers<RecordState[]>;
  giveUp: () => void;
}

export class Questions {
  readonly #asked = new Map<string, Asked>();
  readonly #openers = new Map<string, Opener>();
  readonly #served = new Map<string, { since: number; count: number }>();
  #sealer: Sealer | undefined;

  constructor(
    private readonly device: Device,
    private readonly post: Post,
    /** Members that are here, in hex. */
    private readonly present: ReadonlySet<string>,
    private readonly options: SealOptions,
  ) {}

  /** Another epoch: another key. */
  begin(): void {
    this.#sealer = undefined;
    this.#openers.clear();
  }

  /** Throws `NOBODY_HERE`, `NO_ANSWER`, `OFFLINE`. */
  async ask(collection: string): Promise<RecordState[]> {
    const [node] = this.present;
    if (node === undefined) throw new ClientError("NOBODY_HERE", "no other device is online");
    const id = hex(random(ID_LENGTH));
    const done = Promise.withResolvers<RecordState[]>();
    const asked = { id, node, collection, found: [], done, giveUp: () => {} };
    this.#asked.set(id, asked);
    await this.#askPart(asked, "");
    return await done.promise;
  }

  async serve(frame: BlazeFrame, from: Uint8Array | undefined): Promise<void> {
    if (!from || !this.device.group.has(from) || this.#tooOften(hex(from))) return;
    const r = new Reader(await this.#open(frame, from));
    const id = r.bytes(ID_LENGTH);
    const after = r.text(r.u16());
    const collection = r.text(r.u8());
    r.end();
    const part = answer(this.device.ledger.replica, collection, after);
    await this.#send(from, FrameType.queryResult, concat(id, part));
  }

  /** A part of an answer. Throws `NOT_ASKED` for one to no question of ours. */
  async answer(frame: BlazeFrame, from: Uint8Array | undefined): Promise<void> {
    if (!from) throw new ClientError("NOT_ASKED", "an answer of nobody");
    const r = new Reader(await this.#open(frame, from));
    const asked = this.#asked.get(hex(r.bytes(ID_LENGTH)));
    if (!asked || asked.node !== hex(from)) {
      throw new ClientError("NOT_ASKED", "an answer to no question of ours");
    }
    const last = r.u8() === 1;
    const before = asked.found.length;
    while (r.left > 0) asked.found.push(decodeState(r.bytes(r.u32()).slice()));
    const place = asked.found.at(-1);
    if (!last && place && asked.found.length > before) {
      return await this.#askPart(asked, place.id.toString());
    }
    this.#end(asked);
    asked.done.resolve(asked.found);
  }

  /** A device has left: it answers no more. */
  gone(node: string): void {
    for (const asked of this.#asked.values()) {
      if (asked.node === node) this.#giveUp(asked, "NO_ANSWER", "the device has left");
    }
  }

  close(): void {
    for (const asked of this.#asked.values()) this.#giveUp(asked, "OFFLINE", "the link is gone");
  }

  async #askPart(asked: Asked, after: string): Promise<void> {
    asked.giveUp();
    asked.giveUp = this.post.later(
      ANSWER_MS,
      () => this.#giveUp(asked, "NO_ANSWER", "no answer"),
    );
    const [place, name] = [utf8Bytes(after), utf8Bytes(asked.collection)];
    const w = new Writer(64).bytes(fromHex(asked.id)).u16(place.length).bytes(place);
    const request = w.u8(name.length).bytes(name).finish();
    await this.#send(fromHex(asked.node), FrameType.query, request);
  }

  #giveUp(asked: Asked, code: "NO_ANSWER" | "OFFLINE", why: string): void {
    this.#end(asked);
    asked.done.promise.catch(() => {});
    asked.done.reject(new ClientError(code, why));
  }

  #end(asked: Asked): void {
    asked.giveUp();
    this.#asked.delete(asked.id);
  }

  #tooOften(node: string): boolean {
    const now = this.post.host.now();
    const served = this.#served.get(node);
    if (!served || now - served.since > 1_000) {
      this.#served.set(node, { since: now, count: 1 });
      return false;
    }
    return ++served.count > ANSWERS_PER_SECOND;
  }

  async #send(target: Uint8Array, type: FrameType, plaintext: Uint8Array): Promise<void> {
    await this.post.link.turn();
    const { group } = this.device;
    if (!group.epoch || this.post.closed) return;
    this.#sealer ??= new Sealer(await Sender.draw(group.epoch, group.nodeId, group.database));
    const readable = this.post.zstd.has(hex(target));
    const { bytes, compressed } = await this.options.compression.shrink(plaintext, readable);
    const purpose = { type, compressed, target };
    const sealed = await this.#sealer.seal(purpose, padded(bytes, this.options.pad));
    const payload = concat(this.#sealer.sender.instance, sealed);
    this.post.sendTo(
      target,
      encodeFrame({ type, compressed, encrypted: true, payload }, { short: true }),
    );
  }

  async #open(
    { type, compressed, encrypted, payload }: BlazeFrame,
    from: Uint8Array,
  ): Promise<Bytes> {
    const { group } = this.device;
    if (!encrypted) throw new ClientError("PLAINTEXT_AFTER_KEY", "it was not sealed");
    if (!group.epoch || !group.has(from)) {
      throw new ClientError("NOT_A_MEMBER", "sealed by no device of the group");
    }
    const r = new Reader(payload);
    const instance = r.bytes(INSTANCE_LENGTH);
    const key = hex(from) + hex(instance);
    const known = this.#openers.get(key);
    const opener = known ??
      new Opener(await Sender.of(group.epoch, from, instance, group.database));
    const purpose = { type, compressed, target: group.nodeId };
    const content = await opened(opener, r.rest(), purpose, this.options.compression);
    if (!known) {
      this.#openers.set(key, opener);
      if (this.#openers.size > MOST_INSTANCES) {
        this.#openers.delete(this.#openers.keys().next().value!);
      }
    }
    return content;
  }
}

/** The next part of the records of a collection. */
function answer(replica: Replica, collection: string, after: string): Bytes {
  const w = new Writer(1024);
  let full = false;
  for (const state of replica.all()) {
    if (state.collection !== collection || (after !== "" && state.id.toString() <= after)) continue;
    const bytes = encodeState(state);
    if (w.length > 0 && w.length + bytes.length > PART) {
      full = true;
      break;
    }
    w.u32(bytes.length).bytes(bytes);
  }
  return concat(Uint8Array.of(full ? 0 : 1), w.finish());
}
