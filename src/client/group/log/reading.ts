/**
 * Reads the log of one epoch: each entry in its order, once. What an entry is worth is decided by the
 * entries before it and nothing else, so every device decides the same.
 *
 * An entry that is not as it should be is left out with a fault, and reading goes on behind it. One that
 * only this device cannot read, for want of zstd, is not: reading stops before it.
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import type { Operation } from "../../../wire/blaze/operation.ts";
import type { Saver } from "../../blaze/storage.ts";
import { judge } from "./branches.ts";
import { ClientError, faultOf } from "../../client_error.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { endOf, type EpochEnd, mutualRemoval } from "./ends.ts";
import { type EpochLog } from "./epoch_log.ts";
import type { Group } from "./group_state.ts";
import { HeldEntries } from "./held_entries.ts";
import type { Ledger } from "../data/ledger.ts";
import type { LinkVector } from "../data/link_vector.ts";
import {
  type Announce,
  type CommitEntry,
  isCompressed,
  type LogEntry,
  openEntry,
} from "./log_entries.ts";
import type { Cursor, LogListener, Opened } from "./log_link.ts";
import { keepShown } from "./shown_commit.ts";
import type { LogHead } from "../mls/carry.ts";
import { CommitOfOurs } from "../mls/commit_judge.ts";
import { isInPlace } from "../mls/commit_place.ts";
import { placeOfCommit } from "../mls/commit_rules.ts";
import { nodeOfKey } from "../mls/credential.ts";
import type { Opener } from "../e2e/sender.ts";
import { decodeLinked, type LinkedBody } from "../data/linked_body.ts";
import type { Effect } from "../data/replica.ts";
import type { Compression } from "../../blaze/compression.ts";

/** Entries after which what was read is stored, while it comes in bulk. */
const STORE_AFTER = 256;
/** Entries after which people are told how far it is. */
const TELL_AFTER = 100;

/** Ends of one epoch that are weighed. */
const MOST_ENDS = 16;

/** Where an operation came from. */
export interface Author {
  /** 16 bytes. */
  readonly node: Bytes;
  /** Name of the device. */
  readonly name: string;
  /** Node id of the sponsored client that made it, if one did. */
  readonly client?: Bytes | undefined;
  /** How sure that is: signed by that device, or sealed by some member of the group. */
  readonly verified: "signature" | "membership";
}

export interface ReadingEvents {
  operation(
    operation: Operation,
    effect: Effect,
    author: Author,
    backlog: boolean,
    size: number,
  ): void;
  /** Another device has announced itself, or what it has. */
  announced(node: string, vector: LinkVector): void;
  /** An operation of another device was read. */
  news(author: string, counter: bigint): void;
  /** This device changes the group: others keep still for a moment. */
  hold(author: string): void;
  /** The log was opened, and does not go on where we were. */
  gap(): void;
  /** The past that we read is no longer the log's: our own operations need new numbers. */
  renumber(): void;
  live(): void;
  /** So many of so many entries that were there have come. */
  backlog(received: number, total: number): void;
  /** A commit let somebody in, and this is for its door. */
  welcomed(welcome: NonNullable<CommitEntry["welcome"]>, own: boolean): void;
  /** The epoch is over, by a commit of ours or not: the next log is to be opened. */
  ended(own: boolean): void;
  removed(): void;
  /** A commit of ours has ended the epoch, and what follows was never stored here. */
  outrun(): void;
  /** Nothing more can be read over this link. */
  broken(error: ClientError): void;
  /** Members have removed each other, and people have to decide. */
  crossed(error: ClientError): void;
  /** What comes next is compressed, and zstd cannot be had: the log is to be opened again later. */
  stopped(): void;
  fault(code: string, message: string): void;
}

export interface ReadingParts {
  readonly group: Group;
  readonly ledger: Ledger;
  readonly saver: Saver;
  readonly checkpoints: Checkpoints;
  readonly compression: Compression;
}

