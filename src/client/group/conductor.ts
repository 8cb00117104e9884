/**
 * Decides which log is open over one link: the door where this device waits, the logs that it still has
 * to read, the present one, and in between the doors of others.
 *
 * Everything that changes the device's state is a step of the link, one after the other; this only
 * waits for what comes of it.
 *
 * @module
 */
import { hex } from "../../wire/bytes.ts";
import { ClientError, faultOf } from "../client_error.ts";
import { Entrance, type EntranceEvents, type EntranceParts } from "./entrance.ts";
import { standing, voided } from "./invitations.ts";
import { Checkpoints } from "./log/checkpoints.ts";
import type { EpochLog } from "./log/epoch_log.ts";
import type { SealOptions } from "./log/log_entries.ts";
import { Holds } from "./log/holds.ts";
import type { StandingKnock } from "./log/standing_knock.ts";
import { lookBack } from "./log/look_back.ts";
import type { Presence } from "./presence.ts";
import { EpochReading, type ReadingEvents } from "./log/reading.ts";
import { Writing } from "./log/writing.ts";
import { Subtype } from "../../wire/blaze/extension.ts";

export interface ConductorEvents
  extends EntranceEvents, Pick<ReadingEvents, "operation" | "backlog" | "removed"> {
  /** The device is in the group, in this epoch. */
  entered(number: bigint): void;
  progress(state: "waiting" | "reading" | "synced"): void;
  mailed(counter: bigint): void;
  full(full: boolean): void;
}

export interface ConductorParts extends EntranceParts {
  readonly presence: Presence;
  readonly options: SealOptions;
}

/** What another member should have done at a door is done after this. */
const SPARE_MS = 3_000;
/** A member that others are ahead of, as it seems, looks so long into the log before it knocks. */
const FOLLOW_MS = 5_000;
/** Strangers are looked after at once, then no more often than this; while nobody is there, twice as long each time. */
const DOORS_MS = 100;
const MOST_DOORS_MS = 6_400;
/** The same of logs of before. */
const LOOK_MS = 1_000;
const MOST_LOOK_MS = 64_000;

export class Conductor {
  #writing: Writing | undefined;
  #entrance: Entrance | undefined;
  /** The log that was opened last. */
  #opened: EpochLog | undefined;
  /** Ends the wait while a log is open. */
  #turn: () => void = () => {};
  #doorsDue = true;
  #lookBackDue = true;
  /** All logs of before are looked into, not the last one only. */
  #thoroughly = false;
  #lookedBack = false;
  #lookMs = LOOK_MS;
  #doorsQuiet = false;
  /** Doors are left to a member that is here, and longer in the group, until this runs. */
  #stopLeaving: (() => void) | undefined;
  #doorsMs = DOORS_MS;
  #closed = false;
  #conducted: Promise<void> = Promise.resolve();
  readonly #gone = new AbortController();
  readonly #checkpoints: Checkpoints;
  readonly #holds = new Holds();

  constructor(private readonly parts: ConductorParts, private readonly events: ConductorEvents) {
    const { device, post } = parts;
    this.#checkpoints = new Checkpoints(device, post, {
      fault: (code, message) => events.fault(code, message),
      truncate: (sequence) => parts.log.truncate(sequence),
      renumber: () => void post.run(() => this.#renumber()),
    });
    device.wishes.onWish = () => void post.run(() => this.#writing?.change());
  }

  /** The relay has let us into the room. */
  joined(keepsLogs: boolean): void {
    if (!keepsLogs) {
      const { code, message } = new ClientError("NO_LOG", "this relay keeps no logs for groups");
      return this.events.fault(code, message);
    }
    const { device: { group, reception }, post } = this.parts;
    reception.begin();
    this.#leaveDoors();
    // Whoever let somebody in brings what is missing; if that one is gone, another one does.
    post.later(SPARE_MS, () => {
      reception.recall();
      if (group.awaited.length > 0) this.#visitSoon();
    });
    this.#conducted = this.#conduct();
  }

  /** Resolves once nothing is done any more; after `close`. */
  get done(): Promise<void> {
    return this.#conducted;
  }

  pump(): void {
    this.#writing?.pump();
  }

  /** Somebody came who may not know that we are here. */
  greet(): void {
    this.#writing?.greet();
  }

