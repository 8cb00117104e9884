/**
 * The Blaze client: a device that keeps a database in sync with another one, end to end encrypted.
 *
 * ```ts
 * const device = BlazePair.open({
 *   url: "ws://127.0.0.1:8080",
 *   database: "bugs",
 *   confirm: (code) => ask(`Does the other screen show ${code}?`),
 * });
 * const { id } = await device.collection("bugs").insert({ title: "Crash on start", priority: 5 });
 * for await (const { operation } of device) console.log(operation.kind, operation.changes);
 * ```
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { checkDatabase, NODE_ID_LENGTH } from "../../wire/blaze/handshake.ts";
import {
  decodeOperation,
  encodeOperation,
  type Operation,
  type OperationKind,
} from "../../wire/blaze/operation.ts";
import { type FieldsInput, Uuid } from "../../wire/blaze/blaze_record.ts";
import { ClientError, type ClientFault, faultOf } from "../client_error.ts";
import { Refused } from "../../close.ts";
import { host as systemHost } from "../../host.ts";
import type { Link } from "../../link/link.ts";
import {
  Connection,
  ConnectionClosed,
  type ConnectOptions,
  type OfflineStatus,
} from "../connection.ts";
import { addressOf } from "../address.ts";
import type { PaceOptions } from "../pacer.ts";
import { Queue } from "../queue.ts";
import { tell } from "../tell.ts";
import { type DeviceStorage, memoryStorage } from "../blaze/storage.ts";
import { PairMemory } from "./pair_memory.ts";
import { decodeReceipt, Deliveries } from "./deliveries.ts";
import { Pairing, RUN_LENGTH } from "./pairing.ts";
import { Receipts } from "./receipts.ts";
import { checkTrust, PairTrust, type TrustOptions } from "./pair_trust.ts";
import type { Partner } from "./partner.ts";
import { type Compress, Compression } from "../blaze/compression.ts";
import type { Zstd } from "../blaze/zstd.ts";

export interface PairOptions extends ConnectOptions, TrustOptions, PaceOptions {
  readonly database: string;
  /**
   * Who this device is and whom it knows, to outlive the program. In memory when not given. Of one
   * device only: while another page holds it, this one waits, with the fault `STORAGE_HELD`.
   */
  readonly storage?: DeviceStorage;
  /** Who this device is, the same over reconnects. Of the storage, or drawn, when not given. */
  readonly node?: Uuid;
  /** Operations that may wait for a partner. One more is refused. 10,000 when not given. */
  readonly offline?: number;
  /** Whether to compress operations before they are sealed. `auto`: where it makes them smaller. */
  readonly compress?: Compress;
  /** Loads zstd: the runtime's own, or `zstd.wasm` from beside the bundle, unless given. */
  readonly loadZstd?: () => Promise<Zstd>;
  /** Operations that may wait for a slow `for await` loop, and 64 MiB of them. 10,000 when not given. */
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
 * - `waiting`: connected, and nobody to be paired with: alone, or the others here have partners. What is
 *   done meanwhile waits, too.
 * - `met`: there is a key, and a code to compare unless the partner is known. Nothing passes yet.
 * - `paired`: both sides said yes; from now on operations pass.
 * - `refused`: one of the sides said no. Where it was ours, that device is not asked about again for ten
 *   minutes; see `forget`. Without a partner: it is a copy of this device, or nobody had been met yet.
 * - `offline`: the link is gone; another attempt follows by itself.
 * - `fault`: something came that is not as it should be, and was left out. `NO_ZSTD`: zstd cannot be
 *   loaded; what goes out is not compressed, and what came so waits half a minute for it.
 */
export type PairStatus =
  | { readonly kind: "waiting" }
  | { readonly kind: "met"; readonly partner: Partner }
  | { readonly kind: "paired"; readonly partner: Partner }
  | { readonly kind: "refused"; readonly partner: Partner | undefined; readonly by: "us" | "them" }
  | OfflineStatus
  | { readonly kind: "fault"; readonly fault: ClientFault };

/**
 * Records of one kind. Each call resolves once the partner has its operation; without a partner it waits
 * for one, and where a link ends too soon it goes out again over the next. Towards a partner that gives
 * no receipts, such as a literal client, it resolves once the relay has handed it on, and that partner
 * may see it twice. Rejects with `QUEUE_FULL` where too many wait, with what the record format refuses,
 * and with the reason when the client ends.
 */
export interface PairCollection {
  insert(fields: FieldsInput, id?: Uuid): Promise<Sent>;
  update(id: Uuid, changes: FieldsInput): Promise<Sent>;
  delete(id: Uuid): Promise<Sent>;
}

