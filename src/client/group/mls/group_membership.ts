/**
 * The membership of one device in one epoch of a group: MLS (RFC 9420), and the rules of
 * `docs/protocol/group.md` on top of it. Nothing here changes: a commit leads to another
 * membership.
 *
 * @module
 */
import { createGroup, decodeGroupState, encodeGroupState } from "ts-mls/clientState.js";
import { type Bytes, concat, hex, Reader, utf8Bytes, WireError } from "../../../wire/bytes.ts";
import { type Carry, epochSecretOf, type EpochWitness } from "./carry.ts";
import type { CommitPlace, LogPlace } from "./commit_place.ts";
import { type CommitOutcome, judgeCommit } from "./commit_judge.ts";
import { type CommitDraft, type GroupChange, prepareCommit } from "./commit_maker.ts";
import { nodeOfKey } from "./credential.ts";
import { witnessOf } from "./epoch_chain.ts";
import { type EpochView, type GroupPeer, viewOf } from "./epoch_view.ts";
import { encodeGroupData, type GroupData } from "./group_data.ts";
import { type DeviceKeys, drawKeyPackage } from "./key_package.ts";
import { DATA_EXTENSION, groupConfig } from "./leaf_rules.ts";
import { mlsSuite, P256_SUITE, XWING_SUITE } from "./webcrypto_provider.ts";

const SAVED = 1;

export interface NewGroup {
  /** 16 bytes. */
  readonly group: Bytes;
  /** This device's name, for people. */
  readonly name: string;
  /** Whether operations are signed. */
  readonly signed: boolean;
  readonly postQuantum: boolean;
}

/** A commit that this device made, and where it leads. */
export interface PreparedCommit extends Pick<CommitDraft, "message" | "welcome"> {
  readonly next: GroupMembership;
}

/** What a commit of another device does, and where it leads. */
export interface JudgedCommit extends Omit<CommitOutcome, "next"> {
  /** Missing where this device is removed, or its leaf replaced by a rejoin. */
  readonly next: GroupMembership | undefined;
}

export class GroupMembership {
  readonly #view: EpochView;
  readonly #byNode: ReadonlyMap<string, GroupPeer>;
  #secret: Promise<Bytes> | undefined;

  constructor(view: EpochView) {
    this.#view = view;
    this.#byNode = new Map(view.peers.map((peer) => [hex(peer.node), peer]));
  }

  /** A new group with this device alone in it. Throws `NAME_LENGTH`. */
  static async create({ group, name, signed, postQuantum }: NewGroup): Promise<GroupMembership> {
    const suite = await mlsSuite(postQuantum ? XWING_SUITE : P256_SUITE);
    const { publicPackage, privatePackage } = await drawKeyPackage(suite, name, Date.now());
    const node = await nodeOfKey(publicPackage.leafNode.signaturePublicKey);
    const data = encodeGroupData({ signed, removed: [], members: [node], invitations: [] });
    const state = await createGroup(
      group.slice(),
      publicPackage,
      privatePackage,
      [{ extensionType: DATA_EXTENSION, extensionData: data }],
      suite,
      groupConfig,
    );
    return new GroupMembership(viewOf(suite, state));
  }

  /** What {@linkcode save} gave. Throws `BAD_STATE` and others for anything else. */
  static async restore(bytes: Uint8Array): Promise<GroupMembership> {
    const r = new Reader(bytes);
    if (r.u8() !== SAVED) throw new WireError("BAD_STATE", 0, "another version");
    const saved = r.rest().slice();
    const [state, length] = decodeGroupState(saved, 0) ?? [];
    const name = state?.groupContext.cipherSuite;
    if (!state || length !== saved.length || (name !== P256_SUITE && name !== XWING_SUITE)) {
      throw new WireError("BAD_STATE", 1);
    }
    return new GroupMembership(viewOf(await mlsSuite(name), state));
  }

  /** Everything, private keys included: for this device's own storage and nobody else. */
  save(): Bytes {
    return concat(Uint8Array.of(SAVED), encodeGroupState(this.#view.state));
  }

  /** 16 bytes. */
  get group(): Bytes {
    return this.#view.group;
  }

  /** Of the epoch: 0 for a new group. */
  get number(): bigint {
    return this.#view.state.groupContext.epoch;
  }

  get data(): GroupData {
    return this.#view.data;
  }

  get self(): GroupPeer {
    return this.#view.self;
  }

  get postQuantum(): boolean {
    return this.#view.suite.name === XWING_SUITE;
  }

  /** What this device is to the library: for this folder and its tests. */
  get view(): EpochView {
    return this.#view;
  }

  /** All members, this device too; the longest one first. */
  peers(): readonly GroupPeer[] {
    return this.#view.peers;
  }

  /** The member of a node id, as bytes or as hex. */
  peer(node: Uint8Array | string): GroupPeer | undefined {
    return this.#byNode.get(typeof node === "string" ? node : hex(node));
  }

  /** 32 bytes: all keys of the epoch's payloads come from them. */
  epochSecret(): Promise<Bytes> {
    const { confirmationKey } = this.#view.state.keySchedule;
    return this.#secret ??= epochSecretOf(confirmationKey, this.group);
  }

  /** What shows newcomers which commit began this epoch. */
  witness(): Promise<EpochWitness> {
    return witnessOf(this.#view);
  }

  /** This device's signature of label ‖ group id ‖ node ‖ message: 64 bytes. */
  sign(label: string, message: Uint8Array): Promise<Bytes> {
    const { suite, state, self } = this.#view;
    return suite.signRaw(state.signaturePrivateKey, this.#signed(label, self.node, message));
  }

  /** Whether a member signed this with this label. */
  async verify(
    label: string,
    node: Uint8Array | Pick<GroupPeer, "node" | "signKey">,
    signature: Uint8Array,
    message: Uint8Array,
  ): Promise<boolean> {
    const peer = node instanceof Uint8Array ? this.peer(node) : node;
    if (!peer || signature.length !== 64) return false;
    const signed = this.#signed(label, peer.node, message);
    return await this.#view.suite.verifyRaw(peer.signKey, signature, signed);
  }

  #signed(label: string, node: Uint8Array, message: Uint8Array): Bytes {
    return concat(utf8Bytes(label), this.group, node, message);
  }

  /** What a device that cannot follow any more comes back with: for `GroupNewcomer.draw`. */
  keys(): DeviceKeys {
    const signKey = this.#view.state.signaturePrivateKey.slice();
    return { publicKey: this.self.signKey, signKey };
  }

  /** Makes a commit at this place; see {@linkcode prepareCommit} for what it throws. */
  async prepare(change: GroupChange, place: CommitPlace, carry: Carry): Promise<PreparedCommit> {
    const { next, ...draft } = await prepareCommit(this.#view, change, place, carry);
    return { ...draft, next: new GroupMembership(next) };
  }

  /** Judges a commit of another device that was read at this place. Throws `BAD_COMMIT`. */
  async judge(message: Uint8Array, place: LogPlace): Promise<JudgedCommit> {
    const { next, ...judged } = await judgeCommit(this.#view, message, place);
    return { ...judged, next: next && new GroupMembership(next) };
  }
}