  /** Somebody is here who may want to be let in. */
  stranger(): void {
    if (!this.#doorsDue) this.#leaveDoors();
    this.#doorsDue = true;
    this.#visitSoon();
  }

  /** One member lets in others: several would take each other's place in the log. */
  #leaveDoors(waited = 1): void {
    this.#stopLeaving?.();
    this.#stopLeaving = this.parts.post.later(SPARE_MS, () => {
      // One after the other, by who is here by now.
      if (waited < this.#longer) return this.#leaveDoors(waited + 1);
      this.#stopLeaving = undefined;
      this.#visitSoon();
    });
  }

  /** How many of those who are here are longer in the group. */
  get #longer(): number {
    const { device: { group }, presence: { members } } = this.parts;
    const nodes = group.peers.map(({ node }) => hex(node));
    return nodes.slice(0, nodes.indexOf(group.node)).filter((node) => members.has(node)).length;
  }

  /** Whether somebody is to be visited now: what is owed waits for nothing. */
  get #mayVisit(): boolean {
    const { group, reception } = this.parts.device;
    // Who waits at a door lets in nobody.
    return !group.knock && (reception.owes || this.#mayLook);
  }

  /** Whether it is time to look who stands at doors: hints that come during a visit wait. */
  get #mayLook(): boolean {
    if (this.#doorsQuiet || !(this.#doorsDue || this.parts.device.reception.crowded)) return false;
    return !this.#stopLeaving || this.#longer === 0;
  }

  #visitSoon(): void {
    if (this.#mayVisit) this.#turn();
  }

  /** A member is here that is in an epoch which we do not know. */
  elsewhere(node: string): void {
    const { group, reception } = this.parts.device;
    reception.suspect(node);
    this.lookAgain();
    // The logs should tell soon. If they do not, the longest member stays, and lets in the others.
    const { epoch, peers } = group;
    const shorter = peers.length - 1 - peers.findIndex((peer) => hex(peer.node) === group.node);
    this.parts.post.later(FOLLOW_MS * (1 + shorter), async () => {
      const alone = this.parts.presence.members.size === 0;
      if (group.epoch !== epoch || !alone || !this.#writing?.voice || group.knock) return;
      // With its memory, the relay would have shown us the commit.
      if (!group.doubt) return;
      // Anybody in the room may pose as a member that is elsewhere.
      if (!reception.mayLeave(this.parts.post.host.now())) return;
      await group.standAtOwnDoor();
      this.#turn();
    });
  }

  /** Somebody says that a commit stands in a log of before again. */
  lookAgain(): void {
    this.#lookBackDue = this.#thoroughly = true;
    if (this.parts.device.group.knock) return this.#entrance?.hint();
    if (this.#lookedBack) return;
    this.#lookedBack = true;
    this.parts.post.later(this.#lookMs, () => {
      this.#lookedBack = false;
      if (this.#lookBackDue) this.#turn();
    });
    this.#turn();
  }

  close(): void {
    this.#closed = true;
    this.#gone.abort();
    this.#writing?.end();
    this.#turn();
  }

  async #conduct(): Promise<void> {
    const { group } = this.parts.device;
    try {
      while (!this.#closed) {
        if (group.knock) await this.#enter(group.knock);
        else if (group.back) await this.#read(group.back);
        else await this.#read(group.log!);
      }
    } catch (error) {
      if (!this.#closed) this.#beginAgain(error);
    }
  }

  async #enter(knock: StandingKnock): Promise<void> {
    const entrance = this.#entrance = new Entrance(knock, this.parts, this.events);
    this.#turn = () => entrance.close();
    await entrance.pass();
    this.#leaveDoors();
  }

  /** Another attempt begins with a new link. */
  #beginAgain(error: unknown): void {
    const { code, message } = faultOf(error);
    this.events.fault(code, message);
    this.parts.post.link.close(1000, "begins again");
  }

  /** Reads a log until the epoch is over, or something else is due. */
  async #read(log: EpochLog): Promise<void> {
    const { device, post, options } = this.parts;
    const { group, ledger } = device;
    const present = log === group.log;
    const { promise, resolve, reject: failed } = Promise.withResolvers<void>();
    this.#turn = resolve;
    let stopped = false;
    /** Another log is opened in its place. */
    let left = false;
    if (this.#opened !== log) this.events.progress("reading");
    if (present && this.#opened !== log) this.events.entered(group.membership!.number);
    this.#opened = log;
    const writing = this.#writing = present ? this.#writingInto(log) : undefined;
    const parts = { ...device, checkpoints: this.#checkpoints, compression: options.compression };
    const reading = new EpochReading(log, parts, {
      operation: (...told) => this.events.operation(...told),
      announced: (node, vector) => {
        this.parts.presence.here(node);
        // What was there already does not say where it is now.
        if (present && reading.caughtUp) device.reception.found(node);
        writing?.covered(node, vector);
      },
      news: (author, counter) => writing?.news(author, counter),
      backlog: (received, total) => this.events.backlog(received, total),
      hold: (author) => {
        if (this.#holds.honours(author, post.host.now())) writing?.hold();
      },
      gap: () => {
        writing?.forgotten();
        ledger.unlogged();
        this.#checkpoints.gap();
      },
      renumber: () => void post.run(() => this.#renumber()),
      live: () => {
        if (!writing) return;
        void post.run(async () => {
          if (left || this.#writing !== writing) return;
          try {
            if (ledger.stale || (group.signed && ledger.unsigned)) await this.#renumber();
            await writing.begin();
          } catch (error) {
            return this.#beginAgain(error);
          }
          this.#checkpoints.live(writing);
          this.events.progress("synced");
          if (this.#mayVisit || this.#lookBackDue) resolve();
        });
      },
      welcomed: (welcome, own) => {
        const { reception } = device;
        const visit = () => {
          reception.owe(welcome);
          this.#visitSoon();
        };
        if (own) return visit();
        // Whoever let it in brings it, and goes on; if that one is gone, another one does.
        this.#leaveDoors();
        post.later(SPARE_MS, visit);
      },
      ended: (own) => {
        if (own) device.wishes.settle();
        writing?.end();
        if (!present) group.readBack();
        else this.parts.presence.entered();
        void device.saver.flush().catch(() => {});
        resolve();
      },
      removed: () => this.events.removed(),
      outrun: () => {
        void post.run(async () => {
          await group.standAtOwnDoor();
          resolve();
        });
      },
      broken: (error) => this.#beginAgain(error),
      crossed: (error) => this.events.stopped(error),
      stopped: () => {
        stopped = true;
        this.events.progress("reading");
        resolve();
      },
      fault: (code, message) => this.events.fault(code, message),
    });
    // After what is being read: its cursor is not where that log is any more.
    await post.run(() => {
      void this.parts.log.open(log.epoch.log, log.cursor, reading).catch(failed);
    });
    await promise;
    left = true;
    writing?.pause();
    if (stopped) return await this.#withoutZstd();
    if (this.#closed || log !== group.log) return;
    if (!reading.caughtUp) return;
    if (this.#lookBackDue) await this.#lookBack();
    // Still the present one: somebody stands at a door.
    if (this.#mayVisit && log === group.log) await this.#doors();
  }

  /**
   * What is compressed is read once zstd is there. Others compress nothing while this device is here, as
   * soon as its Handshake says that it cannot read it.
   */
  async #withoutZstd(): Promise<void> {
    const { post, options } = this.parts;
    if (post.readsZstd) post.link.close(1000, "without zstd");
    await options.compression.until(this.#gone.signal);
  }

  /** What writes into this log over this link. */
  #writingInto(log: EpochLog): Writing {
    const { device, post, options, presence } = this.parts;
    if (this.#writing?.log === log && !this.#writing.ended) return this.#writing;
    const readable = () => presence.readable;
    const parts = { ...device, post, log: this.parts.log, options, readable };
    return new Writing(log, parts, this.events);
  }

  async #renumber(): Promise<void> {
    const { group, ledger, saver } = this.parts.device;
    await ledger.renumber(group.signer);
    await saver.flush();
    this.#writing?.rewind();
  }

  /** Looks into the doors of others, and lets in who may come in. */
  async #doors(): Promise<void> {
    const { device: { reception }, log, post } = this.parts;
    // What is on its way belongs to the log that is open.
    while (log.inFlight > 0) await log.answered();
    await reception.bring(log);
    if (!this.#mayLook) return;
    this.#doorsDue = false;
    this.#doorsQuiet = true;
    const anybody = await reception.visit(log, (error) => {
      const { code, message } = faultOf(error);
      this.events.fault(code, message);
    });
    // Anybody in the room may say that somebody knocks.
    this.#doorsMs = anybody ? DOORS_MS : Math.min(this.#doorsMs * 2, MOST_DOORS_MS);
    post.later(this.#doorsMs, () => {
      this.#doorsQuiet = false;
      if (this.#mayVisit) this.#turn();
      else this.#doorsMs = DOORS_MS;
    });
  }

  /** Looks whether the logs of before ended as we saw them end. */
  async #lookBack(): Promise<void> {
    const thoroughly = this.#thoroughly;
    this.#lookBackDue = this.#thoroughly = false;
    const { device, log, post, options } = this.parts;
    while (log.inFlight > 0) await log.answered();
    if (device.group.past.all.length === 0) return;
    const invited = standing(device);
    const verdict = await lookBack(device, log, options.compression, thoroughly).catch((error) => {
      const code = error instanceof ClientError ? error.code : "";
      if (code === "REMOVED") {
        device.group.remove();
        this.events.removed();
      } else if (code === "MUTUAL_REMOVAL") this.events.stopped(error);
      else throw error;
    });
    // Anybody in the room may say that there is something.
    this.#lookMs = verdict === "ours" ? Math.min(2 * this.#lookMs, MOST_LOOK_MS) : LOOK_MS;
    if (verdict === "lost") {
      // Who was removed can write into logs of before, once the relay has lost its memory.
      if (!device.reception.mayLeave(post.host.now())) return;
      return await device.group.standAtOwnDoor();
    }
    if (verdict === "again") {
      post.toEverybody(Subtype.commit, new Uint8Array());
      // What doors had is gone as well.
      device.reception.recall();
      this.#doorsDue = true;
    }
    if (verdict === "other") {
      device.ledger.unlogged();
      this.parts.presence.entered();
      for (const { code, message } of voided(invited, device)) this.events.fault(code, message);
    }
  }
}
