/**
 * How a device comes into its group: it knocks at a door, waits for a welcome, and lets the logs show that
 * the welcome comes from its group. (docs/protocol/group.md, rules 14 to 16)
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../wire/bytes.ts";
import { Subtype } from "../../wire/blaze/extension.ts";
import { ClientError, faultOf } from "../client_error.ts";
import { leftBehind } from "./invitations.ts";
import type { Device } from "./log/device.ts";
import { DoorReader, doorStart, knockFrame } from "./log/doors.ts";
import { EpochProof, type Proof } from "./log/epoch_proof.ts";
import { isShut, type LogLink } from "./log/log_link.ts";
import type { Post } from "./log/post.ts";
import type { StandingKnock } from "./log/standing_knock.ts";
import type { GroupPeer } from "./mls/epoch_view.ts";
import type { Entered } from "./mls/newcomer.ts";

/** Where the door has a welcome of another device, a newcomer waits so long for one of its own. */
const PASSED_MS = 10_000;
/** What the logs said nothing of is looked at again after this. */
const PROOF_MS = 10_000;
/** And after this, where somebody says that it may be there. */
const HINT_MS = 1_000;
/** Welcomes in memory, of one look into a door. */
const MOST_AT_ONCE = 8;
/** A member waits so long at its own door. */
const PATIENCE_MS = 60_000;

export interface EntranceParts {
  readonly device: Device;
  readonly post: Post;
  readonly log: LogLink;
}

export interface EntranceEvents {
  progress(state: "waiting"): void;
  fault(code: string, message: string): void;
  /** People have to decide. */
  stopped(error: ClientError): void;
}

/** One look into a door over one link, and at the welcomes that it has. */
export class Entrance {
  #turn: () => void = () => {};
  #closed = false;
  #hinted = false;

  constructor(
    private readonly knock: StandingKnock,
    private readonly parts: EntranceParts,
    private readonly events: EntranceEvents,
  ) {}

  /** The link is gone. */
  close(): void {
    this.#closed = true;
    this.#turn();
  }

  /** Somebody says that a commit stands in a log of before again. Looked after once a second. */
  hint(): void {
    if (this.#hinted || !this.knock.hopes) return;
    this.#hinted = true;
    this.parts.post.later(HINT_MS, () => this.#turn());
  }

  /**
   * Resolves when a welcome was looked at, or this device is in its group, or waits no more. Throws what
   * another link may mend.
   */
  async pass(): Promise<void> {
    const { group } = this.parts.device;
    const refuted: Bytes[] = [];
    let why: unknown;
    for (const message of await this.#found()) {
      if (!this.#waits) break;
      const refused = await this.#prove(message).catch((error) => {
        if (!(error instanceof ClientError) || error.code !== "BAD_WELCOME") throw error;
        return error;
      });
      if (refused) refuted.push(message);
      why ??= refused;
    }
    if (refuted.length === 0) return;
    await group.refute(refuted);
    // Once for each look: whoever has seen the text can put many there.
    this.#tell(why);
  }

  get #waits(): boolean {
    return !this.#closed && this.parts.device.group.knock === this.knock;
  }

