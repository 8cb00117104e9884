/**
 * A device of a group: any number of devices keep one database in sync, and whatever relays between them
 * can read none of it.
 *
 * ```ts
 * const laptop = BlazeGroup.create({ url: "ws://127.0.0.1:8080", database: "bugs" });
 * const secret = await laptop.secret(); // show it as a QR code
 *
 * const phone = BlazeGroup.open({ url: "ws://127.0.0.1:8080", secret });
 * await phone.collection("bugs").insert({ title: "Crash on start", priority: 5 });
 * for await (const { operation } of laptop) console.log(operation.kind, operation.changes);
 * ```
 *
 * @module
 */
import { host as systemHost } from "../../host.ts";
import type { Link } from "../../link/link.ts";
import { type Bytes, fromHex, hex, Reader, sameBytes } from "../../wire/bytes.ts";
import type { Operation, OperationKind } from "../../wire/blaze/operation.ts";
import { type Fields, type FieldsInput, Uuid } from "../../wire/blaze/blaze_record.ts";
import { ClientError, type ClientFault, faultOf } from "../client_error.ts";
import {
  Connection,
  ConnectionClosed,
  type ConnectOptions,
  type OfflineStatus,
} from "../connection.ts";
import type { EcgSeal } from "../ecg/messages.ts";
import { addressOf } from "../address.ts";
import { Queue } from "../queue.ts";
import { tell } from "../tell.ts";
import { Policy } from "./e2e/change.ts";
import { drawIdentity, exportIdentity, importIdentity } from "./e2e/identity.ts";
import { drawGroupSecret, parseSecret } from "./e2e/secret.ts";
import { Device } from "./device.ts";
import { Group } from "./group_state.ts";
import { Openers } from "./openers.ts";
import { type Author, GroupSession } from "./group_session.ts";
import { type Sponsor, Sponsored } from "./sponsor.ts";
import { StreamSeal } from "./stream_seal.ts";
import { visible } from "./replica.ts";
import { introduce, type JoinOptions } from "./introduction.ts";
import { type DeviceStorage, memoryStorage, Saver } from "../blaze/storage.ts";
import type { PaceOptions } from "../pacer.ts";
import { type Compress, Compression } from "../blaze/compression.ts";
import type { Zstd } from "../blaze/zstd.ts";

interface Common extends ConnectOptions, PaceOptions {
  /** Keys, records and what waits to be sent. In memory when not given. */
  readonly storage?: DeviceStorage;
  /** What the other devices call this one, at most 63 bytes. */
  readonly name?: string;
  /** Whether to compress before sealing. `auto`: where it makes the bytes fewer. */
  readonly compress?: Compress;
  /** Loads zstd: the runtime's own, or `zstd.wasm` from beside the bundle, unless given. */
  readonly loadZstd?: () => Promise<Zstd>;
  /** Hide lengths, at most 12 % more bytes. On unless said. */
  readonly pad?: boolean;
  /** Keep these collections only. The others must put their operations into tagged frames. */
  readonly collections?: readonly string[];
  /** Let the relay tell collections apart, though not name them, for devices that keep only some. */
  readonly tagged?: boolean;
  /**
   * Serve clients that speak no group profile, each after a yes to its code. Their database is the
   * group's {@linkcode BlazeGroup.channel}. Without it none is served.
   */
  readonly sponsor?: Sponsor;
  /** Operations that may wait for a slow `for await` loop, and 64 MiB of them. 10,000 when not given. */
  readonly queue?: number;
  /** Operations kept until another device has them. Beyond it the oldest arrive merged into records. */
  readonly offline?: number;
}

export interface GroupOptions extends Common {
  /**
   * The text that lets this device in: of the device that made the group, or an invitation. Needed until
   * the storage holds the group.
   */
  readonly secret?: string;
}

export interface NewGroupOptions extends Common {
  readonly database: string;
  /** Every operation is signed by its device, so that members cannot speak as each other. */
  readonly signed?: boolean;
}

/** A change of a record, made by another device. */
export interface GroupIncoming {
  /** What changed for whoever looks at the record. */
  readonly operation: Operation;
  readonly sender: Author;
  /** It came with others when catching up; then only the record counts, not who changed it. */
  readonly backlog: boolean;
  /** Bytes of its frame on the wire; 0 with a backlog. */
  readonly wireLength: number;
}

/** A device of the group. */
export interface GroupDevice {
  /** Node id in hex. */
  readonly node: string;
  readonly name: string;
  readonly online: boolean;
  readonly self: boolean;
}

