/**
 * What a device knows of its group: who is in it, the epochs, and who may be let in. All changes of
 * the group go through here, and are kept.
 *
 * @module
 */
import { type Bytes, fromHex, hex, sameBytes } from "../../wire/bytes.ts";
import { decodeRecord, encodeRecord, type RecordValue } from "../../wire/blaze/blaze_record.ts";
import { ClientError } from "../client_error.ts";
import { AdmissionKey } from "./e2e/admission_key.ts";
import {
  type Action,
  decodeChange,
  EPOCH_ID_LENGTH,
  HASH_LENGTH,
  signChange,
  type SignedChange,
} from "./e2e/change.ts";

import { drawSecret, Epoch } from "./e2e/epoch.ts";
import type { Card, Identity } from "./e2e/identity.ts";
import { type EpochPackage, type Joining, unwrapPackage, wrapPackage } from "./e2e/package.ts";
import { Roster } from "./e2e/roster.ts";
import {
  blindName,
  drawGroupSecret,
  formatSecret,
  groupId,
  type GroupSecret,
} from "./e2e/secret.ts";
import type { Saver } from "../blaze/storage.ts";

/** Epochs whose secrets are kept, so that what was sealed just before a change can be opened. */
const KEPT_EPOCHS = 4;
/** Invitations that may be open at a time. */
const MAX_ADMISSIONS = 32;

/** What came of a package. */
export interface Adoption {
  /**
   * - `adopted`: we are in its epoch now. `known`: we were.
   * - `refused`: our chain is the one to follow.
   * - `removed`: its chain removes us. `orphaned`: it is the one to follow, and never had us.
   */
  readonly kind: "adopted" | "known" | "refused" | "removed" | "orphaned";
  readonly roster: Roster;
}

interface Parts {
  readonly secret: GroupSecret;
  readonly identity: Identity;
  readonly saver: Saver;
  readonly group: Bytes;
  readonly room: string;
}

export class Group {
  #roster: Roster | undefined;
  /** By name, oldest first. */
  readonly #epochs = new Map<string, Epoch>();
  readonly #admissions = new Map<string, AdmissionKey>();
  /** Nodes that used an invitation, by its name. */
  readonly #used = new Map<string, string>();
  #joining: Joining | undefined;
  /** Changes of ours that lost against others, to be made again. */
  #lost: Action[] = [];

  private constructor(private readonly parts: Parts) {}

  /** A group that this device is about to join. */
  static async joining(secret: GroupSecret, identity: Identity, saver: Saver): Promise<Group> {
    const group = await Group.#of(secret, identity, saver);
    await group.#admit(secret.admission, false, 0);
    return group;
  }

  /** A new group with this device in it. */
  static async create(
    secret: GroupSecret,
    identity: Identity,
    saver: Saver,
    policy: number,
  ): Promise<Group> {
    const group = await Group.joining(secret, identity, saver);
    await group.#make({ kind: "create", policy, card: identity.card });
    return group;
  }

