/**
 * Checkpoints in the log of an epoch: takes in those of others, endorses what is as this device has it,
 * and uploads one where the log has grown, or lacks what this device has.
 * (docs/protocol/group.md, rules 11, 17, 18)
 *
 * @module
 */
import { type Bytes, concat, fromHex, hex, sameBytes, WireError } from "../../../wire/bytes.ts";
import { ClientError, faultOf } from "../../client_error.ts";
import {
  type Checkpoint,
  CheckpointAssembly,
  checkpointParts,
  decodeCheckpoint,
  instancesIn,
} from "../data/checkpoint.ts";
import type { Device } from "./device.ts";
import type { EpochLog } from "./epoch_log.ts";
import type { Absorbed } from "../data/ledger.ts";
import { includes, type LinkVector } from "../data/link_vector.ts";
import type { Voice } from "./log_entries.ts";
import type { Cursor } from "./log_link.ts";
import type { Post } from "./post.ts";
import type { Writing } from "./writing.ts";

/** Contents of one checkpoint at most. */
const MOST_BYTES = 256 * 1024 * 1024;
/** A log is worth a checkpoint with this much behind the last one, and this many times as much as it. */
const TAIL_BYTES = 1024 * 1024;
const TAIL_TIMES = 4;
/** Epochs that a newcomer reads back at most, before there is another checkpoint. */
const MOST_PAST = 64;
/** Devices take turns by chance: so long at most before one begins. */
const CHANCE_MS = 1_000;
/** Somebody else's upload is waited for this long. */
const PATIENCE_MS = 10_000;
/** What is missing is waited for this long; then a checkpoint is uploaded without it. */
const MISSING_MS = 30_000;
/** Between two digests of our own records. */
const DIGEST_MS = 10_000;
const DIGEST_LENGTH = 32;

/** The last checkpoint that is whole. */
interface Standing {
  readonly author: string;
  readonly digest: Bytes;
  /** Entry of its first part. */
  readonly first: bigint;
  readonly bytes: number;
}

export interface CheckpointEvents {
  truncate(sequence: bigint): void;
  /** A checkpoint has overtaken what waits. */
  renumber(): void;
  fault(code: string, message: string): void;
}

export class Checkpoints {
  #log: EpochLog | undefined;
  /** No other digest of our own is made before this, in milliseconds. */
  #digestAgain = -Infinity;
  #standing: Standing | undefined;
  /** What a checkpoint says that we had as well, and that we did not say yet. */
  #unendorsed: Bytes | undefined;
  /** When this link was caught up first, in milliseconds. */
  #since: number | undefined;
  #tail = 0;
  /** What counted when this log began. */
  #known: LinkVector = new Map();
  /** Some device lacks something of that. */
  #wanted = false;
  #writing: Writing | undefined;
  #planned = false;
  #busyUntil = 0;
  #uploading = false;
  #comparing = false;

  constructor(
    private readonly device: Device,
    private readonly post: Post,
    private readonly events: CheckpointEvents,
  ) {}

