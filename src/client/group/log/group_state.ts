/**
 * What a device knows of its group: its membership, the epochs, their logs, and what it is about to
 * change. All of it is kept; nothing of it knows of links.
 *
 * | key in storage | value                                                                      |
 * | -------------- | -------------------------------------------------------------------------- |
 * | `group`        | names, membership, what it waits with at a door, which past epochs there   |
 * |                | are, commits of its own that may count, newcomers that are awaited         |
 * | `past/` + n    | an epoch that has ended (`past_epochs.ts`)                                 |
 * | `log`          | the present epoch's log (`epoch_log.ts`)                                   |
 * | `back`         | the log of a past epoch that is read just now (`back_logs.ts`)             |
 *
 * @module
 */
import { type Bytes, fromHex, hex, sameBytes } from "../../../wire/bytes.ts";
import { decodeRecord, encodeRecord, type RecordValue } from "../../../wire/blaze/blaze_record.ts";
import type { Saver } from "../../blaze/storage.ts";
import { ClientError } from "../../client_error.ts";
import type { SignBody } from "../data/linked_body.ts";
import { Epoch } from "../e2e/epoch.ts";
import { type AwaitedNewcomer, AwaitedNewcomers, type SavedAwaited } from "./awaited.ts";
import { type SavedKnock, StandingKnock } from "./standing_knock.ts";
import { BackLogs, type SavedBack } from "./back_logs.ts";
import { EpochLog } from "./epoch_log.ts";
import type { EpochEnd, OwnCommit } from "./ends.ts";
import { OwnCommits, type PendingCommit, type SavedCommits } from "./own_commits.ts";
import { toRemoveAgain } from "./branches.ts";
import { deviceFrame, encodeCommitEntry } from "./log_entries.ts";
import { LateEpochs } from "./late_epochs.ts";
import { NO_RING } from "./log_link.ts";
import { type PastEpoch, PastEpochs, type SavedPast } from "./past_epochs.ts";
import { type Carry, epochSecretOf } from "../mls/carry.ts";
import type { GroupChange } from "../mls/commit_maker.ts";
import { channelName, groupIdOf, type InvitationText } from "../mls/invitation_text.ts";
import { Subtype } from "../../../wire/blaze/extension.ts";
import type { GroupPeer } from "../mls/epoch_view.ts";
import { GroupMembership } from "../mls/group_membership.ts";

interface Names {
  readonly database: string;
  /** 16 bytes. */
  readonly constant: Bytes;
}

export class Group {
  #membership: GroupMembership | undefined;
  #knock: StandingKnock | undefined;
  #lost = false;
  #removed = false;
  #log: EpochLog | undefined;
  #past = new PastEpochs();
  #awaited = new AwaitedNewcomers();
  readonly #back: BackLogs;
  #commits = new OwnCommits();
  /** The relay lost its memory since the present epoch began, or this device came in by what it lost. */
  #doubt = false;
  /** Its logs of before were not all looked into since the relay lost its memory. */
  #forgot = false;
  readonly #late = new LateEpochs();

  private constructor(
    readonly names: Names,
    /** 16 bytes. */
    readonly id: Bytes,
    /** The name that the relay knows the database by. */
    readonly room: string,
    private readonly saver: Saver,
    /** Node id of the device that this one was before it was removed, until it restarts: 16 bytes. */
    readonly former: Bytes | undefined,
  ) {
    this.#back = new BackLogs(saver, id, names.database);
  }

  /** A new group with this device in it. */
  static async create(
    names: Names,
    saver: Saver,
    device: { name: string; signed: boolean; postQuantum: boolean },
  ): Promise<Group> {
    const group = await Group.#of(names, saver);
    await group.#live(await GroupMembership.create({ group: group.id, ...device }));
    group.#save();
    return group;
  }

  /** A group that this device is about to join. */
  static async joining(
    text: InvitationText,
    saver: Saver,
    name: string,
    former?: Bytes,
  ): Promise<Group> {
    const { database, constant } = text;
    const group = await Group.#of({ database, constant }, saver, former);
    // What the other one had may be in no log.
    group.#lost = former !== undefined;
    group.#stand(await StandingKnock.ofText(text, group.id, name));
    return group;
  }

