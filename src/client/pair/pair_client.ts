/**
 * The Blaze client: a device that keeps a database in sync with another one, end to end encrypted.
 *
 * ```ts
 * const device = BlazePair.open({ url: "ws://127.0.0.1:8080", database: "bugs" });
 * const partner = await device.ready; // show partner.code on both screens
 * const id = await device.collection("bugs").insert({ title: "Crash on start", priority: 5 });
 * for await (const { operation } of device) console.log(operation.kind, operation.changes);
 * ```
 *
 * @module
 */
import { type Bytes } from "../../wire/bytes.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { checkDatabase } from "../../wire/blaze/handshake.ts";
import {
  decodeOperation,
  encodeOperation,
  type Operation,
  type OperationKind,
} from "../../wire/blaze/operation.ts";
import { type FieldsInput, Uuid } from "../../wire/blaze/blaze_record.ts";
import { ClientError, type ClientFault } from "../client_error.ts";
import type { Link } from "../../link/link.ts";
import { Connection, ConnectionClosed, type ConnectOptions } from "../connection.ts";
import { Queue } from "../queue.ts";
import { tell } from "../tell.ts";
import { hashNode } from "../blaze/node_hash.ts";
import { Pairing, type Partner } from "./pairing.ts";
import type { Compress } from "../blaze/zstd.ts";

export interface PairOptions extends ConnectOptions {
  readonly database: string;
  /** Who this device is, the same over reconnects unless somebody takes it. Drawn when not given. */
  readonly node?: Uuid;
  /** Whether to compress operations before they are sealed. `auto`: where it makes them smaller. */
  readonly compress?: Compress;
  /** Operations that may wait for a slow `for await` loop. */
  readonly queue?: number;
}

/** An operation of the partner's. */
export interface PairIncoming {
  readonly operation: Operation;
  readonly sender: Partner;
  /** Bytes of its frame on the wire. */
  readonly wireLength: number;
}

/** What an operation cost: its bytes before sealing, and as a frame on the wire. */
export interface Sent {
  readonly id: Uuid;
  readonly plainLength: number;
  readonly wireLength: number;
}

/**
 * Something worth knowing that is nobody's answer.
 *
 * - `paired`: there is a key; from now on operations pass.
 * - `offline`: the link is gone; another attempt follows by itself.
 * - `fault`: something came that is not as it should be. It was left out.
 */
export type PairStatus =
  | { readonly kind: "paired"; readonly partner: Partner }
  | {
    readonly kind: "offline";
    readonly code: number;
    readonly reason: string;
    readonly retryMs: number;
  }
  | { readonly kind: "fault"; readonly fault: ClientFault };

/** Records of one kind. */
export interface PairCollection {
  insert(fields: FieldsInput, id?: Uuid): Promise<Sent>;
  update(id: Uuid, changes: FieldsInput): Promise<Sent>;
  delete(id: Uuid): Promise<Sent>;
}

export class BlazePair implements AsyncIterable<PairIncoming> {
  #node: Uuid;
  readonly #options: PairOptions;
  readonly #connection: Connection;
  readonly #loops = new Set<Queue<PairIncoming>>();
  readonly #listeners = new Set<(status: PairStatus) => void>();
  #pairing: Pairing | undefined;
  #partner: Partner | undefined;
  #ready!: PromiseWithResolvers<Partner>;
  #ended: ConnectionClosed | undefined;
  #counter = 0n;
  #nodeHash: Promise<number>;