const DEFAULT_QUEUE = 10_000;
/** What the last receipts may take before a device leaves all the same. */
const GOODBYE_MS = 1_000;
/** Ours go on after the highest that was seen: there must be some left. */
const MAX_COUNTER = 2n ** 63n;

export class BlazePair implements AsyncIterable<PairIncoming> {
  readonly #options: PairOptions;
  readonly #url: URL;
  readonly #started: Promise<PairTrust>;
  readonly #compression: Compression;
  readonly #loops = new Set<Queue<PairIncoming>>();
  readonly #listeners = new Set<(status: PairStatus) => void>();
  #connection: Connection | undefined;
  #pairing: Pairing | undefined;
  #partner: Partner | undefined;
  #ready!: PromiseWithResolvers<Partner>;
  #ended: Error | undefined;
  readonly #ending = new AbortController();
  /** The node id on the wire, when somebody has taken ours. */
  #alias: Bytes | undefined;
  /** Operations go out in the order of their counters, although storing a counter takes time. */
  #drawn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  readonly #run: Bytes = crypto.getRandomValues(new Uint8Array(RUN_LENGTH));
  readonly #deliveries: Deliveries;
  readonly #receipts: Receipts;

  private constructor(options: PairOptions) {
    checkDatabase(options.database);
    checkTrust(options);
    this.#url = addressOf(options.url, ["sync", options.database]);
    this.#options = options;
    const { host = systemHost } = options;
    this.#deliveries = new Deliveries(host);
    this.#receipts = new Receipts(host);
    this.#compression = new Compression({
      mode: options.compress ?? "auto",
      host: options.host,
      load: options.loadZstd,
      fault: (error) => this.#tell({ kind: "fault", fault: faultOf(error) }),
    });
    this.#awaitPartner();
    this.#started = this.#start();
    this.#started.catch((error) => this.#end(error));
  }

  /**
   * Connects, and goes on connecting until closed. Throws for a name that no database can have,
   * `NO_CONFIRM` where nothing says whom to trust, and `BAD_ADDRESS`.
   */
  static open(options: PairOptions): BlazePair {
    return new BlazePair(options);
  }

  /** Who this device is. On the wire it takes another node id when somebody takes this one. */
  async node(): Promise<Uuid> {
    return Uuid.from((await this.#started).memory.node);
  }

  /**
   * Forgets every partner that was confirmed or refused, and leaves the one that is here: each needs a
   * yes again.
   */
  async forget(): Promise<void> {
    const trust = await this.#started;
    // First of all: what takes time must not find the partner still here.
    this.#pairing?.part("forgotten");
    await trust.forget();
  }

  /** The partner, once both sides said yes. Rejects when the client ends before. */
  get ready(): Promise<Partner> {
    return this.#ready.promise;
  }

  /** Records of one kind, to be changed. */
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
      this.#options.queue ?? DEFAULT_QUEUE,
      () => this.#loops.delete(loop),
    );
    if (this.#ended) loop.end();
    else this.#loops.add(loop);
    return loop;
  }

  /** Says goodbye and ends. Resolves once everything is said and stored. Safe to call again. */
  close(): Promise<void> {
    this.#end(new ConnectionClosed(1000, ""));
    const said = this.#sayGoodbye();
    const stored = this.#started.then(({ memory }) => memory.saver.close(), () => {});
    const closed = Promise.all([said, stored]).then(() => {});
    // Whoever waits hears that the storage failed; when nobody does, it is no crash.
    closed.catch(() => {});
    return closed;
  }

  /** What the application was given is answered first: whoever sent it waits for that. */
  async #sayGoodbye(): Promise<void> {
    const { host = systemHost } = this.#options;
    const { settled } = this.#receipts;
    if (settled) {
      await new Promise<void>((resolve) => {
        const stop = host.after(GOODBYE_MS, resolve);
        void settled.then(stop).then(resolve);
      });
    }
    this.#connection?.close();
  }

  async #start(): Promise<PairTrust> {
    const { storage = memoryStorage(), node, host = systemHost } = this.#options;
    const fault = (fault: ClientFault) => this.#tell({ kind: "fault", fault });
    const busy = () =>
      fault(faultOf(new ClientError("STORAGE_HELD", "another page or program is this device")));
    await storage.hold?.(busy, this.#ending.signal);
    const memory = await PairMemory.load(storage, node?.bytes());
    const trust = new PairTrust(memory, this.#options, host, fault);
    if (this.#ended) return trust;
    this.#connection = new Connection(
      { ...this.#options, url: this.#url },
      (link) => this.#greet(link, trust),
      {
        offline: (code, reason, retryMs) => {
          this.#lose();
          this.#tell({ kind: "offline", code, reason, retryMs });
        },
        ended: (why) => this.#end(why),
        renamed: () => this.#alias = crypto.getRandomValues(new Uint8Array(NODE_ID_LENGTH)),
      },
    );
    return trust;
  }

  #greet(link: Link, trust: PairTrust): Pairing {
    const { database, pace, host = systemHost } = this.#options;
    const compression = this.#compression;
    const { memory } = trust;
    let sender: Partner | undefined;
    const node = this.#alias ?? memory.node;
    const run = this.#run;
    const options = { node, database, compression, trust: trust.link(), host, pace, run };
    // Only the newest link says how things are. One before it may still open what came over it last.
    const current = (run: () => void) => this.#pairing === pairing && run();
    const pairing: Pairing = new Pairing(link, options, {
      waiting: () => current(() => this.#tell({ kind: "waiting" })),
      met: (partner) => current(() => this.#tell({ kind: "met", partner })),
      paired: (partner) => {
        sender = partner;
        current(() => {
          this.#partner = partner;
          this.#ready.resolve(partner);
          this.#deliveries.begin(pairing);
          this.#tell({ kind: "paired", partner });
        });
      },
      refused: (partner, by) => {
        // Anybody may say that the partner said no: only our own word counts.
        if (partner && by === "us") trust.refuse(partner);
        // Also of a link that is gone by now: who says no leaves at once, and people want to know why.
        if (!this.#ended) this.#tell({ kind: "refused", partner, by });
      },
      // Also from a link that is gone: the partner was told that it was sent.
      frame: (type, plaintext, wireLength) => {
        if (type === FrameType.operation && sender) {
          this.#take(plaintext, { sender, wireLength, pairing, memory });
        } else if (type === FrameType.operationAck && sender) {
          this.#deliveries.taken(decodeReceipt(plaintext));
        }
      },
      passed: (number) => current(() => this.#deliveries.passed(number)),
      fault: (fault) => {
        // Nothing of ours passes, now or later: nobody has to wait for it.
        if (fault.code === `ERROR_${Refused.readOnly.code}`) {
          current(() => {
            this.#deliveries.fail(new ClientError("READ_ONLY", "the relay passes no operation on"));
            if (pairing.live) this.#deliveries.begin(pairing);
          });
        }
        this.#tell({ kind: "fault", fault });
      },
    });
    this.#lose();
    this.#pairing = pairing;
    return pairing;
  }

  /** Without a link there is no partner, and nothing to tell of one; who wants one waits for the next. */
  #lose(): void {
    if (this.#partner) this.#awaitPartner();
    this.#pairing = undefined;
    this.#partner = undefined;
    this.#deliveries.end();
  }

  async #send(
    kind: OperationKind,
    collection: string,
    id: Uuid,
    changes: FieldsInput,
  ): Promise<Sent> {
    const { memory } = await this.#started;
    if (this.#ended) throw this.#ended;
    const { offline = DEFAULT_QUEUE } = this.#options;
    if (this.#waiting >= offline) {
      throw new ClientError("QUEUE_FULL", `${offline} operations wait for a partner`);
    }
    this.#waiting++;
    try {
      const drawn = Promise.all([memory.tick(), this.#drawn]);
      this.#drawn = drawn.catch(() => {});
      const [counter] = await drawn;
      if (this.#ended) throw this.#ended;
      const node = this.#pairing?.hash ?? 0;
      const plaintext = encodeOperation({ kind, collection, id, counter, node, changes });
      const wireLength = await this.#deliveries.add(plaintext, counter, node);
      return { id, plainLength: plaintext.length, wireLength };
    } finally {
      this.#waiting--;
    }
  }

  #take(
    plaintext: Bytes,
    { sender, wireLength, pairing, memory }: {
      sender: Partner;
      wireLength: number;
      pairing: Pairing;
      memory: PairMemory;
    },
  ): void {
    // Nobody gets it any more, so nobody answers it.
    if (this.#ended) return;
    const operation = decodeOperation(plaintext);
    if (operation.counter > MAX_COUNTER) {
      throw new ClientError("BAD_COUNTER", `${operation.counter} leaves none for what comes after`);
    }
    // One key seals both ways: what we sent opens, too, when the relay sends it back.
    if (operation.node === pairing.hash) {
      throw new ClientError("REFLECTED", "an operation of our own");
    }
    if (!this.#receipts.take(pairing, operation.counter)) return;
    memory.seen(operation.counter);
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

  #end(why: Error): void {
    if (this.#ended) return;
    this.#ended = why;
    this.#ending.abort();
    this.#lose();
    this.#ready.reject(why);
    this.#deliveries.fail(why);
    const clean = why instanceof ConnectionClosed && why.code === 1000;
    for (const loop of this.#loops) loop.end(clean ? undefined : why);
    this.#loops.clear();
  }
}
