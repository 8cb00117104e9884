/**
 * What a device of a group takes and tells.
 *
 * @module
 */
import type { Operation } from "../../wire/blaze/operation.ts";
import type { Fields, FieldsInput, Uuid } from "../../wire/blaze/blaze_record.ts";
import type { Compress } from "../blaze/compression.ts";
import type { DeviceStorage } from "../blaze/storage.ts";
import type { Zstd } from "../blaze/zstd.ts";
import type { ClientFault } from "../client_error.ts";
import type { ConnectOptions, OfflineStatus } from "../connection.ts";
import type { PaceOptions } from "../pacer.ts";
import type { Author } from "./log/reading.ts";
import type { Sponsor } from "./sponsor.ts";

interface Common extends ConnectOptions, PaceOptions {
  /**
   * Keys, records and what waits to be sent. In memory when not given. Of one device only: while another
   * page holds it, this one waits, with the fault `STORAGE_HELD`.
   */
  readonly storage?: DeviceStorage;
  /** What the other devices call this one, at most 63 bytes. */
  readonly name?: string;
  /** Whether to compress before sealing. `auto`: where it makes the bytes fewer. */
  readonly compress?: Compress;
  /** Loads zstd: the runtime's own, or `zstd.wasm` from beside the bundle, unless given. */
  readonly loadZstd?: () => Promise<Zstd>;
  /** Hide lengths, at most 12 % more bytes. On unless said. */
  readonly pad?: boolean;
  /** Keep these collections only. Others can be asked for with `query`. */
  readonly collections?: readonly string[];
  /**
   * Serve clients that speak no group profile, each after a yes to its code. Their database is the
   * group's `channel()`. Without it none is served.
   */
  readonly sponsor?: Sponsor;
  /** Operations that may wait for a slow `for await` loop, and 64 MiB of them. 10,000 when not given. */
  readonly queue?: number;
  /**
   * Operations kept until another device has them; 10,000 when not given. Beyond it the oldest arrive
   * merged into records, with a checkpoint that this device makes once it is online. One that keeps some
   * collections only makes none: there the call rejects with `QUEUE_FULL`.
   */
  readonly offline?: number;
}

export interface GroupOptions extends Common {
  /** The text that lets this device in. Needed until the storage holds the group. */
  readonly invitation?: string;
}

export interface NewGroupOptions extends Common {
  readonly database: string;
  /** Every operation is signed by its device, so that members cannot speak as each other. */
  readonly signed?: boolean;
  /**
   * Keys against a computer that is not there yet (X-Wing: X25519 and ML-KEM-768 together), for what is
   * recorded today: confidentiality only. Loads more code, and commits are larger.
   */
  readonly postQuantum?: boolean;
}

/** A change of a record, made by another device. */
export interface GroupIncoming {
  /** What changed for whoever looks at the record. */
  readonly operation: Operation;
  readonly sender: Author;
  /** It was written before this device was caught up. */
  readonly backlog: boolean;
  /** Bytes of its frame on the wire; 0 where it came with a checkpoint. */
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
 * What the device is doing.
 *
 * - `offline`: there is no link. `connecting`: there is none yet, or it has just begun.
 * - `waiting`: for a device that lets this one in.
 * - `reading`: what it has missed.
 * - `synced`: it has everything that the relay has.
 * - `ended`: the client was closed, or cannot go on. Told once.
 */
export type Standing = "offline" | "connecting" | "waiting" | "reading" | "synced" | "ended";

/** Where an operation of this device is: only here, at the relay too, or at another device as well. */
export type Whereabouts = "local" | "mailbox" | "shared";

/** What the relay's mailbox outlives: nothing, its process, a power cut, a machine. */
export type Safety = "memory" | "process" | "disk" | "replicated";

/**
 * Something worth knowing that is nobody's answer.
 *
 * - `state`: what the device is doing has changed.
 * - `joined`: the device is in the group, and what it does reaches the others.
 * - `epoch`: the group has changed, or new keys are in force.
 * - `presence`: another device came or went, as the relay says.
 * - `backlog`: so many of so many entries that this device lacked have come.
 * - `mailbox`: the relay has no room for what we write, or has room again.
 * - `offline`: the link is gone; another attempt follows by itself.
 * - `removed`: another device has removed this one; the client has ended.
 * - `fault`: something came that is not as it should be, and was left out. `TWO_PASTS`: the relay shows
 *   devices different pasts. `NO_ZSTD`: zstd cannot be loaded; nothing is compressed until it can, in
 *   either direction. `INVITATION_VOID`: a relay that lost its memory has cost an invitation, which has to
 *   be made again.
 */
export type GroupStatus =
  | { readonly kind: "state"; readonly state: Standing }
  | { readonly kind: "joined" }
  | { readonly kind: "epoch"; readonly number: number }
  | { readonly kind: "presence"; readonly node: string; readonly online: boolean }
  | { readonly kind: "backlog"; readonly received: number; readonly total: number }
  | { readonly kind: "mailbox"; readonly full: boolean }
  | OfflineStatus
  | { readonly kind: "removed" }
  | { readonly kind: "fault"; readonly fault: ClientFault };

/** What became of an operation: it is stored, and on its way. */
export interface Stored {
  readonly id: Uuid;
  /** With the device's node id, the operation's id, unless this device turns out to be a copy. */
  readonly counter: bigint;
  /** Bytes before sealing. */
  readonly plainLength: number;
}

export interface StoredRecord {
  readonly id: Uuid;
  readonly fields: Fields;
}

export interface InviteOptions {
  /** How long the text works, by the clock of the device that lets in. More than 0; 10 unless given. */
  readonly minutes?: number;
  /**
   * It lets in any number of devices, until it is revoked or a device is removed. After that a removed
   * device that still knows it can lead newcomers into a group of its own: give it to nobody any more.
   */
  readonly permanent?: boolean;
}

/** An invitation that still lets somebody in. */
export interface Invited {
  /** In hex: names it for `revoke`, and lets nobody in. */
  readonly id: string;
  /** Nothing for a permanent one. */
  readonly expires: Date | undefined;
}

/** How many operations of this device are where. */
export interface Counts {
  readonly local: number;
  readonly mailbox: number;
}

/**
 * Records of one kind. Changes are seen here at once, and reach others when they can: also one that
 * rejects with `STORAGE_FAILED`, which is not to be made again.
 */
export interface GroupCollection {
  insert(fields: FieldsInput, id?: Uuid): Promise<Stored>;
  update(id: Uuid, changes: FieldsInput): Promise<Stored>;
  delete(id: Uuid): Promise<Stored>;
  get(id: Uuid): Fields | undefined;
  list(): StoredRecord[];
  /** Asks another device that is online, also for collections that this one does not keep. */
  query(): Promise<StoredRecord[]>;
}
