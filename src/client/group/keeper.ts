/**
 * Keeps this device in the group over one link: who is here, joining, epochs, announces.
 *
 * @module
 */
import {
  type Bytes,
  concat,
  fromHex,
  hex,
  Reader,
  sameBytes,
  utf8Bytes,
  Writer,
} from "../../wire/bytes.ts";
import { encodeTags } from "../../wire/blaze/control.ts";
import { Subtype } from "../../wire/blaze/extension.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { Capability, type Handshake, NODE_ID_LENGTH } from "../../wire/blaze/handshake.ts";
import { ClientError } from "../client_error.ts";
import type { AdmissionKey } from "./e2e/admission_key.ts";
import { decodeJoinRequest, type JoinRequest } from "./e2e/admission_key.ts";
import { type Action, EPOCH_ID_LENGTH } from "./e2e/change.ts";
import type { Card } from "./e2e/identity.ts";
import { type Claim, claimHolds, readClaim } from "./e2e/membership.ts";
import { INSTANCE_LENGTH, Sender } from "./e2e/sender.ts";
import type { Device } from "./device.ts";
import { encodeVector, readVector, type Vector } from "./vector_clock.ts";
import type { Post } from "./post.ts";
import type { GroupSeals } from "./group_seals.ts";

/** A device that waits to be let in asks again after so long. */
const ASK_AGAIN_MS = 1_000;
/** The member with the lowest node id answers a newcomer at once, each other one so much later. */
const TURN_MS = 300;

/** Where a device stands in the chain of changes. */
type Position = Pick<Claim, "number" | "epoch">;
const NOWHERE: Position = { number: 0, epoch: "" };

export interface KeeperEvents {
  /** We speak in this epoch from now on. */
  entered(number: number): void;
  presence(node: string, online: boolean): void;
  /** A member said what it has. */
  announced(node: Bytes, vector: Vector): Promise<void>;
  removed(): void;
}

export class Keeper {
  #joined = false;
  #stopAsking: () => void = () => {};
  /** Members that are here, and what they last said they have. */
  readonly present = new Map<string, Vector>();

  constructor(
    private readonly device: Device,
    private readonly post: Post,
    private readonly seals: GroupSeals,
    private readonly collections: readonly string[] | undefined,
    private readonly events: KeeperEvents,
  ) {}

  /** The relay has let us into the room. */
  async arrive(): Promise<void> {
    this.#joined = true;
    if (this.device.group.roster) await this.enter();
    else await this.#askToJoin();
  }