/**
 * Something worth knowing that is nobody's answer.
 *
 * - `joined`: the device is in the group, and what it does reaches the others.
 * - `epoch`: the group has changed, or new keys are in force.
 * - `presence`: another device came or went, as the relay says.
 * - `backlog`: so many of so many records that this device lacked have come.
 * - `offline`: the link is gone; another attempt follows by itself.
 * - `removed`: another device has removed this one; the client has ended.
 * - `fault`: something came that is not as it should be, and was left out. `NO_ZSTD`: zstd cannot be
 *   loaded; nothing is compressed until it can, in either direction.
 */
export type GroupStatus =
  | { readonly kind: "joined" }
  | { readonly kind: "epoch"; readonly number: number }
  | { readonly kind: "presence"; readonly node: string; readonly online: boolean }
  | { readonly kind: "backlog"; readonly received: number; readonly total: number }
  | OfflineStatus
  | { readonly kind: "removed" }
  | {
    readonly kind: "fault";
    readonly fault: ClientFault;
  };

/** What became of an operation: it is stored, and on its way. */
export interface Stored {
  readonly id: Uuid;
  /** With the device's node id, the operation's id. */
  readonly counter: bigint;
  /** Bytes before sealing. */
  readonly plainLength: number;
}

export interface StoredRecord {
  readonly id: Uuid;
  readonly fields: Fields;
}

/** Records of one kind. Changes are seen here at once, and reach others when they can. */
export interface GroupCollection {
  insert(fields: FieldsInput, id?: Uuid): Promise<Stored>;
  update(id: Uuid, changes: FieldsInput): Promise<Stored>;
  delete(id: Uuid): Promise<Stored>;
  get(id: Uuid): Fields | undefined;
  list(): StoredRecord[];
  /** Asks another device that is online, also for collections that this one does not keep. */
  query(): Promise<StoredRecord[]>;
}

const DEFAULT_QUEUE = 10_000;
const DEFAULT_OFFLINE = 10_000;
const INVITATION_MINUTES = 10;

export class BlazeGroup implements AsyncIterable<GroupIncoming> {
  readonly #options: GroupOptions | NewGroupOptions;
  readonly #loops = new Set<Queue<GroupIncoming>>();
  readonly #listeners = new Set<(status: GroupStatus) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #started: Promise<Device>;
  readonly #compression: Compression;
  readonly #seen = new Set<string>();
  #device: Device | undefined;
  #openers = new Openers();
  #connection: Connection | undefined;
  #session: GroupSession | undefined;
  #joined = false;
  #ended: Error | undefined;