export class EpochReading implements LogListener {
  #live = false;
  #over = false;
  #unstored = 0;
  #received = 0;
  #total = 0;
  #held: HeldEntries | undefined;
  /** Valid commits of which one ends the epoch: which one is known once all is read. */
  readonly #ends: EpochEnd[] = [];
  /** What is read now stands behind the end, whichever it is. */
  #ending = false;

  constructor(
    readonly log: EpochLog,
    private readonly parts: ReadingParts,
    private readonly events: ReadingEvents,
  ) {}

  /** Everything that was there has been read. */
  get caughtUp(): boolean {
    return this.#live && !this.#over;
  }

  opened(answer: Opened): void {
    this.parts.checkpoints.begin(this.log);
    if (this.log.isOtherLife(answer)) this.parts.group.doubted();
    if (!this.log.opened(answer)) this.events.gap();
    const from = this.log.cursor.sequence;
    const to = this.log.bound && this.log.bound.sequence < answer.last
      ? this.log.bound.sequence
      : answer.last;
    this.#total = Number(to > from ? to - from : 0n);
  }

  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    if (this.#over) return;
    const { log } = this;
    if (await this.#unreadable(frame)) {
      this.#over = true;
      await this.#store();
      return this.events.stopped();
    }
    const before = this.#held?.sequence ?? log.cursor.sequence;
    if (sequence !== before + 1n) return this.#hole(sequence, before);
    if (log.bound) await keepShown(this.parts.group, log, frame);
    // Nothing behind the end counts, but what it ended with.
    if (log.ended) return this.#end();
    if (log.bound) await this.#hold(frame, log.bound);
    else await this.#next(frame);
    if (!this.#live && ++this.#received % TELL_AFTER === 0) this.#progress();
  }

  /** Of a log that is over nothing counts before all of it is known to be the log that it was. */
  async #hold(frame: Bytes, bound: LogHead): Promise<void> {
    const { cursor } = this.log;
    const held = this.#held ??= new HeldEntries(cursor.sequence, cursor.hash);
    await held.add(frame);
    if (held.sequence < bound.sequence) return;
    // Behind that, too, the log may have the commit that ended it.
    if (!sameBytes(held.hash, bound.hash)) return held.drop();
    this.#held = undefined;
    for (const one of held.frames) if (!this.#over) await this.#next(one);
  }

  async #next(frame: Bytes): Promise<void> {
    const { log, parts } = this;
    const before = log.cursor;
    await log.step(before.sequence + 1n, frame);
    try {
      const entry = await openEntry(frame, log, parts.compression);
      await this.#take(entry, frame, before);
    } catch (error) {
      const { code, message } = faultOf(error);
      this.events.fault(code, message);
    }
    parts.checkpoints.read(frame.length);
    if (this.#live || ++this.#unstored >= STORE_AFTER) await this.#store();
  }

  async live(): Promise<void> {
    if (this.#over) return;
    await this.#store();
    if (this.#received % TELL_AFTER > 0) this.#progress();
    this.#live = true;
    if (this.#ends.length > 0) await this.#choose();
    if (this.#over) return;
    // The end of a past epoch that the relay has lost: nothing more comes of it.
    if (this.log.bound) this.#end();
    else this.events.live();
  }

  /** Whether others can read this, and we cannot: then it is not ours to skip. */
  async #unreadable(frame: Bytes): Promise<boolean> {
    try {
      return isCompressed(frame) && !await this.parts.compression.readable();
    } catch {
      return false;
    }
  }

  /** The relay keeps something back: another link begins where we are. */
  #hole(sequence: bigint, last: bigint): void {
    this.#over = true;
    this.events.broken(new ClientError("LOG_HOLE", `entry ${sequence} came after ${last}`));
  }

  #progress(): void {
    this.events.backlog(Math.min(this.#received, this.#total), this.#total);
  }

  async #store(): Promise<void> {
    this.#unstored = 0;
    this.parts.group.saveLog();
    // What cannot be stored now is stored with what comes next.
    await this.parts.saver.flush().catch((error) => {
      const { code, message } = faultOf(error);
      this.events.fault(code, message);
    });
  }

  /** What is read from here on is nobody's. */
  #end(own = false): void {
    if (this.#over) return;
    this.#over = true;
    const { bound } = this.log;
    if (bound && !this.log.at(bound)) {
      const why = "a log of before is not what it was, or ends too soon";
      const { code, message } = new ClientError("LOG_INCOMPLETE", why);
      this.events.fault(code, message);
    }
    this.events.ended(own);
  }

  async #take(entry: LogEntry, frame: Bytes, before: Cursor): Promise<void> {
    if (this.#ending && entry.kind !== "commit") return;
    switch (entry.kind) {
      case "announce":
        return await this.#announced(entry.opener, entry.announce);
      case "operation":
        return await this.#operation(entry.node, entry.body, frame.length);
      case "commit":
        return await this.#commit(entry.commit, frame, before);
      case "checkpoint":
        return await this.#part(entry.opener, entry.content, before);
      case "endorsement":
        return await this.parts.checkpoints.endorsed(entry.opener.sender.node, entry.content);
      case "hold": {
        const { node } = entry.opener.sender;
        if (!this.#own(node)) this.events.hold(hex(node));
      }
    }
  }

  async #announced(opener: Opener, announce: Announce): Promise<void> {
    const { log } = this;
    const { group, ledger } = this.parts;
    const { node } = opener.sender;
    if (!sameBytes(await nodeOfKey(announce.key), node)) {
      throw new ClientError("BAD_SIGNATURE", "an announce with the key of another device");
    }
    if (!this.#speaks(node)) {
      throw new ClientError("NOT_A_MEMBER", "an announce of a device that is not in the group");
    }
    const { signature, covered } = announce;
    const { key } = announce;
    if (
      !await group.membership!.verify("BX2 announce", { node, signKey: key }, signature, covered)
    ) {
      throw new ClientError("BAD_SIGNATURE", "an announce that its device did not sign");
    }
    log.admit(opener, key);
    const name = hex(node);
    const { position, vector } = announce;
    if (!sameBytes(position.ring, log.cursor.ring)) {
      throw new ClientError("TWO_PASTS", `${name} reads another ring of this log`);
    }
    if (log.differs(position)) {
      throw new ClientError("TWO_PASTS", `${name} was shown another past at ${position.sequence}`);
    }
    if (this.#own(node)) return;
    if (!log.bound) group.heard(name);
    if (ledger.covered(name, vector)) this.events.renumber();
    if (!log.bound) this.parts.checkpoints.announced(vector);
    this.events.announced(name, vector);
  }

  async #operation(node: Bytes, bytes: Bytes, size: number): Promise<void> {
    const { group, ledger } = this.parts;
    if (!this.#speaks(node)) {
      throw new ClientError("NOT_A_MEMBER", "an operation of a device that is not in the group");
    }
    const body = await decodeLinked(bytes);
    const author = hex(node);
    const verified = await this.#judge(node, body);
    const taken = ledger.take(author, body);
    if (taken.kind === "refused") {
      if (taken.own) return this.events.renumber();
      throw new ClientError(
        taken.code,
        `operation ${body.operation.counter} of ${author}`,
      );
    }
    if (taken.kind === "repeated") return;
    if (taken.own && !taken.effect) return;
    const name = group.peer(node)?.name ?? "";
    const who = { node, name, client: body.origin, verified };
    this.events.operation(body.operation, taken.effect, who, !this.#live, size);
    if (!taken.own) this.events.news(author, body.operation.counter);
  }

  async #judge(node: Bytes, body: LinkedBody): Promise<Author["verified"]> {
    const { group } = this.parts;
    if (!body.signature) {
      if (group.signed) throw new ClientError("UNSIGNED", "this group signs operations");
      return "membership";
    }
    const key = this.log.keyOf(node) ?? group.peer(node)?.signKey;
    // Nobody knows the key of a device that left before the checkpoint.
    if (!key && group.signed) throw new ClientError("UNSIGNED", "nobody knows its sender's key");
    if (!key) return "membership";
    const { signature, covered } = body;
    const peer = { node, signKey: key };
    if (!await group.membership!.verify("BX2 operation", peer, signature, covered)) {
      throw new ClientError("BAD_SIGNATURE", "not signed by its sender");
    }
    return "signature";
  }

  /** A commit: the first one in its place ends the epoch, unless the relay has lost its memory. */
  async #commit(commit: CommitEntry, frame: Bytes, place: Cursor): Promise<void> {
    const { group } = this.parts;
    // Its change was followed already: a newcomer reads back.
    if (this.log.bound) return;
    if (this.#ends.length >= MOST_ENDS) return;
    const end = await this.#endOf(commit, frame, place);
    if (!end) return;
    if (group.past.removed.has(end.author)) {
      const error = mutualRemoval(group.membership!, [end.author]);
      // Others may follow it; we have seen its author removed.
      if (end.inPlace) return this.#stop(error);
      throw error;
    }
    if (!group.doubt) {
      // Only who saw the relay lose its memory takes what was appended again.
      if (end.inPlace) return await this.#follow(end);
      throw new ClientError("BAD_COMMIT", "it was made for another ring than this one");
    }
    this.#ends.push(end);
    this.#ending ||= end.inPlace;
    if (this.#live) await this.#choose();
  }

  async #endOf(commit: CommitEntry, frame: Bytes, place: Cursor): Promise<EpochEnd | undefined> {
    const { group } = this.parts;
    try {
      return await endOf(commit, frame, place, group.membership!, group.own);
    } catch (error) {
      if (!(error instanceof CommitOfOurs) || !isInPlace(placeOfCommit(commit.message), place)) {
        throw error;
      }
      // This device was restored from a copy that is older: others have to let it in again.
      this.#over = true;
      group.outrun(error.removed);
      this.events.outrun();
      return undefined;
    }
  }

  /** Of several ends of the epoch, the one that everybody follows who sees these. */
  async #choose(): Promise<void> {
    const { group } = this.parts;
    const verdict = judge(this.#ends, [], group.past.removed, group.doubt);
    if (!verdict) return;
    if ("crossed" in verdict) return this.#stop(mutualRemoval(group.membership!, verdict.crossed));
    await this.#follow(verdict.follow);
  }

  async #follow(end: EpochEnd): Promise<void> {
    const { group } = this.parts;
    if (!end.next) {
      // Our own knock was answered, and the door has the welcome.
      if (!end.removes.includes(group.node) && group.knocked) {
        await group.standAtOwnDoor();
        return this.#end();
      }
      this.#over = true;
      group.remove();
      return this.events.removed();
    }
    const own = end.author === group.node;
    await group.follow(end);
    if (end.welcome) this.events.welcomed(end.welcome, own);
    this.#end(own);
  }

  #stop(error: ClientError): void {
    this.#over = true;
    this.events.crossed(error);
  }

  async #part(opener: Opener, content: Bytes, before: Cursor): Promise<void> {
    const { log } = this;
    const { checkpoints } = this.parts;
    const { node } = opener.sender;
    if (!this.#speaks(node)) {
      throw new ClientError("NOT_A_MEMBER", "a checkpoint of a device that is not in the group");
    }
    log.admit(opener);
    const absorbed = await checkpoints.part(opener.sender, content, log, before);
    if (!absorbed) return;
    const name = this.parts.group.peer(node)?.name ?? "";
    const who: Author = { node, name, verified: "membership" };
    const counter = this.parts.ledger.clock;
    for (const { collection, id, ...effect } of absorbed.changes) {
      const operation = { ...effect, collection, id, counter, node: 0 };
      this.events.operation(operation, effect, who, true, 0);
    }
  }

  /** Whether a device may speak here: in an epoch that is over, who was removed since as well. */
  #speaks(node: Uint8Array): boolean {
    const { group } = this.parts;
    return this.log.bound ? group.everHad(hex(node)) : group.has(node);
  }

  #own(node: Uint8Array): boolean {
    return sameBytes(node, this.parts.group.nodeId);
  }
}
