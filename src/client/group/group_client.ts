/**
 * A device of a group: any number of devices keep one database in sync, at any time, and whatever relays
 * between them can read none of it.
 *
 * ```ts
 * const laptop = BlazeGroup.create({ url: "ws://127.0.0.1:8080", database: "bugs" });
 * const invitation = await laptop.invite(); // show it as a QR code
 *
 * const phone = BlazeGroup.open({ url: "ws://127.0.0.1:8080", invitation });
 * await phone.collection("bugs").insert({ title: "Crash on start", priority: 5 });
 * for await (const { operation } of laptop) console.log(operation.kind, operation.changes);
 * ```
 *
 * @module
 */
import { host as systemHost } from "../../host.ts";
import type { Link } from "../../link/link.ts";
import { type Bytes, fromHex, hex } from "../../wire/bytes.ts";
import type { OperationKind } from "../../wire/blaze/operation.ts";
import { type FieldsInput, Uuid } from "../../wire/blaze/blaze_record.ts";
import { ClientError, faultOf } from "../client_error.ts";
import { Connection, ConnectionClosed } from "../connection.ts";
import type { EcgSeal } from "../ecg/messages.ts";
import { addressOf } from "../address.ts";
import { Queue } from "../queue.ts";
import { tell } from "../tell.ts";
import { memoryStorage, Saver } from "../blaze/storage.ts";
import { Compression } from "../blaze/compression.ts";
import type { Device } from "./log/device.ts";
import { GroupSession } from "./group_session.ts";
import type {
  Counts,
  GroupCollection,
  GroupDevice,
  GroupIncoming,
  GroupOptions,
  GroupStatus,
  Invited,
  InviteOptions,
  NewGroupOptions,
  Safety,
  Standing,
  Stored,
  StoredRecord,
  Whereabouts,
} from "./group_types.ts";
import { openGroup } from "./group_opening.ts";
import { introduce, type JoinOptions } from "./introduction.ts";
import { checkMinutes, invite, revoke, standing } from "./invitations.ts";
import { Ledger } from "./data/ledger.ts";
import { Reception } from "./log/reception.ts";
import { visible } from "./data/replica.ts";
import { Sponsored } from "./sponsor.ts";
import { StreamSeal } from "./stream_seal.ts";
import { Wishes } from "./log/wishes.ts";
import { Written } from "./written.ts";

const DEFAULT_QUEUE = 10_000;
const DEFAULT_OFFLINE = 10_000;