  private constructor(options: GroupOptions | NewGroupOptions) {
    // Where the group meets is known later; what is no address is refused now.
    addressOf(options.url, []);
    this.#options = options;
    this.#compression = new Compression({
      mode: options.compress ?? "auto",
      host: options.host,
      load: options.loadZstd,
      fault: (error) => this.#tell({ kind: "fault", fault: faultOf(error) }),
    });
    // Whoever waits hears of the end; when nobody does, it is no crash.
    this.#ready.promise.catch(() => {});
    this.#started = this.#start();
    this.#started.catch((error) => this.#end(error));
  }

  /** Joins a group, or goes on with the one in the storage. Throws `BAD_ADDRESS`. */
  static open(options: GroupOptions): BlazeGroup {
    return new BlazeGroup(options);
  }

  /** Makes a group with this device in it. Throws `BAD_ADDRESS`. */
  static create(options: NewGroupOptions): BlazeGroup {
    return new BlazeGroup(options);
  }

  /** Joins a group by comparing six digits with a device that calls `admit`. */
  static async join(options: Omit<GroupOptions, "secret"> & JoinOptions): Promise<BlazeGroup> {
    const secret = await introduce(options);
    return new BlazeGroup({ ...options, secret });
  }

  /** Resolves once the device is in the group. Rejects when the client ends before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Node id of this device in hex. */
  async node(): Promise<string> {
    return (await this.#started).node;
  }

  /**
   * The name under which the relay knows the group: 32 hexadecimal digits. A client that speaks the
   * seed's text meets a sponsor by naming it as its database. It lets nobody in.
   */
  async channel(): Promise<string> {
    return (await this.#started).group.room;
  }

  /** Operations that no other device is known to have yet. */
  get pending(): number {
    return this.#device?.pendingCount ?? 0;
  }

  /** Records of one kind. */
  collection(name: string): GroupCollection {
    return {
      insert: (fields, id = Uuid.parse(crypto.randomUUID())) =>
        this.#write("insert", name, id, fields),
      update: (id, changes) => this.#write("update", name, id, changes),
      delete: (id) => this.#write("delete", name, id, {}),
      get: (id) => this.#device?.replica.get(name, id),
      list: () => this.#device?.replica.list(name) ?? [],
      query: () => this.#query(name),
    };
  }

  /** The group's devices, this one included. Empty until the device has joined. */
  devices(): GroupDevice[] {
    const { roster } = this.#device?.group ?? {};
    return [...roster?.devices ?? []].map(([node, { name }]) => {
      const self = node === this.#device!.node;
      const online = self ? this.#session !== undefined : !!this.#session?.present.has(node);
      return { node, name, online, self };
    });
  }

  /**
   * The text that lets devices in: it works again and again, until a device is removed. Rejects with
   * `NO_SECRET` after that, on a device that joined with an invitation, and before it is in the group.
   */
  async secret(): Promise<string> {
    return await (await this.#started).group.text();
  }

  /** A text that lets one device in. This device must be online when it is used. */
  async invite(minutes = INVITATION_MINUTES): Promise<string> {
    const { group, saver } = await this.#started;
    const text = await group.invite(Date.now() + minutes * 60_000);
    await saver.flush();
    return text;
  }

  /** Lets in a device that calls `join`, once people have seen the same six digits on both. */
  async admit(options: JoinOptions): Promise<void> {
    await this.ready;
    await introduce({ ...this.#options, ...options }, () => this.invite());
  }

  /** Removes a device: it can read nothing that is sealed from now on. */
  async remove(node: string): Promise<void> {
    await this.#change({ kind: "remove", node: fromHex(node) });
  }

  /** New keys for everybody. */
  async rotate(): Promise<void> {
    await this.#change({ kind: "rotate" });
  }

  /**
   * Seals and opens an ECG stream, so that only devices of the group can read it, and nobody else can
   * add to it:
   *
   * ```ts
   * EcgClient.open({ url, stream: "bed-3", seal: group.ecgSeal() });
   * ```
   *
   * One for each `EcgClient`. It follows the group's epochs, and ends with this client.
   */
  ecgSeal(): EcgSeal {
    const { pad = true, host = systemHost } = this.#options;
    const device = {
      host,
      ready: this.ready,
      group: () => {
        if (this.#ended) throw this.#ended;
        return this.#device?.group;
      },
      onEpoch: (run: () => void) => this.onStatus(({ kind }) => kind === "epoch" && run()),
    };
    return new StreamSeal(device, { compression: this.#compression, pad });
  }

  /** Hears of every {@linkcode GroupStatus}. Answers how to stop. */
  onStatus(listener: (status: GroupStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What other devices change, from now on. Ends when the client is closed. */
  [Symbol.asyncIterator](): AsyncIterableIterator<GroupIncoming> {
    const loop = new Queue<GroupIncoming>(
      this.#options.queue ?? DEFAULT_QUEUE,
      () => this.#loops.delete(loop),
    );
    if (this.#ended) loop.end();
    else this.#loops.add(loop);
    return loop;
  }

  /** Ends. Resolves once everything is stored. */
  async close(): Promise<void> {
    this.#connection?.close();
    this.#end(new ConnectionClosed(1000, ""));
    await this.#started.then(({ saver }) => saver.close(), () => {});
  }

  async #start(): Promise<Device> {
    const { storage = memoryStorage(), name = "", offline, collections } = this.#options;
    const saved = await storage.load();
    const saver = new Saver(storage);
    const kept = saved.get("identity");
    const identity = kept ? await importIdentity(kept) : await drawIdentity(name);
    if (!kept) saver.set("identity", await exportIdentity(identity));
    const group = await this.#group(saved, saver, identity);
    const most = offline ?? DEFAULT_OFFLINE;
    const device = await Device.of(group, saver, saved, { most, collections });
    this.#openers = new Openers(readMarks(saved.get("marks")));
    await saver.flush();
    this.#device = device;
    if (group.roster) this.#isIn();
    if (this.#ended) return device;
    const url = addressOf(this.#options.url, ["sync", group.room]);
    this.#connection = new Connection(
      { ...this.#options, url },
      (link) => this.#greet(link, device),
      {
        offline: (code, reason, retryMs) => this.#tell({ kind: "offline", code, reason, retryMs }),
        ended: (why) => this.#end(why),
      },
    );
    return device;
  }

  async #group(
    saved: Map<string, Bytes>,
    saver: Saver,
    identity: Awaited<ReturnType<typeof drawIdentity>>,
  ): Promise<Group> {
    const options = this.#options;
    const kept = saved.get("group");
    if ("database" in options) {
      if (kept) throw new ClientError("GROUP_EXISTS", "the storage holds a group; open it");
      const policy = options.signed ? Policy.signOperations : 0;
      return await Group.create(drawGroupSecret(options.database), identity, saver, policy);
    }
    const group = kept && await Group.restore(kept, identity, saver);
    const secret = options.secret === undefined ? undefined : await parseSecret(options.secret);
    if (!secret) {
      if (!group) throw new ClientError("NO_GROUP", "the storage holds no group: bring a secret");
      return group;
    }
    if (!group) return await Group.joining(secret, identity, saver);
    const same = group.database === secret.database && sameBytes(group.constant, secret.constant);
    if (!same) throw new ClientError("OTHER_GROUP", "the storage holds another group");
    return group.roster ? group : await Group.joining(secret, identity, saver);
  }

  #greet(link: Link, device: Device): GroupSession {
    const { pad = true, tagged = false, collections, sponsor, pace } = this.#options;
    const compression = this.#compression;
    const sponsors = sponsor !== undefined;
    const options = { compression, pad, tagged, collections, sponsors, pace };
    const host = this.#options.host ?? systemHost;
    const fault = (code: string, message: string) =>
      this.#tell({ kind: "fault", fault: { code, message } });
    const session = new GroupSession(link, device, this.#openers, options, host, {
      operation: (operation, sender, backlog, wireLength) => {
        const incoming = { operation, sender, backlog, wireLength };
        for (const loop of this.#loops) loop.push(incoming);
      },
      entered: (number) => this.#entered(number),
      presence: (node, online) => this.#tell({ kind: "presence", node, online }),
      backlog: (received, total) => this.#tell({ kind: "backlog", received, total }),
      fault,
      removed: () => {
        this.#tell({ kind: "removed" });
        // First, since a connection that is closed has a reason of its own.
        this.#end(new ClientError("REMOVED", "another device has removed this one"));
        this.#connection?.close();
      },
      lost: () => {
        if (this.#session === session) this.#session = undefined;
        void device.saver.flush().catch(() => {});
      },
    });
    session.clients = new Sponsored(device, session.post, sponsor, compression, this.#seen, {
      wrote: async ({ kind, collection, id, changes, ...rest }, client) => {
        await this.#write(kind, collection, id, changes, client);
        const sender = {
          node: client,
          name: "",
          client,
          verified: "membership" as const,
        };
        const operation = { kind, collection, id, changes, ...rest };
        for (const loop of this.#loops) {
          loop.push({ operation, sender, backlog: false, wireLength: 0 });
        }
      },
      fault,
    });
    this.#session = session;
    return session;
  }

  #entered(number: number): void {
    this.#tell({ kind: "epoch", number });
    this.#isIn();
  }

  #isIn(): void {
    if (this.#joined) return;
    this.#joined = true;
    this.#ready.resolve();
    this.#tell({ kind: "joined" });
  }

  async #write(
    kind: OperationKind,
    collection: string,
    id: Uuid,
    changes: FieldsInput,
    client?: Bytes,
  ): Promise<Stored> {
    const device = await this.#started;
    if (this.#ended) throw this.#ended;
    const { operation, length } = await device.write(kind, collection, id, changes, client);
    await device.saver.flush();
    void this.#session?.pump();
    if (!client) this.#session?.clients?.operation(operation);
    return { id, counter: operation.counter, plainLength: length };
  }

  async #query(collection: string): Promise<StoredRecord[]> {
    const session = this.#session;
    if (!session) throw new ClientError("OFFLINE", "there is no link");
    const states = (await session.query(collection)).filter(visible);
    return states.map(({ id, fields }) => ({
      id,
      fields: Object.fromEntries([...fields].map(([name, { value }]) => [name, value])),
    }));
  }

  async #change(action: Parameters<GroupSession["change"]>[0]): Promise<void> {
    const device = await this.#started;
    await this.ready;
    if (this.#session) return await this.#session.change(action);
    // Offline: the others hear of it when we meet.
    await device.group.change(action);
    await device.saver.flush();
  }

  #tell(status: GroupStatus): void {
    tell(this.#listeners, status);
  }

  #end(why: Error): void {
    if (this.#ended) return;
    this.#ended = why;
    this.#ready.reject(why);
    const clean = why instanceof ConnectionClosed && why.code === 1000;
    for (const loop of this.#loops) loop.end(clean ? undefined : why);
    this.#loops.clear();
  }
}

function readMarks(bytes: Bytes | undefined): [string, bigint][] {
  const marks: [string, bigint][] = [];
  const r = new Reader(bytes ?? new Uint8Array());
  while (r.left > 0) marks.push([hex(r.bytes(16)), r.u64()]);
  return marks;
}