  /** A Handshake that the relay shows us. */
  async meet(handshake: Handshake): Promise<void> {
    const node = hex(handshake.node);
    if (node === this.device.node) return;
    this.post.begin(node);
    this.post.shown.add(node);
    if (handshake.capabilities & Capability.compression) this.post.zstd.add(node);
    else this.post.zstd.delete(node);
    const { group } = this.device;
    const claim = readClaim(handshake);
    // Those who were here before us may have gone on since they said this: they answer our announce.
    if (!this.#joined || !group.roster || !claim) return;
    const epoch = group.epochNamed(claim.epoch);
    if (!epoch) return await this.#differs(handshake.node, claim);
    if (!await claimHolds(claim, handshake, epoch)) {
      throw new ClientError("NOT_A_MEMBER", `the Handshake of ${node} is not as a member made it`);
    }
    if (!group.has(handshake.node)) return await this.#farewell(handshake.node);
    this.#arrived(node);
    if (epoch !== group.epoch) return await this.#differs(handshake.node, claim);
    if (!this.post.again(`announce ${node}`)) await this.announce(handshake.node);
  }

  gone(node: string): void {
    this.post.begin(node);
    this.post.here.delete(node);
    this.post.shown.delete(node);
    this.post.zstd.delete(node);
    if (this.present.delete(node)) this.events.presence(node, false);
  }

  /** Makes a change, tells everybody who is here, and goes on in the new epoch. */
  async change(action: Action): Promise<void> {
    const { group } = this.device;
    const before = [...(group.roster?.devices.values() ?? [])];
    const { number, parent } = await group.change(action);
    await this.device.saver.flush();
    const from = { number: number - 1, epoch: hex(parent.subarray(0, EPOCH_ID_LENGTH)) };
    for (const card of before) {
      if (hex(card.node) === this.device.node) continue;
      await this.#tellChange(card, from);
    }
    await this.enter();
  }

  /** Begins to speak in the epoch in force. */
  async enter(): Promise<void> {
    const { epoch } = this.device.group;
    if (!epoch) return;
    await this.seals.draw();
    this.#forgetStrangers();
    this.events.entered(epoch.number);
    if (!this.#joined) return;
    if (this.collections) {
      const names = this.collections.map(utf8Bytes);
      const tags = await Promise.all(names.map((name) => epoch.tag(name)));
      this.post.send({ type: FrameType.subscribe, payload: encodeTags(tags) });
    }
    await this.announce();
  }

  /** Maps our hints to us, and says what we have: to everybody, or to one device. */
  async announce(node?: Uint8Array): Promise<void> {
    for (const body of await this.seals.announces(encodeVector(this.device.vector))) {
      if (node) this.post.toDevice(node, Subtype.announce, body);
      else this.post.toEverybody(Subtype.announce, body);
    }
  }

  /** A frame between devices that belongs here. False: it is something else. */
  async take(code: number, body: Bytes, from: Uint8Array | undefined): Promise<boolean> {
    if (code === Subtype.announce) await this.#announced(body);
    else if (code === Subtype.epochPackage) await this.#package(body, from);
    else if (code === Subtype.roster) await this.#asked(body, from);
    else if (code === Subtype.joinRequest) await this.#asksToJoin(decodeJoinRequest(body));
    else return false;
    return true;
  }

  /** `12`, number u32, epoch id 8: send me what followed, and announce yourself. */
  ask(node?: Uint8Array): void {
    const { epoch } = this.device.group;
    if (this.post.again(`ask ${node ? hex(node) : "all"} ${epoch?.name}`)) return;
    const number = new Writer(4).u32(epoch?.number ?? 0).finish();
    const body = concat(number, epoch?.id ?? new Uint8Array(EPOCH_ID_LENGTH));
    if (node) this.post.toDevice(node, Subtype.roster, body);
    else this.post.toEverybody(Subtype.roster, body);
  }

  async #asked(body: Bytes, from: Uint8Array | undefined): Promise<void> {
    const { group } = this.device;
    const r = new Reader(body);
    const position = { number: r.u32(), epoch: hex(r.bytes(EPOCH_ID_LENGTH)) };
    r.end();
    if (!group.epoch) return;
    if (from && position.epoch !== group.epoch.name) await this.#differs(from, position);
    if (!this.post.again(`announce ${from ? hex(from) : "all"}`)) await this.announce(from);
  }

  // A device in another epoch: it lacks changes that we have, or we lack some, or both.
  async #differs(node: Uint8Array, position: Position): Promise<void> {
    const { group } = this.device;
    const card = group.card(node);
    if (card) await this.#sendPackage(card, position);
    if (position.number >= group.roster!.tip.number) this.ask(node);
  }

