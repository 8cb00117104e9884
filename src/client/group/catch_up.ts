/**
 * Gets from others the records that this device lacks, one device at a time, and answers others.
 *
 * @module
 */
import { type Bytes, fromHex, hex } from "../../wire/bytes.ts";
import { Subtype } from "../../wire/blaze/extension.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { ClientError } from "../client_error.ts";
import { random } from "./e2e/derive.ts";
import {
  answer,
  decodePart,
  decodeRequest,
  encodeRequest,
  placeOf,
  REQUEST_ID_LENGTH,
} from "./snapshot.ts";
import type { Device } from "./device.ts";
import type { Vector } from "./vector_clock.ts";
import type { Post } from "./post.ts";
import type { RecordState } from "./replica.ts";
import type { GroupSeals, OpenedFrame } from "./group_seals.ts";

/** A request for records without an answer is given up after so long. */
const ANSWER_MS = 5_000;
const NOTHING: Vector = new Map();

/** An outstanding request. */
interface Asked {
  readonly id: string;
  readonly node: Bytes;
  readonly collections: readonly string[];
  /** Where the answer to a Query goes. It is not merged: it may be about what we do not keep. */
  readonly query?: PromiseWithResolvers<RecordState[]> | undefined;
  readonly found: RecordState[];
  received: number;
  /** What the other device had when it began to answer. */
  vector: Vector | undefined;
  giveUp: () => void;
}

export interface CatchUpEvents {
  state(state: RecordState, sender: Bytes): void;
  progress(received: number, total: number): void;
  /** We have what a device had. */
  done(): void;
}

export class CatchUp {
  readonly #asked = new Map<string, Asked>();

  constructor(
    private readonly device: Device,
    private readonly post: Post,
    private readonly seals: GroupSeals,
    /** Members that are here, and what they said they have. */
    private readonly present: Map<string, Vector>,
    private readonly collections: readonly string[],
    private readonly events: CatchUpEvents,
  ) {}

  /** Asks a device if it has something that we lack, unless somebody is being asked already. */
  async ask(node: Uint8Array, gap = false): Promise<void> {
    const theirs = this.present.get(hex(node)) ?? NOTHING;
    if (!gap && !this.device.lacks(theirs)) return;
    for (const { query } of this.#asked.values()) if (!query) return;
    await this.#begin(node, this.collections, undefined);
  }

  /** Asks a device for its records of a collection. */
  async query(node: Uint8Array, collection: string): Promise<RecordState[]> {
    const query = Promise.withResolvers<RecordState[]>();
    await this.#begin(node, [collection], query);
    return await query.promise;
  }

  async serve({ sender, plaintext }: OpenedFrame, as: number): Promise<void> {
    const part = answer(this.device.replica, this.device.vector, decodeRequest(plaintext));
    await this.seals.send(this.post, sender.node, as, part);
  }

  /** A part of an answer. Throws `NOT_ASKED` for one to no question of ours. */
  async part({ sender, plaintext }: OpenedFrame): Promise<void> {
    const part = decodePart(plaintext);
    const asked = this.#asked.get(part.id);
    if (!asked || hex(asked.node) !== hex(sender.node)) {
      throw new ClientError("NOT_ASKED", "an answer to no question of ours");
    }
    asked.vector ??= part.vector;
    if (asked.query) asked.found.push(...part.states);
    else for (const state of part.states) this.events.state(state, asked.node);
    const total = asked.received + part.left;
    asked.received += part.states.length;
    if (!asked.query) this.events.progress(asked.received, total);
    const last = part.states.at(-1);
    if (last && !part.last) return await this.#askPart(asked, placeOf(last));
    await this.#done(asked, asked.vector);
  }

  /** A device has left: it answers no more. */
  async gone(node: string): Promise<void> {
    for (const asked of this.#asked.values()) {
      if (hex(asked.node) === node) await this.#giveUp(asked, "the device has left");
    }
  }

  close(): void {
    for (const { giveUp, query } of this.#asked.values()) {
      giveUp();
      query?.reject(new ClientError("OFFLINE", "the link is gone"));
    }
  }

  async #begin(
    node: Uint8Array,
    collections: readonly string[],
    query: Asked["query"],
  ): Promise<void> {
    const id = hex(random(REQUEST_ID_LENGTH));
    const asked: Asked = {
      id,
      node: node.slice(),
      collections,
      query,
      found: [],
      received: 0,
      vector: undefined,
      giveUp: () => {},
    };
    this.#asked.set(id, asked);
    await this.#askPart(asked, "");
  }

  async #askPart(asked: Asked, after: string): Promise<void> {
    asked.giveUp();
    asked.giveUp = this.post.later(ANSWER_MS, () => this.#giveUp(asked, "no answer"));
    const { collections, query } = asked;
    const vector = query ? NOTHING : this.device.known;
    const request = encodeRequest(fromHex(asked.id), { after, vector, collections });
    const what = query ? FrameType.query : Subtype.snapshotRequest;
    await this.seals.send(this.post, asked.node, what, request);
  }

  async #done(asked: Asked, vector: Vector): Promise<void> {
    asked.giveUp();
    this.#asked.delete(asked.id);
    if (asked.query) return asked.query.resolve(asked.found);
    this.device.caughtUp(vector);
    await this.device.saver.flush();
    this.events.done();
    // It can give no more than this, whatever it announced.
    if (this.present.has(hex(asked.node))) this.present.set(hex(asked.node), vector);
    await this.#askNext();
  }

  async #giveUp(asked: Asked, why: string): Promise<void> {
    asked.giveUp();
    this.#asked.delete(asked.id);
    asked.query?.reject(new ClientError("NO_ANSWER", why));
    if (this.present.has(hex(asked.node))) this.present.set(hex(asked.node), NOTHING);
    await this.#askNext();
  }

  async #askNext(): Promise<void> {
    for (const [node, theirs] of this.present) {
      if (this.device.lacks(theirs)) return await this.ask(fromHex(node));
    }
  }
}
