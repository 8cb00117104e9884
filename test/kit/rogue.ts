/**
 * Somebody with the keys of a device, and a socket of its own: it follows no rule. It has what a device
 * has stored, and so what a member can do that lies, or a device that was removed and goes on.
 *
 * @module
 */
import { Compression } from "../../src/client/blaze/compression.ts";
import { random } from "../../src/client/group/e2e/derive.ts";
import { EpochLog } from "../../src/client/group/log/epoch_log.ts";
import type { Group } from "../../src/client/group/log/group_state.ts";
import { decodeLinked, encodeLinked } from "../../src/client/group/data/linked_body.ts";
import {
  type ChainHead,
  type LinkVector,
  NO_HEAD,
} from "../../src/client/group/data/link_vector.ts";
import {
  encodeAnnounce,
  encodeCommitEntry,
  openEntry,
  Voice,
} from "../../src/client/group/log/log_entries.ts";
import type { LogTarget } from "../../src/client/group/e2e/epoch.ts";
import type { Carry } from "../../src/client/group/mls/carry.ts";
import type { CommitPlace } from "../../src/client/group/mls/commit_place.ts";
import type { GroupChange } from "../../src/client/group/mls/commit_maker.ts";
import type { PreparedCommit } from "../../src/client/group/mls/group_membership.ts";
import { type Bytes, concat } from "../../src/wire/bytes.ts";
import { Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { decodeFrame, encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { decodeFault } from "../../src/wire/blaze/control.ts";
import {
  decodeExtension,
  encodeExtension,
  type Extension,
  framesIn,
  openEnvelopes,
} from "../../src/wire/blaze/extension.ts";
import { encodeHandshake, type Handshake } from "../../src/wire/blaze/handshake.ts";
import { PROFILE } from "./blaze.ts";
import { restored } from "./kept_group.ts";
import { TestSocket } from "./socket.ts";

const NOWHERE = { ring: new Uint8Array(8), sequence: 0n, check: new Uint8Array(8) };

/** An entry of a log. */
export interface RogueEntry {
  readonly sequence: bigint;
  readonly frame: Bytes;
}

/** Somebody in a room, without any key. */
export class Outsider {
  /** Entries that came, of the log that is open. */
  readonly entries: RogueEntry[] = [];
  ring: Bytes = new Uint8Array(8);

  protected constructor(readonly socket: TestSocket) {}

  /** Comes into a room, under a node id of nobody's unless said. */
  static async into(
    relay: { url: string },
    room: string,
    as: Partial<Handshake> = {},
  ): Promise<Outsider> {
    const outsider = new Outsider(await TestSocket.connect(relay, `/sync/${room}`));
    await outsider.greet(room, as);
    return outsider;
  }

  protected async greet(room: string, as: Partial<Handshake> = {}): Promise<void> {
    const payload = encodeHandshake({
      node: random(16),
      database: room,
      publicKey: new Uint8Array(65).fill(4),
      capabilities: PROFILE,
      timestamp: 1n,
      tlvs: [],
      ...as,
    });
    this.say(encodeFrame({ type: FrameType.handshake, payload }));
    await this.until((word) => word.subtype === "joined");
  }

  say(frame: Bytes): void {
    this.socket.send(frame);
  }

  extend(extension: Extension): void {
    const payload = encodeExtension(extension);
    this.say(encodeFrame({ type: FrameType.extension, payload }));
  }

  /** Opens a log from its start, and reads what is there: `ok`, or what the relay refuses it with. */
  async open({ id, key }: LogTarget): Promise<string> {
    this.extend({ subtype: "open", log: id, key, ...NOWHERE });
    const answer = await this.until((word) => word.subtype === "live");
    return typeof answer === "string" ? answer : "ok";
  }

  /** Appends a frame: `kept`, `moved`, or what the relay refuses it with. */
  async append(frame: Bytes, at = 0n): Promise<string> {
    this.extend({ subtype: "sequenced", sequence: at, frame });
    const answer = await this.until((word) => word.subtype === "accepted");
    if (typeof answer === "string") return answer;
    return answer.subtype === "accepted" && answer.count === 0 ? "moved" : "kept";
  }

  close(): void {
    this.socket.close();
  }

  /** Reads on until there is this word, or an Error, which is answered as its code. */
  protected async until(last: (word: Extension) => boolean): Promise<Extension | string> {
    for (;;) {
      for (const one of framesIn(await this.socket.next())) {
        const { frame, sequence } = openEnvelopes(one);
        if (sequence !== undefined) {
          this.entries.push({ sequence, frame: frame.slice() });
          continue;
        }
        const { type, payload } = decodeFrame(frame.slice());
        if (type === FrameType.error) return `error ${decodeFault(payload).code}`;
        if (type !== FrameType.extension) continue;
        const word = decodeExtension(payload);
        if (word.subtype === "recovered") {
          this.ring = word.ring.slice();
          // What came before is of the log that was open.
          this.entries.length = 0;
        }
        if (last(word)) return word;
      }
    }
  }

  /** Resolves once the relay has read all that was said. */
  async answered(): Promise<void> {
    this.say(encodeFrame({ type: FrameType.ping }));
    for (;;) {
      const { type } = decodeFrame(await this.socket.next());
      if (type === FrameType.pong) return;
    }
  }
}

export class Rogue extends Outsider {
  #voice: Voice | undefined;
  #mine: ChainHead = NO_HEAD;
  readonly #compression = new Compression({ mode: "never", fault: () => {} });

  private constructor(
    readonly group: Group,
    /** The log of the epoch that it is in, read as far as `read` did. */
    readonly log: EpochLog,
    socket: TestSocket,
  ) {
    super(socket);
  }

  /** With what a device has stored, in that device's room under a node id of nobody's. */
  static async with(
    relay: { url: string },
    stored: Map<string, Bytes>,
  ): Promise<Rogue> {
    const group = await restored(stored);
    const socket = await TestSocket.connect(relay, `/sync/${group.room}`);
    const log = await EpochLog.begin(group.epoch!, group.database);
    const rogue = new Rogue(group, log, socket);
    await rogue.greet(group.room);
    return rogue;
  }

  /** Opens the log of its epoch, and reads on to its end as a device would. */
  async read(): Promise<void> {
    await this.open(this.group.epoch!.log);
    const { log } = this;
    const from = log.cursor.sequence;
    log.opened({
      subtype: "recovered",
      complete: true,
      durability: 0,
      ring: this.ring,
      first: 1n,
      last: 0n,
      hash: log.cursor.hash,
    });
    for (const { sequence, frame } of this.entries) {
      if (sequence <= from) continue;
      await log.step(sequence, frame);
      try {
        const entry = await openEntry(frame, log, this.#compression);
        if (entry.kind === "announce") log.admit(entry.opener, entry.announce.key);
      } catch {
        // Another one of its kind has been here.
      }
    }
  }

  get voice(): Promise<Voice> {
    return this.speak();
  }

  /** An instance of a device, that of its own unless said: it can seal as each of its epoch. */
  async speak(node: Bytes = this.group.nodeId): Promise<Voice> {
    const own = node === this.group.nodeId;
    if (own && this.#voice) return this.#voice;
    const options = { compression: this.#compression, pad: true };
    const voice = await Voice.draw(this.log, node, this.group.database, options);
    if (own) this.#voice = voice;
    return voice;
  }

  /** Announces an instance; signed by this device, whoever it says that it is. */
  async announce(
    vector: LinkVector = new Map(),
    voice?: Voice,
    { key = this.group.membership!.self.signKey, position = this.log.cursor } = {},
  ): Promise<Bytes> {
    const said = encodeAnnounce(position, key, vector);
    const signature = await this.group.membership!.sign("BX2 announce", said);
    return await (voice ?? await this.voice).announce(concat(said, signature));
  }

  /** An operation of this device, behind its last one of these. */
  async operation(
    title: string,
    {
      counter = this.#mine.counter + 1n,
      previous = this.#mine,
      voice = undefined as
        | Voice
        | undefined,
      sign = false,
    } = {},
  ): Promise<Bytes> {
    const operation = {
      kind: "insert" as const,
      collection: "bugs",
      id: Uuid.parse(crypto.randomUUID()),
      counter,
      node: 0,
      changes: { title },
    };
    const membership = this.group.membership!;
    const bytes = await encodeLinked(
      { operation, previous },
      sign ? (covered) => membership.sign("BX2 operation", covered) : undefined,
    );
    const { link } = await decodeLinked(bytes);
    this.#mine = { counter, link };
    return await (voice ?? await this.voice).operation(bytes, false);
  }

  /** A commit at the head of what was read, sealed for this epoch's log. */
  async commit(
    change: GroupChange,
    place: Partial<CommitPlace> = {},
    carry?: Carry,
  ): Promise<{ frame: Bytes; made: PreparedCommit }> {
    const head = { ...this.log.cursor, doubt: false, ...place };
    const made = await this.group.membership!.prepare(
      change,
      head,
      carry ?? [{ bound: head, ...await this.group.membership!.witness() }],
    );
    return { frame: await this.seal(made.message), made };
  }

  seal(message: Bytes): Promise<Bytes> {
    return encodeCommitEntry({ message }, this.group.epoch!);
  }
}

/** Runs with somebody like that, and ends it. */
export async function withRogue(
  relay: { url: string },
  stored: Map<string, Bytes>,
  run: (rogue: Rogue) => Promise<void>,
): Promise<void> {
  const rogue = await Rogue.with(relay, stored);
  try {
    await run(rogue);
  } finally {
    rogue.close();
  }
}
