/**
 * Who else is here over one link, as the relay shows them and their Handshakes prove.
 *
 * @module
 */
import { hex } from "../../wire/bytes.ts";
import { Capability, type Handshake } from "../../wire/blaze/handshake.ts";
import { ClientError } from "../client_error.ts";
import { claimHolds, readClaim } from "./claims.ts";
import type { Group } from "./log/group_state.ts";
import type { Post } from "./log/post.ts";

export interface PresenceEvents {
  presence(node: string, online: boolean): void;
  /** A member is here from now on, who may not know that we are. */
  arrived(): void;
  /** Somebody is here who is no member: it may want to be let in. */
  stranger(): void;
  /** A member is here that is in an epoch which we do not know. */
  elsewhere(node: string): void;
}

export class Presence {
  readonly #members = new Set<string>();

  constructor(
    private readonly group: Group,
    private readonly post: Post,
    private readonly events: PresenceEvents,
  ) {}

  /** Members that are here, in hex. */
  get members(): ReadonlySet<string> {
    return this.#members;
  }

  /** Whether everybody here reads zstd. */
  get readable(): boolean {
    return [...this.#members].every((node) => this.post.zstd.has(node));
  }

  /** A Handshake that the relay shows us. Throws `NOT_A_MEMBER`. */
  async meet(handshake: Handshake): Promise<void> {
    const node = hex(handshake.node);
    const { membership, epoch } = this.group;
    if (membership && node === this.group.node) return;
    this.post.begin(node);
    this.post.shown.add(node);
    if (handshake.capabilities & Capability.compression) this.post.zstd.add(node);
    else this.post.zstd.delete(node);
    if (!membership || !epoch) return;
    const claim = readClaim(handshake);
    if (!claim) return this.events.stranger();
    // It may be behind, or ahead: what it writes into the log will tell.
    if (claim.epoch !== epoch.name) {
      if (membership.peer(node)) this.events.elsewhere(node);
      return this.events.stranger();
    }
    if (!await claimHolds(claim, handshake, epoch, membership)) {
      throw new ClientError("NOT_A_MEMBER", `the Handshake of ${node} is not as a member made it`);
    }
    this.here(node);
  }

  /** A member has shown itself in the log, and the relay says that it is here. */
  here(node: string): void {
    if (!this.post.shown.has(node) || this.#members.has(node)) return;
    this.#members.add(node);
    this.events.presence(node, true);
    this.events.arrived();
  }

  gone(node: string): void {
    this.post.begin(node);
    this.post.here.delete(node);
    this.post.shown.delete(node);
    this.post.zstd.delete(node);
    if (this.#members.delete(node)) this.events.presence(node, false);
  }

  /** The group has changed: who is no member any more is not here. */
  entered(): void {
    for (const node of [...this.#members]) {
      if (this.group.has(node)) continue;
      this.#members.delete(node);
      this.events.presence(node, false);
    }
  }
}