  /** The group that was saved. */
  static async restore(bytes: Uint8Array, identity: Identity, saver: Saver): Promise<Group> {
    const saved = decodeRecord(bytes) as unknown as Saved;
    const { database, constant, admission } = saved;
    const group = await Group.#of(
      { database, constant: constant.slice(), admission: admission.slice() },
      identity,
      saver,
    );
    for (const { key, once, expires, usedBy } of saved.admissions) {
      const one = await group.#admit(key, once, expires);
      if (usedBy !== "") group.#used.set(one.name, usedBy);
    }
    if (saved.changes.length === 0) return group;
    const changes = await Promise.all(saved.changes.map(decodeChange));
    group.#roster = await Roster.of(group.id, changes);
    for (const { number, secret } of saved.epochs) {
      const change = changes[number - 1];
      if (change) group.#keep(await Epoch.of(change, secret));
    }
    return group;
  }

  static async #of(secret: GroupSecret, identity: Identity, saver: Saver): Promise<Group> {
    const [group, room] = await Promise.all([groupId(secret), blindName(secret)]);
    return new Group({ secret, identity, saver, group, room });
  }

  get id(): Bytes {
    return this.parts.group;
  }

  /** The name that the relay knows the database by. */
  get room(): string {
    return this.parts.room;
  }

  get database(): string {
    return this.parts.secret.database;
  }

  get identity(): Identity {
    return this.parts.identity;
  }

  get constant(): Bytes {
    return this.parts.secret.constant;
  }

  get roster(): Roster | undefined {
    return this.#roster;
  }

  /** The epoch in force, once the device is in the group. */
  get epoch(): Epoch | undefined {
    const tip = this.#roster?.tip;
    return tip && this.epochNamed(hex(tip.id.subarray(0, EPOCH_ID_LENGTH)));
  }

  epochNamed(name: string): Epoch | undefined {
    return this.#epochs.get(name);
  }

  has(node: Uint8Array): boolean {
    return this.#roster?.has(node) ?? false;
  }

  card(node: Uint8Array): Card | undefined {
    return this.#roster?.devices.get(hex(node));
  }

  /** The card of a device that was in the group once. */
  formerCard(node: Uint8Array): Card | undefined {
    for (const { action } of this.#roster?.changes ?? []) {
      if ("card" in action && sameBytes(action.card.node, node)) return action.card;
    }
    return undefined;
  }

  /** The number of the change that began the epoch of this name, if it is in our chain. */
  numberOf(epoch: string): number | undefined {
    const changes = this.#roster?.changes ?? [];
    return changes.findLast(({ id }) => hex(id.subarray(0, EPOCH_ID_LENGTH)) === epoch)?.number;
  }

  /** The number of the last change that removed a device, else 0: epochs before are known to it. */
  get lastRemoval(): number {
    const changes = this.#roster?.changes ?? [];
    return changes.findLast(({ action }) => action.kind === "remove")?.number ?? 0;
  }

  /** The text that the group was made with, or joined with. Throws `NO_SECRET` where it lets nobody in. */
  async text(): Promise<string> {
    const { secret } = this.parts;
    const open = [...this.#admissions.values()].some(({ key, once }) =>
      !once && sameBytes(key, secret.admission)
    );
    if (!open || !this.#roster) throw new ClientError("NO_SECRET", "this text lets nobody in");
    return await formatSecret(secret);
  }

  /** A text that lets one device in, until it expires. */
  async invite(expires: number): Promise<string> {
    const now = Date.now();
    for (const { name, once, expires } of this.#admissions.values()) {
      if (once && expires < now) this.#admissions.delete(name);
    }
    if (this.#admissions.size >= MAX_ADMISSIONS) {
      throw new ClientError("TOO_MANY", `at most ${MAX_ADMISSIONS} open invitations`);
    }
    const secret = drawGroupSecret(this.database, this.constant);
    await this.#admit(secret.admission, true, expires);
    this.#save();
    return await formatSecret(secret);
  }

  /** Whoever brings this key: it may have expired, or be used up. */
  admissionNamed(name: string): AdmissionKey | undefined {
    return this.#admissions.get(name);
  }

  /** Whether an admission lets this node in: it has not expired, or let in another device. */
  admits({ name, once, expires }: AdmissionKey, node: string): boolean {
    if (!this.#admissions.has(name) || (once && expires < Date.now())) return false;
    if (!this.has(fromHex(node)) && this.formerCard(fromHex(node))) return false;
    const usedBy = this.#used.get(name);
    return usedBy === undefined || usedBy === node;
  }

  use(admission: AdmissionKey, node: string): void {
    if (admission.once) this.#used.set(admission.name, node);
    this.#save();
  }

  /** A request to be let in. The answer to the latest one is taken. */
  async request(): Promise<Bytes> {
    const own = await AdmissionKey.of(this.parts.secret.admission, false, 0);
    const { request, salt } = await own.seal(this.identity.card);
    this.#joining = { admission: own, salt };
    return request;
  }

  /** Adds, removes or rotates: makes a change and its epoch, and is in it from now on. */
  async change(action: Action): Promise<SignedChange> {
    if (!this.#roster) throw new ClientError("NOT_A_MEMBER", "the device is not in the group yet");
    return await this.#make(action);
  }

  /** Takes what another device wrapped for us. */
  async adopt(body: Uint8Array): Promise<Adoption> {
    const joining = this.#joining;
    const unwrapped = await unwrapPackage(body, this.id, this.identity, joining);
    const fresh = body[0] === 1;
    if (!this.#roster && !fresh) throw new ClientError("NOT_FOR_US", "we are joining");
    const candidate = await this.#candidate(unwrapped);
    const mine = this.#roster;
    const came = (kind: Adoption["kind"]): Adoption => ({ kind, roster: candidate });
    if (mine && sameBytes(mine.tip.id, candidate.tip.id)) return came("known");
    if (mine && !mine.yieldsTo(candidate)) return came("refused");
    const { node } = this.identity.card;
    if (!candidate.has(node)) return came(removal(candidate, node) ? "removed" : "orphaned");
    const epoch = await Epoch.of(candidate.tip, unwrapped.secret);
    this.#lost = this.#lost.concat(mine ? this.#mineIn(mine, candidate) : []);
    const news = candidate.changes.slice(mine ? mine.shared(candidate) : 0);
    this.#roster = candidate;
    this.#joining = undefined;
    this.#keep(epoch);
    // A device that joins knows nothing of what its text was used for: members have retired it.
    if (mine) this.#retire(news);
    else this.#admissions.clear();
    if (!mine && !candidate.changes.some(({ action }) => action.kind === "remove")) {
      await this.#admit(this.parts.secret.admission, false, 0);
    }
    this.#save();
    return came("adopted");
  }

  /** Changes of ours that lost and still make sense. */
  takeLost(): Action[] {
    const lost = this.#lost.filter((action) =>
      action.kind === "add"
        ? !this.has(action.card.node)
        : action.kind === "remove" && this.has(action.node)
    );
    this.#lost = [];
    return lost;
  }

  /** Everything that a device needs which is at this epoch, wrapped for it. */
  async wrap(card: Card, from: { number: number; epoch: string }, joining?: Joining) {
    const roster = this.#roster!;
    const known = roster.changes[from.number - 1];
    const knows = known && hex(known.id.subarray(0, EPOCH_ID_LENGTH)) === from.epoch;
    const changes = roster.changes.slice(knows && !joining ? from.number : 0);
    const secret = this.epoch!.secret;
    return await wrapPackage({ secret, changes }, this.id, card, joining);
  }

  /**
   * Tells a device that it is not in the group, without a secret: the chain up to its removal, or all of
   * it for a device whose branch has lost.
   */
  async wrapFarewell(card: Card): Promise<Bytes> {
    const secret = new Uint8Array(HASH_LENGTH);
    const roster = this.#roster!;
    const changes = roster.changes.slice(0, removal(roster, card.node)?.number);
    return await wrapPackage({ secret, changes }, this.id, card);
  }

  async #make(action: Action): Promise<SignedChange> {
    const { secret, commitment } = await drawSecret(this.id);
    const before = this.#roster;
    const change = await signChange({
      group: this.id,
      number: (before?.changes.length ?? 0) + 1,
      parent: before?.tip.id ?? new Uint8Array(HASH_LENGTH),
      author: this.identity.card.node,
      action,
      commitment,
    }, this.identity);
    this.#roster = await (before ? before.with([change]) : Roster.of(this.id, [change]));
    this.#keep(await Epoch.of(change, secret));
    this.#retire([change]);
    this.#save();
    return change;
  }

  async #candidate({ changes }: EpochPackage): Promise<Roster> {
    const [first] = changes;
    if (!first) throw new ClientError("BAD_CHAIN", "a package without changes");
    const mine = this.#roster;
    if (first.number === 1) {
      if (!mine) return await Roster.of(this.id, changes);
      const shared = mine.shared({ changes });
      if (shared === 0) throw new ClientError("BAD_CHAIN", "the chain of another group");
      // What both share was checked before.
      return await (await mine.back(shared)).with(changes.slice(shared));
    }
    if (!mine || first.number - 1 > mine.changes.length) {
      throw new ClientError("BAD_CHAIN", "changes between are missing");
    }
    return await (await mine.back(first.number - 1)).with(changes);
  }

  /** What this device changed in `mine` that `other` does not hold. */
  #mineIn(mine: Roster, other: Roster): Action[] {
    return mine.changes.slice(mine.shared(other))
      .filter(({ author }) => sameBytes(author, this.identity.card.node))
      .map(({ action }) => action);
  }

  /** After a removal the texts that work again and again let nobody in any more. */
  #retire(changes: readonly SignedChange[]): void {
    if (!changes.some(({ action }) => action.kind === "remove")) return;
    for (const { name, once } of this.#admissions.values()) {
      if (!once) this.#admissions.delete(name);
    }
  }

  async #admit(key: Uint8Array, once: boolean, expires: number): Promise<AdmissionKey> {
    const admission = await AdmissionKey.of(key, once, expires);
    this.#admissions.set(admission.name, admission);
    return admission;
  }

  #keep(epoch: Epoch): void {
    this.#epochs.set(epoch.name, epoch);
    for (const name of this.#epochs.keys()) {
      if (this.#epochs.size <= KEPT_EPOCHS) break;
      if (name !== epoch.name) this.#epochs.delete(name);
    }
  }

  #save(): void {
    const { database, constant, admission } = this.parts.secret;
    const saved = {
      database,
      constant,
      admission,
      admissions: [...this.#admissions.values()].map(({ name, key, once, expires }) => ({
        key,
        once,
        expires,
        usedBy: this.#used.get(name) ?? "",
      })),
      changes: this.#roster?.changes.map(({ bytes }) => bytes) ?? [],
      // Only epochs of the chain can be told apart by their number.
      epochs: [...this.#epochs.values()]
        .filter(({ number, id }) => {
          const change = this.#roster?.changes[number - 1];
          return change && sameBytes(change.id.subarray(0, EPOCH_ID_LENGTH), id);
        })
        .map(({ number, secret }) => ({ number, secret })),
    };
    this.parts.saver.set("group", encodeRecord(saved as Record<string, RecordValue>));
  }
}

interface Saved {
  readonly database: string;
  readonly constant: Uint8Array;
  readonly admission: Uint8Array;
  readonly admissions: { key: Uint8Array; once: boolean; expires: number; usedBy: string }[];
  readonly changes: Uint8Array[];
  readonly epochs: { number: number; secret: Uint8Array }[];
}

const removal = ({ changes }: Roster, node: Uint8Array): SignedChange | undefined =>
  changes.find(({ action }) => action.kind === "remove" && sameBytes(action.node, node));