  /** Welcomes that are to be looked at; waits until there are any. */
  async #found(): Promise<Bytes[]> {
    const { knock, parts: { device: { group, saver }, log, post } } = this;
    const { door } = knock.newcomer;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = resolve;
    const found: Bytes[] = [];
    let knocked = false;
    let last = 0n;
    const reader = new DoorReader(door, {
      knock: (keyPackage) => {
        knocked ||= sameBytes(keyPackage, knock.newcomer.keyPackage);
      },
      welcome: async ({ message }, reference, _frame, sequence) => {
        if (!this.#waits || found.length >= MOST_AT_ONCE || sequence <= knock.seen) return;
        if (!knock.newcomer.offered(reference)) return this.#passBy();
        if (!await knock.isDue(message)) return;
        found.push(message);
        last = sequence;
        resolve();
      },
    });
    await saver.flush();
    try {
      await log.open({ id: door.logId, key: door.logKey }, await doorStart(door), reader);
    } catch (error) {
      // Somebody else has made it, after the relay lost its memory.
      if (!group.membership || !isShut(error)) throw error;
      group.leaveOwnDoor();
      return [];
    }
    // Round and round: whatever stands there, all of it is looked at.
    const goesRound = knock.seen > 0n;
    knock.seen = last;
    if (this.#waits && found.length === 0 && !knock.newcomer.isGood(Date.now())) {
      await group.renewKnock();
      await saver.flush();
      knocked = false;
    }
    if (this.#waits && !knocked) {
      const answer = log.append(await knockFrame(door, knock.newcomer.keyPackage));
      if (!await answer.catch((error) => this.#mute(error))) {
        await promise;
        return [];
      }
    }
    // It was let in while this was on its way, perhaps by a word that came before the door was open.
    if (found.length > 0 || !this.#waits) return found;
    // What could not be shown yet is looked at once more.
    if (knock.hopes || goesRound) post.later(PROOF_MS, resolve);
    post.toEverybody(Subtype.knock, new Uint8Array());
    this.events.progress("waiting");
    if (group.membership) {
      post.later(PATIENCE_MS, () => {
        if (!this.#waits) return;
        group.leaveOwnDoor();
        resolve();
      });
    }
    await promise;
    if (found.length === 0) knock.again();
    return found;
  }

  /** Whoever has seen the text can put such a welcome there: the members know whether it is so. */
  #passBy(): void {
    const { knock } = this;
    if (knock.permanent || knock.passedBy) return;
    knock.passedBy = true;
    const used = new ClientError("NOT_ADMITTED", "the invitation has let in another device");
    this.#tell(used);
    this.parts.post.later(PASSED_MS, () => {
      if (this.#waits && !knock.hopes) this.events.stopped(used);
    });
  }

  /** Do the logs lead to where a welcome leads, from the group of the text? Throws `BAD_WELCOME`. */
  async #prove(message: Bytes): Promise<void> {
    const { device: { group, ledger, saver }, post } = this.parts;
    const entered = await this.knock.newcomer.enter(message);
    const removed = ({ node }: GroupPeer) => group.past.removed.has(hex(node));
    if (entered.membership.peers().some(removed)) {
      throw new ClientError("BAD_WELCOME", "into a group with who was removed");
    }
    const proof = await this.#proofOf(entered);
    if (!this.#waits) return;
    if (proof === "refuted") {
      const why = "whoever let this device in is no member any more, or never was";
      throw new ClientError("BAD_WELCOME", why);
    }
    if (proof === "missing") return await this.knock.leave(message);
    const left = await leftBehind(this.parts.device, entered);
    await post.run(async () => {
      await group.enter(entered.membership, entered.carry);
      ledger.unlogged();
    });
    for (const error of left) this.#tell(error);
    // What cannot be stored now is stored with what comes next.
    await saver.flush().catch((error) => this.#tell(error));
  }

  async #proofOf(entered: Entered): Promise<Proof> {
    const { device: { group }, log } = this.parts;
    for await (const epoch of EpochProof.of(entered, group.database)) {
      try {
        await log.open(epoch.log.epoch.log, epoch.log.cursor, epoch);
      } catch (error) {
        if (isShut(error)) return "missing";
        throw error;
      }
      if (epoch.proof !== "proven") return epoch.proof;
    }
    return "proven";
  }

  /** With a token that reads only, nobody can ask to be let in. */
  #mute(error: unknown): undefined {
    if (!(error instanceof ClientError) || error.code !== "READ_ONLY") throw error;
    const why = "to be let in, a device has to write: it needs another token";
    this.events.stopped(new ClientError("READ_ONLY", why));
  }

  #tell(error: unknown): void {
    const { code, message } = faultOf(error);
    this.events.fault(code, message);
  }
}