  private constructor(options: PairOptions) {
    checkDatabase(options.database);
    this.#options = options;
    this.#node = options.node ?? Uuid.parse(crypto.randomUUID());
    this.#nodeHash = hashNode(this.#node.bytes());
    this.#awaitPartner();
    const url = new URL(options.url);
    if (url.pathname === "/") url.pathname = `/sync/${encodeURIComponent(options.database)}`;
    this.#connection = new Connection({ ...options, url }, (link) => this.#greet(link), {
      offline: (code, reason, retryMs) => {
        this.#lose();
        this.#tell({ kind: "offline", code, reason, retryMs });
      },
      ended: (why) => this.#end(why),
      renamed: () => {
        this.#node = Uuid.parse(crypto.randomUUID());
        this.#nodeHash = hashNode(this.#node.bytes());
      },
    });
  }

  /** Connects, and goes on connecting until closed. Throws for a name that no database can have. */
  static open(options: PairOptions): BlazePair {
    return new BlazePair(options);
  }

  /** Who this device is on the wire. It becomes another one when somebody else takes it. */
  get node(): Uuid {
    return this.#node;
  }

  /** The partner, once there is a key. Rejects when the client ends before. */
  get ready(): Promise<Partner> {
    return this.#ready.promise;
  }

  /** Records of one kind, to be changed. What is done before there is a key waits for it. */
  collection(name: string): PairCollection {
    return {
      insert: (fields, id = Uuid.parse(crypto.randomUUID())) =>
        this.#send("insert", name, id, fields),
      update: (id, changes) => this.#send("update", name, id, changes),
      delete: (id) => this.#send("delete", name, id, {}),
    };
  }

  /** Hears of every {@linkcode PairStatus}. Answers how to stop. */
  onStatus(listener: (status: PairStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Operations of the partner, from now on. Ends when the client is closed. */
  [Symbol.asyncIterator](): AsyncIterableIterator<PairIncoming> {
    const loop = new Queue<PairIncoming>(
      this.#options.queue ?? 10_000,
      () => this.#loops.delete(loop),
    );
    if (this.#ended) loop.end();
    else this.#loops.add(loop);
    return loop;
  }

  /** Says goodbye and ends. Safe to call again. */
  close(): void {
    this.#connection.close();
  }

  #greet(link: Link): Pairing {
    const { database, compress = "auto" } = this.#options;
    const pairing = new Pairing(link, { node: this.node.bytes(), database, compress }, {
      paired: (partner) => {
        if (this.#pairing !== pairing) return;
        this.#partner = partner;
        this.#ready.resolve(partner);
        this.#tell({ kind: "paired", partner });
      },
      frame: (type, plaintext, wireLength) => this.#take(type, plaintext, wireLength),
      fault: (fault) => this.#tell({ kind: "fault", fault }),
    });
    // The link before this one may still be busy with what came last: only the newest counts.
    this.#lose();
    this.#pairing = pairing;
    return pairing;
  }

  /** Without a link there is no partner; who wants one waits for the next. */
  #lose(): void {
    if (this.#partner) this.#awaitPartner();
    this.#pairing = undefined;
    this.#partner = undefined;
  }

  async #send(
    kind: OperationKind,
    collection: string,
    id: Uuid,
    changes: FieldsInput,
  ): Promise<Sent> {
    await this.ready;
    const node = await this.#nodeHash;
    const operation = { kind, collection, id, counter: ++this.#counter, node, changes };
    const plaintext = encodeOperation(operation);
    const pairing = this.#pairing;
    if (!pairing) throw new ClientError("NO_KEY", "the partner has just gone; try again");
    const wireLength = await pairing.send(FrameType.operation, plaintext);
    return { id, plainLength: plaintext.length, wireLength };
  }

  #take(type: FrameType, plaintext: Bytes, wireLength: number): void {
    const sender = this.#partner;
    if (type !== FrameType.operation || !sender) return;
    const operation = decodeOperation(plaintext);
    // Lamport: what we do next comes after everything we have seen.
    if (operation.counter > this.#counter) this.#counter = operation.counter;
    for (const loop of this.#loops) loop.push({ operation, sender, wireLength });
  }

  /** A new promise of a partner, unless somebody waits for one already. */
  #awaitPartner(): void {
    this.#ready = Promise.withResolvers<Partner>();
    // Whoever waits hears of the end; when nobody does, it is no crash.
    this.#ready.promise.catch(() => {});
  }

  #tell(status: PairStatus): void {
    tell(this.#listeners, status);
  }

  #end(why: ConnectionClosed): void {
    this.#ended = why;
    if (this.#partner) this.#awaitPartner();
    this.#ready.reject(why);
    const error = why.code === 1000 ? undefined : why;
    for (const loop of this.#loops) loop.end(error);
    this.#loops.clear();
  }
}