export class BlazeGroup implements AsyncIterable<GroupIncoming> {
  readonly #options: GroupOptions | NewGroupOptions;
  readonly #loops = new Set<Queue<GroupIncoming>>();
  readonly #listeners = new Set<(status: GroupStatus) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #started: Promise<Device>;
  readonly #ending = new AbortController();
  readonly #compression: Compression;
  readonly #seen = new Set<string>();
  #written: Written | undefined;
  #device: Device | undefined;
  #saver: Saver | undefined;
  #connection: Connection | undefined;
  #session: GroupSession | undefined;
  /** Resolves once the last session has ended. */
  #before: Promise<void> = Promise.resolve();
  #state: Standing = "connecting";
  /** The relay has no room for what we write. */
  #full = false;
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
      fault: (error) => this.#fault(error),
    });
    // Whoever waits hears of the end; when nobody does, it is no crash.
    this.#ready.promise.catch(() => {});
    this.#started = this.#start();
    this.#started.then(
      ({ wishes }) => this.#ended && wishes.end(this.#ended),
      (error) => this.#end(error),
    );
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
  static async join(options: Omit<GroupOptions, "invitation"> & JoinOptions): Promise<BlazeGroup> {
    const invitation = await introduce(options);
    return new BlazeGroup({ ...options, invitation });
  }

  /** Resolves once the device is in the group. Rejects when the client ends before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** What the device is doing. */
  get state(): Standing {
    return this.#state;
  }

  /** How safe what it writes is at the relay; nothing before that has said so. */
  get safety(): Safety | undefined {
    return this.#session?.safety;
  }

  /** Node id of this device in hex. */
  async node(): Promise<string> {
    return (await this.#started).group.node;
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
    return this.#written?.pending ?? 0;
  }

  /** How many of the pending ones are only here, and how many the relay keeps. */
  get counts(): Counts {
    return this.#written?.counts ?? { local: 0, mailbox: 0 };
  }

  /**
   * Resolves once nothing that this device did is only here: then it may go, and others read it when they
   * come. How safe it is until then: {@linkcode safety}. Rejects when the client ends before.
   */
  async sent(): Promise<void> {
    await this.#here();
    await this.#written!.sent();
  }

  /**
   * Where an operation of this device is, by the counter that its call resolved with; nothing for one
   * that this device has not reached.
   */
  where(counter: bigint): Whereabouts | undefined {
    return this.#written?.where(counter);
  }

  /** Records of one kind. */
  collection(name: string): GroupCollection {
    return {
      insert: (fields, id = Uuid.parse(crypto.randomUUID())) =>
        this.#write("insert", name, id, fields),
      update: (id, changes) => this.#write("update", name, id, changes),
      delete: (id) => this.#write("delete", name, id, {}),
      get: (id) => this.#device?.ledger.replica.get(name, id),
      list: () => this.#device?.ledger.replica.list(name) ?? [],
      query: () => this.#query(name),
    };
  }

  /** The group's devices, this one included. Empty until the device has joined. */
  devices(): GroupDevice[] {
    const { group } = this.#device ?? {};
    return [...group?.peers ?? []].map(({ node, name }) => {
      const id = hex(node);
      const self = id === group!.node;
      const online = self ? this.#session !== undefined : !!this.#session?.present.has(id);
      return { node: id, name, online, self };
    });
  }

  /**
   * A text that lets one device in, whenever a device of the group is online or comes; with `permanent`
   * any number of them. Resolves once the group knows of it, so this device must be online. All texts
   * are void after a device was removed. Where 32 stand, those that have expired are cleared first.
   * Throws `RangeError` for minutes that are no time.
   */
  async invite(options: InviteOptions = {}): Promise<string> {
    checkMinutes(options);
    return await invite(await this.#here(), options);
  }

  /** Invitations that still let somebody in, also those of other devices. */
  invitations(): Invited[] {
    return this.#device ? standing(this.#device) : [];
  }

  /** Ends an invitation, by its id in `invitations()`. */
  async revoke(id: string): Promise<void> {
    await revoke(await this.#here(), id);
  }

  /** Lets in a device that calls `join`, once people have seen the same six digits on both. */
  async admit(options: JoinOptions): Promise<void> {
    await this.ready;
    await this.#here();
    await introduce({ ...this.#options, ...options }, () => this.invite());
  }

  /**
   * Removes a device: it reads nothing that is sealed from then on. Resolves once the group has taken
   * it; where that needs the network, it waits for it. Throws `OWN_DEVICE` for this one.
   */
  async remove(node: string): Promise<void> {
    await this.ready;
    const { group, wishes } = await this.#here();
    if (node === group.node) throw new ClientError("OWN_DEVICE", "no device removes itself");
    await wishes.add((membership) =>
      membership.peer(node) && { kind: "remove", nodes: [fromHex(node)] }
    );
  }

  /** New keys for everybody. Resolves once they are in force. */
  async rotate(): Promise<void> {
    await this.ready;
    await (await this.#here()).wishes.add(() => ({ kind: "rotate" }));
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
    await this.#started.catch(() => {});
    await this.#saver?.close();
  }

  async #start(): Promise<Device> {
    const { storage = memoryStorage(), offline = DEFAULT_OFFLINE, collections } = this.#options;
    const held = new ClientError("STORAGE_HELD", "another page or program is this device");
    await storage.hold?.(() => this.#fault(held), this.#ending.signal);
    const saved = await storage.load();
    const saver = this.#saver = new Saver(storage);
    const group = await openGroup(this.#options, saved, saver).catch((error) => {
      if (faultOf(error).code === "REMOVED") this.#tell({ kind: "removed" });
      throw error;
    });
    const node = group.nodeId;
    const { former } = group;
    const ledger = await Ledger.of(saver, saved, { node, most: offline, collections, former });
    if (ledger.renewed) await group.readAgain();
    const wishes = new Wishes();
    const device = { group, ledger, saver, wishes, reception: new Reception(group, wishes) };
    await saver.flush();
    this.#device = device;
    this.#written = new Written(ledger);
    if (group.membership) this.#isIn();
    if (this.#ended) return device;
    const url = addressOf(this.#options.url, ["sync", group.room]);
    this.#connection = new Connection(
      { ...this.#options, url },
      (link) => this.#greet(link, device),
      {
        offline: (code, reason, retryMs) => {
          this.#is("offline");
          this.#tell({ kind: "offline", code, reason, retryMs });
        },
        ended: (why) => this.#end(why),
      },
    );
    return device;
  }

  /** The device, unless the client has ended. */
  async #here(): Promise<Device> {
    const device = await this.#started;
    if (this.#ended) throw this.#ended;
    return device;
  }

  #greet(link: Link, device: Device): GroupSession {
    const { pad = true, sponsor, pace } = this.#options;
    const compression = this.#compression;
    const options = { compression, pad, sponsors: sponsor !== undefined, pace };
    const host = this.#options.host ?? systemHost;
    const fault = (code: string, message: string) =>
      this.#tell({ kind: "fault", fault: { code, message } });
    const session = new GroupSession(link, device, options, host, {
      operation: (operation, effect, sender, backlog, wireLength) => {
        if (!effect) return;
        const incoming = { operation: { ...operation, ...effect }, sender, backlog, wireLength };
        for (const loop of this.#loops) loop.push(incoming);
      },
      entered: (number) => this.#entered(Number(number)),
      progress: (state) => {
        this.#is(state);
        this.#written?.check();
      },
      backlog: (received, total) => this.#tell({ kind: "backlog", received, total }),
      mailed: (counter) => this.#written?.mailed(counter),
      full: (full) => {
        if (this.#full === full) return;
        this.#full = full;
        this.#tell({ kind: "mailbox", full });
      },
      presence: (node, online) => this.#tell({ kind: "presence", node, online }),
      fault,
      removed: () => {
        this.#tell({ kind: "removed" });
        this.#stop(new ClientError("REMOVED", "another device has removed this one"));
      },
      stopped: (error) => {
        this.#fault(error);
        this.#stop(error);
      },
      lost: () => {
        if (this.#session === session) this.#session = undefined;
        void device.saver.flush().catch(() => {});
      },
    }, this.#before);
    session.clients = new Sponsored(device, session.post, sponsor, compression, this.#seen, {
      wrote: async ({ kind, collection, id, changes, ...rest }, client) => {
        await this.#write(kind, collection, id, changes, client);
        const sender = { node: client, name: "", client, verified: "membership" as const };
        const operation = { kind, collection, id, changes, ...rest };
        for (const loop of this.#loops) {
          loop.push({ operation, sender, backlog: false, wireLength: 0 });
        }
      },
    });
    this.#session = session;
    this.#before = session.over;
    this.#is("connecting");
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

  #is(state: Standing): void {
    if (this.#state === state || this.#ended) return;
    this.#state = state;
    this.#tell({ kind: "state", state });
  }

  async #write(
    kind: OperationKind,
    collection: string,
    id: Uuid,
    changes: FieldsInput,
    client?: Bytes,
  ): Promise<Stored> {
    const { ledger, group, saver } = await this.#here();
    const one = await ledger.write(kind, collection, id, changes, client, group.signer);
    // It is in the records, so others get it, also where the storage fails.
    await saver.flush().finally(() => this.#session?.pump());
    if (!client) this.#session?.clients?.operation(one.operation);
    return { id, counter: one.operation.counter, plainLength: one.bytes.length };
  }

  async #query(collection: string): Promise<StoredRecord[]> {
    await this.#here();
    const session = this.#session;
    if (!session) throw new ClientError("OFFLINE", "there is no link");
    const states = (await session.query(collection)).filter(visible);
    return states.map(({ id, fields }) => ({
      id,
      fields: Object.fromEntries([...fields].map(([name, { value }]) => [name, value])),
    }));
  }

  #tell(status: GroupStatus): void {
    tell(this.#listeners, status);
  }

  #fault(error: unknown): void {
    // That something cannot be done any more since it ends is none.
    if (this.#ended) return;
    this.#tell({ kind: "fault", fault: faultOf(error) });
  }

  /** Ends for a reason of its own, which comes first: a connection that is closed has another one. */
  #stop(why: Error): void {
    this.#end(why);
    this.#connection?.close();
  }

  #end(why: Error): void {
    if (this.#ended) return;
    this.#ended = why;
    this.#state = "ended";
    this.#ending.abort();
    this.#ready.reject(why);
    this.#written?.end(why);
    this.#device?.wishes.end(why);
    const clean = why instanceof ConnectionClosed && why.code === 1000;
    for (const loop of this.#loops) loop.end(clean ? undefined : why);
    this.#loops.clear();
    this.#tell({ kind: "state", state: "ended" });
  }
}