  #arrived(node: string, vector?: Vector): boolean {
    const before = this.present.get(node);
    this.present.set(node, vector ?? before ?? new Map());
    if (!before) this.events.presence(node, true);
    return before === undefined;
  }

  #forgetStrangers(): void {
    for (const node of [...this.present.keys()]) {
      if (this.device.group.roster!.devices.has(node)) continue;
      this.present.delete(node);
      this.events.presence(node, false);
    }
  }

  /** Asks to be let in, again and again until somebody does. */
  async #askToJoin(): Promise<void> {
    this.#stopAsking();
    this.post.toEverybody(Subtype.joinRequest, await this.device.group.request());
    this.#stopAsking = this.post.later(ASK_AGAIN_MS, () => this.#askToJoin());
  }

  async #asksToJoin(request: JoinRequest): Promise<void> {
    const { group } = this.device;
    const admission = group.roster && group.admissionNamed(request.name);
    if (!admission) return;
    const card = await admission.open(request);
    const before = [...this.present.keys()].filter((node) =>
      node < this.device.node && node !== hex(card.node)
    );
    if (before.length === 0 || admission.once) return await this.#admit(admission, card, request);
    this.post.later(before.length * TURN_MS, async () => {
      // Unless somebody else was quicker.
      if (!group.has(card.node)) await this.#admit(admission, card, request);
    });
  }

  async #admit(admission: AdmissionKey, card: Card, { salt }: JoinRequest): Promise<void> {
    const { group } = this.device;
    const node = hex(card.node);
    if (!group.admits(admission, node)) {
      throw new ClientError("NOT_ADMITTED", "the invitation was used, or has expired");
    }
    this.post.here.add(node);
    if (!group.has(card.node)) {
      group.use(admission, node);
      await this.change({ kind: "add", card });
    } else if (this.post.again(`admit ${node}`)) {
      return;
    }
    const body = await group.wrap(card, NOWHERE, { admission, salt });
    this.post.toDevice(card.node, Subtype.epochPackage, body);
  }

  async #tellChange(card: Card, from: Position): Promise<void> {
    const { group } = this.device;
    if (!group.has(card.node)) return await this.#farewell(card.node, card);
    if (!this.post.here.has(hex(card.node))) return;
    this.post.toDevice(card.node, Subtype.epochPackage, await group.wrap(card, from));
  }

  /** A device that was removed is told, without a secret. */
  async #farewell(node: Uint8Array, card = this.device.group.formerCard(node)): Promise<void> {
    if (!card || !this.post.here.has(hex(node))) return;
    this.post.toDevice(node, Subtype.epochPackage, await this.device.group.wrapFarewell(card));
  }

  async #sendPackage(card: Card, from: Position): Promise<void> {
    const { group } = this.device;
    if (this.post.again(`package ${hex(card.node)} ${from.epoch} ${group.epoch?.name}`)) return;
    this.post.toDevice(card.node, Subtype.epochPackage, await group.wrap(card, from));
  }

  async #package(body: Bytes, from: Uint8Array | undefined): Promise<void> {
    const { group, saver } = this.device;
    const { kind, roster } = await group.adopt(body);
    switch (kind) {
      case "adopted":
        this.#stopAsking();
        await saver.flush();
        await this.enter();
        for (const action of group.takeLost()) await this.change(action);
        return;
      case "refused": {
        const card = from && roster.devices.get(hex(from));
        if (!card) return;
        if (group.has(card.node)) await this.#sendPackage(card, NOWHERE);
        else if (!this.post.again(`farewell ${hex(card.node)}`)) {
          await this.#farewell(card.node, card);
        }
        return;
      }
      case "removed":
        return this.events.removed();
      case "orphaned":
        // The branch that let us in lost. Whoever let us in does it again; asking hurries it up.
        if (!this.post.again("orphaned")) await this.#askToJoin();
    }
  }

  async #announced(body: Bytes): Promise<void> {
    const { group } = this.device;
    const r = new Reader(body);
    const name = hex(r.bytes(EPOCH_ID_LENGTH));
    const node = r.bytes(NODE_ID_LENGTH).slice();
    const instance = r.bytes(INSTANCE_LENGTH);
    const sealed = r.rest();
    if (!group.roster || sameBytes(node, fromHex(this.device.node))) return;
    this.post.here.add(hex(node));
    const number = group.numberOf(name);
    if (number === undefined) return this.ask(node);
    const card = group.card(node);
    if (!card) {
      await this.#farewell(node);
      throw new ClientError("NOT_A_MEMBER", "an announce of a device that is not in the group");
    }
    if (number < group.roster.tip.number) await this.#sendPackage(card, { number, epoch: name });
    const epoch = group.epochNamed(name);
    if (!epoch) return;
    const sender = await Sender.of(epoch, node, instance, group.database);
    const vector = readVector(new Reader(await this.seals.openAnnounce(sender, sealed)));
    const isNew = this.#arrived(hex(node), vector);
    // It may not have heard ours.
    if (isNew && !this.post.again(`announce ${hex(node)}`)) await this.announce(node);
    await this.events.announced(node, vector);
  }
}