  /** A log is read, again or another one. */
  begin(log: EpochLog): void {
    this.#writing = undefined;
    if (this.#log === log) return;
    this.#log = log;
    this.#known = this.device.ledger.vector;
    // What a removed device has said of its past is said anew, while there are some who know better.
    const last = this.device.group.past.unchecked.at(-1);
    this.#wanted = (last?.ending?.removes.length ?? 0) > 0;
    this.#standing = this.#unendorsed = undefined;
    this.#tail = 0;
  }

  /** A device says what it has: does it lack what was known when this log began? */
  announced(vector: LinkVector): void {
    if (this.#standing || includes(vector, this.#known)) return;
    this.#wanted = true;
    this.#plan();
  }

  /** The log does not go on where we were: something that we have may not be in it. */
  gap(): void {
    this.#standing = undefined;
    this.device.group.lost = true;
  }

  /** An entry was read. */
  read(bytes: number): void {
    this.#tail += bytes;
    this.#plan();
  }

  /** The log was read to its end: we may write. */
  live(writing: Writing): void {
    this.#writing = writing;
    this.#since ??= this.post.host.now();
    void this.post.run(() => this.#endorse());
    this.#plan();
  }

  /** A part, at the place before it. Answers what a whole checkpoint has changed. */
  async part(
    { node, instance }: { readonly node: Bytes; readonly instance: Bytes },
    part: Bytes,
    log: EpochLog,
    before: Cursor,
  ): Promise<Absorbed | undefined> {
    const { group, ledger } = this.device;
    if (part[3] === 0 && part[2] === 0 && part[1] === 0 && part[0] === 0) {
      // Who has read what is below knows who speaks, and believes nobody else about it.
      for (const { node, instance, counter } of log.atStart ? instancesIn(part) : []) {
        if (!group.everHad(node)) continue;
        log.admit(await log.candidate(fromHex(node), fromHex(instance), counter));
      }
      const sure = this.#sure && !this.#mine(node);
      const own = sure ? await this.#ownDigest() : undefined;
      log.incoming = { assembly: new CheckpointAssembly(MOST_BYTES), base: before, own, sure };
    }
    this.#busyUntil = this.post.host.now() + PATIENCE_MS;
    if (!log.incoming) throw new WireError("OTHER_CHECKPOINT", 0);
    const { assembly, base, own, sure } = log.incoming;
    const bytes = assembly.take(hex(instance), part);
    if (!bytes) return undefined;
    log.incoming = undefined;
    this.#busyUntil = 0;
    const checkpoint = await decodeCheckpoint(bytes);
    await this.#check(checkpoint, node, base);
    const { digest, vector, states } = checkpoint;
    this.#standing = { author: hex(node), digest, first: base.sequence + 1n, bytes: bytes.length };
    this.#tail = 0;
    this.#wanted = false;
    // The logs before went with the memory of the relay.
    if (group.lost) group.forgetPast(log);
    if (this.#mine(node)) {
      // Our records are in it; what was owed is there now.
      ledger.absorb(vector, [], true);
      group.lost = false;
      if (group.peers.length === 1) this.#settle();
      return undefined;
    }
    if (own && sameBytes(own, digest)) {
      this.#unendorsed = digest;
      await this.#endorse();
      return undefined;
    }
    const absorbed = ledger.absorb(vector, states);
    if (!own) this.#compareLater();
    // Where we made no digest, what it says of records that we have all of tells.
    const says = absorbed.changes.length > 0 || absorbed.differs.length > 0;
    if (own || (sure && says)) {
      // Both have what the other one has, once ours is there, too.
      group.lost = true;
      const { code, message } = faultOf(
        new ClientError("CHECKPOINT_DIFFERS", `${hex(node)} has other records than we`),
      );
      this.events.fault(code, message);
    } else if (ledger.covers(vector)) {
      group.lost = false;
    }
    if (ledger.stale) this.events.renumber();
    return absorbed;
  }

  /** One that we could not judge when it began is endorsed later, if what it says is what we have then. */
  #compareLater(): void {
    if (this.#comparing) return;
    this.#comparing = true;
    this.post.later(Math.max(0, this.#digestAgain - this.post.host.now()), async () => {
      this.#comparing = false;
      const standing = this.#standing;
      if (!standing || standing.author === this.device.group.node || !this.#sure) return;
      const own = await this.#ownDigest();
      // Another one has begun meanwhile, or the clock is a little behind.
      if (!own) return this.#compareLater();
      if (standing !== this.#standing || !sameBytes(own, standing.digest)) return;
      this.#unendorsed = own;
      await this.#endorse();
    });
  }

  /** Nothing that we have, or should have, is on its way. */
  get #sure(): boolean {
    const { ledger, group } = this.device;
    return ledger.settled && !ledger.missing && !group.lost && ledger.whole;
  }

  /** Seldom, as it costs as much as there are records: first parts cost nothing. */
  async #ownDigest(): Promise<Bytes | undefined> {
    const now = this.post.host.now();
    if (now < this.#digestAgain) return undefined;
    this.#digestAgain = now + DIGEST_MS;
    return await this.device.ledger.digest();
  }

  /** A device had the same at the base. Throws `BAD_SIGNATURE`. */
  async endorsed(node: Bytes, content: Bytes): Promise<void> {
    const standing = this.#standing;
    const digest = content.subarray(0, DIGEST_LENGTH);
    const { membership } = this.device.group;
    if (!await membership!.verify(ENDORSEMENT, node, content.subarray(DIGEST_LENGTH), digest)) {
      throw new ClientError("BAD_SIGNATURE", "an endorsement that its device did not sign");
    }
    if (!standing || standing.author === hex(node) || !sameBytes(digest, standing.digest)) return;
    this.#settle();
  }

  /** Nothing below the checkpoint is needed any more. */
  #settle(): void {
    const { first } = this.#standing!;
    this.device.group.forgetPast(this.#log!);
    if (this.#writing) this.events.truncate(first);
  }

  async #check(
    { base, covered, signature }: Checkpoint,
    node: Bytes,
    { sequence, hash }: Cursor,
  ): Promise<void> {
    const { group } = this.device;
    if (base.sequence !== sequence || !sameBytes(base.hash, hash)) {
      throw new ClientError("TWO_PASTS", `a checkpoint of ${hex(node)} stands on another past`);
    }
    const signKey = group.peer(node)?.signKey ?? this.#log?.keyOf(node);
    const author = signKey && { node, signKey };
    // Of a device that has left meanwhile the key may be unknown: a removal calls for another one.
    if (!author || !await group.membership!.verify(CHECKPOINT, author, signature, covered)) {
      throw new ClientError("BAD_SIGNATURE", "a checkpoint that its device did not sign");
    }
  }

  /** Says that we had the same, as soon as we may speak. */
  async #endorse(): Promise<void> {
    const voice = this.#writing?.voice;
    const { membership } = this.device.group;
    const digest = this.#unendorsed;
    if (!voice || !membership || !digest) return;
    this.#unendorsed = undefined;
    const signature = await membership.sign(ENDORSEMENT, digest);
    const content = concat(digest, signature);
    void this.#writing!.append((voice) => voice.endorsement(content)).catch(() => {});
  }

  /** Uploads one after a while, if that makes sense by then. */
  #plan(): void {
    if (this.#planned || !this.#writing || !this.#due) return;
    this.#planned = true;
    this.post.later(Math.random() * CHANCE_MS, async () => {
      this.#planned = false;
      await this.#upload();
    });
  }

  get #due(): boolean {
    const { ledger, group } = this.device;
    if (!ledger.whole) return false;
    if (group.lost || ledger.owes || this.#wanted) return true;
    const last = this.#standing?.bytes ?? 0;
    return (this.#tail > TAIL_BYTES && this.#tail > TAIL_TIMES * last) ||
      group.past.unchecked.length > MOST_PAST;
  }

  async #upload(): Promise<void> {
    const { group, ledger } = this.device;
    const writing = this.#writing;
    const voice = writing?.voice;
    if (!writing || !voice || !this.#due || this.#uploading) return;
    // What waits goes first, and whoever has begun may end.
    const now = this.post.host.now();
    // Where all lack something, nobody can bring it.
    const waits = ledger.missing && now - this.#since! < MISSING_MS;
    if (!ledger.settled || waits || now < this.#busyUntil) {
      this.post.later(CHANCE_MS, () => this.#plan());
      return;
    }
    const log = group.log!;
    const { ring, sequence, hash } = log.cursor;
    const instances = log.speakers().map(({ node, instance, next }) => ({
      node: hex(node),
      instance: hex(instance),
      counter: next,
    }));
    const membership = group.membership!;
    const parts = await checkpointParts(
      { ring, sequence, hash, instances },
      ledger.contents(),
      (covered) => membership.sign(CHECKPOINT, covered),
    );
    this.#uploading = true;
    void this.#send(writing, parts, sequence + 1n).catch((error) => {
      const { code, message } = faultOf(error);
      if (code !== "OFFLINE") this.events.fault(code, message);
    }).finally(() => this.#uploading = false);
  }

  async #send(writing: Writing, parts: readonly Bytes[], at: bigint): Promise<void> {
    for (const [i, part] of parts.entries()) {
      await this.post.link.turn();
      const { readable } = writing;
      const seal = (voice: Voice) => voice.checkpoint(part, readable);
      if (!await writing.append(seal, i === 0 ? at : 0n)) {
        // Somebody wrote meanwhile: on what is there then.
        return void this.post.later(CHANCE_MS, () => this.#plan());
      }
    }
  }

  #mine(node: Bytes): boolean {
    return sameBytes(node, this.device.group.nodeId);
  }
}

const CHECKPOINT = "BX2 checkpoint";
const ENDORSEMENT = "BX2 endorsement";