  /** The group that was saved. */
  static async restore(saved: ReadonlyMap<string, Bytes>, saver: Saver): Promise<Group> {
    const kept = decodeRecord(saved.get("group")!) as unknown as Saved;
    const group = await Group.#of(
      { database: kept.database, constant: kept.constant.slice() },
      saver,
    );
    group.#lost = kept.lost;
    group.#removed = kept.removed;
    group.#knock = kept.knock ? await StandingKnock.restore(kept.knock) : undefined;
    group.#past = await PastEpochs.restore(kept.past, saved);
    group.#awaited = AwaitedNewcomers.restore(kept.awaited);
    group.#doubt = kept.doubt;
    group.#forgot = kept.forgot;
    if (kept.membership) {
      group.#membership = await GroupMembership.restore(kept.membership);
      const epoch = await Epoch.of(await group.#membership.epochSecret(), group.id);
      const log = saved.get("log");
      group.#log = log
        ? await EpochLog.restore(log, epoch, group.database)
        : await EpochLog.begin(epoch, group.database);
    }
    await group.#back.restore(kept.back, saved);
    group.#commits = await OwnCommits.restore(kept.commits);
    return group;
  }

  static async #of(names: Names, saver: Saver, former?: Bytes): Promise<Group> {
    const { database, constant } = names;
    const id = await groupIdOf(constant, database);
    return new Group(names, id, await channelName(constant, database), saver, former);
  }

  get database(): string {
    return this.names.database;
  }

  get membership(): GroupMembership | undefined {
    return this.#membership;
  }

  /** With what this device waits at a door. */
  get knock(): StandingKnock | undefined {
    return this.#knock?.waits ? this.#knock : undefined;
  }

  /** Whether it has knocked since it came in, and may be let in once more. */
  get knocked(): boolean {
    return this.#knock !== undefined;
  }

  /** Something that this device has may not be in any log: a checkpoint has to bring it. */
  get lost(): boolean {
    return this.#lost;
  }

  set lost(lost: boolean) {
    if (this.#lost === lost) return;
    this.#lost = lost;
    this.#save();
  }

  /** The present epoch, once the device is in the group. */
  get epoch(): Epoch | undefined {
    return this.#log?.epoch;
  }

  /** The log of the present epoch. */
  get log(): EpochLog | undefined {
    return this.#log;
  }

  /** The next log that a newcomer has to read before the present one. */
  get back(): EpochLog | undefined {
    return this.#back.next;
  }

  get prepared(): PendingCommit | undefined {
    return this.#commits.prepared;
  }

  /** Commits of ours that may stand in the present log. */
  get own(): readonly OwnCommit[] {
    return this.#commits.all;
  }

  get past(): PastEpochs {
    return this.#past;
  }

  /** Whether another end of a past epoch may have to be followed (rule 12). */
  get doubt(): boolean {
    return this.#doubt;
  }

  /** A log of ours has another ring than before. */
  doubted(): void {
    if (this.#doubt && this.#forgot) return;
    this.#doubt = this.#forgot = true;
    this.#save();
  }

  /** Whether all logs of before have to be looked into, though the present epoch may be in no doubt. */
  get looksBack(): boolean {
    return this.#doubt || this.#forgot;
  }

  /** All of them were looked into, and what the relay had lost of them is there again. */
  lookedBack(): void {
    if (!this.#forgot) return;
    this.#forgot = false;
    this.#save();
  }

  /** Members whose removal this device has acted on, in a branch that lost: 16 bytes each. */
  get toRemoveAgain(): Bytes[] {
    const removed = [{ removes: [...this.#past.removed] }];
    return toRemoveAgain(this.peers.map(({ node }) => hex(node)), removed).map(fromHex);
  }

  get peers(): readonly GroupPeer[] {
    return this.#membership?.peers() ?? [];
  }

  /** `node` as 16 bytes or in hex. */
  peer(node: Uint8Array | string): GroupPeer | undefined {
    return this.#membership?.peer(typeof node === "string" ? node : hex(node));
  }

  has(node: Uint8Array | string): boolean {
    return this.peer(node) !== undefined;
  }

  /** Whether this is or was a device of the group. `node` in hex. */
  everHad(node: string): boolean {
    const { members = [], removed = [] } = this.#membership?.data ?? {};
    return [...members, ...removed].some((one) => hex(one) === node);
  }

  get signed(): boolean {
    return this.#membership?.data.signed ?? false;
  }

  /** Signs operations, where the group wants that. */
  get signer(): SignBody | undefined {
    const membership = this.#membership;
    return membership?.data.signed
      ? (covered) => membership.sign("BX2 operation", covered)
      : undefined;
  }

  get postQuantum(): boolean {
    return this.#membership?.postQuantum ?? false;
  }

  /** An epoch in which others may still be heard live: this one, or for a moment the one before. */
  heardEpoch(name: string, signed: boolean): Epoch | undefined {
    return this.epoch?.name === name ? this.epoch : this.#late.heard(name, signed);
  }

  /** Whether there was such an epoch here since the program began. */
  knew(name: string): boolean {
    return this.#late.knew(name);
  }

  /** Number of the oldest epoch that a device which is let in now can be shown. */
  get oldestCarried(): bigint {
    return this.#past.carry(this.#awaited.oldestAnchor(this.#membership!))[0]?.number ??
      this.#membership!.number;
  }

  /** Who was let in and not heard since. */
  get awaited(): readonly AwaitedNewcomer[] {
    return this.#awaited.all;
  }

  /** What a device that is let in now needs of what came before. */
  async #carry(): Promise<Carry> {
    const { sequence, hash } = this.#log!.cursor;
    const present = { bound: { sequence, hash }, ...await this.#membership!.witness() };
    return [...this.#past.carry(this.#awaited.oldestAnchor(this.#membership!)), present];
  }

  /**
   * This member cannot follow any more: it waits at its own door to be let in again. Where it has
   * knocked before, that knock may be answered by now.
   */
  async standAtOwnDoor(): Promise<void> {
    const known = this.#knock;
    const isGood = known !== undefined && known.newcomer.isGood(Date.now());
    this.#stand(isGood ? known : await StandingKnock.ofMember(this.#membership!));
  }

  #stand(knock: StandingKnock): void {
    this.#knock = knock;
    knock.waits = true;
    this.#save();
  }

  /** Nobody opened: goes on as before. The keys are kept, since somebody may open still. */
  leaveOwnDoor(): void {
    this.#knock!.waits = false;
    this.#save();
  }

  /** The key package that it waits with is not good now: draws another one. */
  async renewKnock(): Promise<void> {
    await this.#knock!.renew();
    this.#save();
  }

  /** These welcomes were none: they are not looked at again. */
  async refute(messages: readonly Bytes[]): Promise<void> {
    for (const message of messages) await this.#knock?.refute(message);
    this.#save();
  }

  /** A door let us in, and the logs have shown it. */
  async enter(membership: GroupMembership, carry: Carry): Promise<void> {
    this.#doubt = this.#forgot = false;
    // What was written since may be in no log that the others follow; and who begins to read in the
    // middle compares nothing before a checkpoint.
    if (this.#membership || membership.number > BigInt(carry.length)) this.lost = true;
    this.#knock = undefined;
    this.#commits = new OwnCommits();
    const told = await Promise.all(carry.map(async (one) => {
      return { ...one, secret: await epochSecretOf(one.confirmationKey, this.id) };
    }));
    this.#past.carryFrom(told, NO_RING, membership.number);
    this.#awaited = new AwaitedNewcomers();
    await this.#back.begin(this.#past.unchecked);
    await this.#live(membership);
    this.#save();
  }

  /** Everything that can be read is read once more: what is kept of it is another choice. */
  async readAgain(): Promise<void> {
    if (!this.#log) return;
    this.#log = await EpochLog.begin(this.#log.epoch, this.database);
    await this.#back.begin(this.#past.unchecked);
    this.saveLog();
    this.#save();
  }

  /** A commit that ended the epoch has removed this device. */
  get removed(): boolean {
    return this.#removed;
  }

  remove(): void {
    this.#removed = true;
    this.#save();
  }

  /** Our own commit has ended the epoch, and we do not know what follows: nobody of these comes back. */
  outrun(removed: readonly string[]): void {
    this.#past.saw(removed);
    this.#save();
  }

  /** The log of an epoch that this device was told of has shown the commit that ended it. */
  shown(epoch: PastEpoch, commit: Bytes, ring: Bytes): void {
    this.#past.show(epoch, commit, ring);
    this.#save();
  }

  /** A past log was read to its end. */
  readBack(): void {
    const { epoch } = this.#back.shift()!;
    const { ring = undefined } = this.#past.of(epoch.secret) ?? {};
    // The commit by which this device came in is not where it was: the relay has lost its memory.
    if (!this.back && ring && sameBytes(ring, NO_RING)) this.doubted();
    this.#save();
  }

  /** Makes a commit on what was read so far, and keeps it until the log has said what became of it. */
  async prepare(change: GroupChange): Promise<PendingCommit> {
    const log = this.#log!;
    const { ring, sequence } = log.cursor;
    const { message, welcome, next } = await this.#membership!.prepare(
      change,
      { ...log.cursor, doubt: this.#doubt },
      await this.#carry(),
    );
    const body = welcome && deviceFrame(Subtype.welcome, welcome.body);
    const frame = await encodeCommitEntry(
      { message, welcome: welcome && { door: welcome.door.value, frame: body! } },
      log.epoch,
    );
    const prepared = this.#commits.prepared = { frame, ring, at: sequence + 1n, next };
    this.#save();
    return prepared;
  }

  /** It came too late, or its ring is gone. */
  dropPrepared(): void {
    if (!this.prepared) return;
    this.#commits.drop();
    this.#save();
  }

  /** A commit has ended the epoch. */
  async follow(end: EpochEnd): Promise<void> {
    const { next, ring, bound, frame, author, seniority, doubt, removes, hash, inPlace } = end;
    const log = this.#log!;
    const ending = { frame, inPlace, author, seniority, doubt, removes, hash };
    const others = next!.peers().map(({ node }) => hex(node)).filter((node) => node !== this.node);
    const { secret } = log.epoch;
    const state = this.#membership!;
    const { number } = state;
    const witness = await state.witness();
    const past = {
      number,
      secret,
      ring,
      bound,
      doubt: this.#doubt,
      ending,
      shown: undefined,
      state,
      ...witness,
    };
    this.#past.end(past, others);
    this.#awaited.follow(state, end);
    this.#commits = new OwnCommits();
    this.#doubt = !inPlace;
    // What the author of a commit that was appended again had read may be in no log any more.
    if (!inPlace) this.#lost = true;
    this.#late.end(log.epoch, removes.length > 0);
    await this.#live(next!);
    this.#save();
  }

  /** Goes back to a past epoch whose state is kept, to follow another end of it. */
  async followInstead(past: PastEpoch, end: EpochEnd): Promise<void> {
    this.#membership = past.state;
    const epoch = await Epoch.of(past.secret, this.id);
    this.#log = await EpochLog.begin(epoch, this.database);
    this.#past.backTo(past);
    this.#awaited.backTo(past.number);
    await this.#back.begin([]);
    await this.follow(end);
    this.lost = true;
  }

  /** A member spoke in the present epoch. */
  heard(node: string): void {
    const awaited = this.#awaited.heard(node);
    if (this.#past.heard(node, this.#doubt) || awaited) this.#save();
  }

  /** A checkpoint stands in this log: what came before is needed for invitations alone. */
  forgetPast({ epoch }: EpochLog): void {
    const { number } = this.#past.of(epoch.secret) ?? this.#membership!;
    this.#past.forget(number, this.#awaited.oldestKept(this.#membership!));
    this.#save();
  }

  /** What was read, with the next flush. */
  saveLog(): void {
    this.#back.saveNext();
    if (this.#log) this.saver.set("log", this.#log.save());
  }

  /** Node id in hex, of the member or of the newcomer. */
  get node(): string {
    return hex(this.nodeId);
  }

  get nodeId(): Bytes {
    const node = this.#membership?.self.node ?? this.#knock?.newcomer.node;
    if (!node) throw new ClientError("NOT_A_MEMBER", "neither a member nor a newcomer");
    return node;
  }

  async #live(membership: GroupMembership): Promise<void> {
    this.#membership = membership;
    const epoch = await Epoch.of(await membership.epochSecret(), this.id);
    this.#log = await EpochLog.begin(epoch, this.database);
    this.saveLog();
  }

  #save(): void {
    const { database, constant } = this.names;
    const saved = {
      database,
      constant,
      knock: this.#knock?.save() ?? null,
      lost: this.#lost,
      removed: this.#removed,
      doubt: this.#doubt,
      forgot: this.#forgot,
      membership: this.#membership?.save() ?? null,
      past: this.#past.save(this.saver),
      awaited: this.#awaited.save(),
      back: this.#back.save(),
      commits: this.#commits.save(),
    };
    this.saver.set("group", encodeRecord(saved as unknown as Record<string, RecordValue>));
  }
}

interface Saved {
  readonly database: string;
  readonly constant: Uint8Array;
  readonly knock: SavedKnock | null;
  readonly lost: boolean;
  readonly removed: boolean;
  readonly doubt: boolean;
  readonly forgot: boolean;
  readonly membership: Uint8Array | null;
  readonly past: SavedPast;
  readonly awaited: SavedAwaited;
  readonly back: SavedBack;
  readonly commits: SavedCommits;
}
