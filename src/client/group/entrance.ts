/**
 * How a device comes into its group: it knocks at a door, waits for a welcome, and lets the logs show that
 * the welcome comes from its group. (docs/protocol/group.md, rules 14 to 16)
 *
 * @module
 */
import { type Bytes, hex } from "../../wire/bytes.ts";
import { Subtype } from "../../wire/blaze/extension.ts";
import { ClientError, faultOf } from "../client_error.ts";
import { leftBehind } from "./invitations.ts";
import type { Device } from "./log/device.ts";
import { DoorReader, doorStart, knockFrame } from "./log/doors.ts";
import { EpochProof, type Proof } from "./log/epoch_proof.ts";
import { isShut, type LogLink } from "./log/log_link.ts";
import type { Post } from "./log/post.ts";
import type { StandingKnock } from "./log/standing_knock.ts";
import type { Entered } from "./mls/newcomer.ts";

/** Where the door has a welcome of another device, a newcomer waits so long for one of its own. */
const PASSED_MS = 10_000;
/** It waits so long for what a log has to show, and then as long at the door for another welcome. */
const PROOF_MS = 10_000;
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

/** One wait at a door over one link. */
export class Entrance {
  #turn: () => void = () => {};
  #closed = false;
  /** The door has a welcome of another device. */
  #passedBy = false;

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

  /**
   * Resolves when a welcome was found, or this device is in its group, or waits no more. Throws what another
   * link may mend.
   */
  async pass(): Promise<void> {
    if (this.knock.welcomes.length > 0) await this.#prove();
    if (this.#waits) await this.#wait();
  }

  get #waits(): boolean {
    return !this.#closed && this.parts.device.group.knock === this.knock;
  }

  /** Waits until somebody opens. */
  async #wait(): Promise<void> {
    const { device: { group, saver }, log, post } = this.parts;
    const { newcomer: { door, keyPackage, reference }, welcomes } = this.knock;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = resolve;
    const name = hex(reference.subarray(0, 32));
    let knocked = false;
    let found = false;
    const reader = new DoorReader(door, {
      knock: (_, reference) => void (knocked ||= reference === name),
      welcome: async ({ message }, reference) => {
        if (!this.#waits) return;
        if (reference !== name) return this.#passBy();
        if (!await this.#welcomed(message)) return;
        found = true;
        await saver.flush().finally(resolve);
      },
    }, (error) => this.#tell(error));
    await saver.flush();
    await log.open({ id: door.logId, key: door.logKey }, await doorStart(door), reader);
    if (this.#waits && !knocked) {
      const answer = log.append(await knockFrame(door, keyPackage));
      if (!await answer.catch((error) => this.#mute(error))) return await promise;
    }
    // It was let in while this was on its way, perhaps by a word that came before the door was open.
    if (found || !this.#waits) return;
    // Those that are known could not be shown yet: after a while, once more.
    if (welcomes.length > 0) post.later(PROOF_MS, resolve);
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
  }

  /** Whether it is one more. Throws `BAD_WELCOME`. */
  async #welcomed(message: Bytes): Promise<boolean> {
    const { group } = this.parts.device;
    const { membership } = await this.knock.newcomer.enter(message);
    const removed = membership.peers().some(({ node }) => group.past.removed.has(hex(node)));
    if (removed) throw new ClientError("BAD_WELCOME", "into a group with who was removed");
    return await group.welcomed(message);
  }

  /** Whoever has seen the text can put such a welcome there: the members know whether it is so. */
  #passBy(): void {
    if (this.knock.permanent || this.#passedBy) return;
    this.#passedBy = true;
    const used = new ClientError("NOT_ADMITTED", "the invitation has let in another device");
    this.#tell(used);
    this.parts.post.later(PASSED_MS, () => {
      if (this.#waits && this.knock.welcomes.length === 0) this.events.stopped(used);
    });
  }

  /** Reads the logs that the welcomes name: do they lead there from the group of the text? */
  async #prove(): Promise<void> {
    const { device: { group, ledger, saver }, post } = this.parts;
    for (const message of this.knock.welcomes) {
      const entered = await this.knock.newcomer.enter(message);
      const proof = await this.#proofOf(entered);
      if (!this.#waits) return;
      if (proof === "refuted") {
        await group.refuse(message);
        const why = "whoever let this device in is no member any more, or never was";
        this.#tell(new ClientError("BAD_WELCOME", why));
      } else if (proof === "proven") {
        const left = await leftBehind(this.parts.device, entered);
        await post.run(async () => {
          await group.enter(entered.membership, entered.carry);
          ledger.unlogged();
        });
        for (const error of left) this.#tell(error);
        // What cannot be stored now is stored with what comes next.
        return await saver.flush().catch((error) => this.#tell(error));
      }
    }
  }

  /** Where something is missing, waits for it for a moment: members bring it when they come. */
  async #proofOf(entered: Entered): Promise<Proof> {
    const { device: { group }, log, post } = this.parts;
    for await (const epoch of EpochProof.of(entered, group.database, () => this.#turn())) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#turn = resolve;
      try {
        await log.open(epoch.log.epoch.log, epoch.log.cursor, epoch);
      } catch (error) {
        if (isShut(error)) return "missing";
        throw error;
      }
      if (epoch.proof === "missing" && !this.#closed) {
        this.events.progress("waiting");
        const stop = post.later(PROOF_MS, resolve);
        await promise;
        stop();
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
