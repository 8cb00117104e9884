/**
 * Judges the commit of another member: first by the rules of `docs/protocol/group.md`, then by MLS.
 *
 * All members have to come to the same judgement, so it depends on the bytes, the epoch and the
 * head alone: no clock is asked. What has to do with time (whether an invitation has expired) is
 * for the member that admits.
 *
 * @module
 */
import {
  applyProposals,
  throwIfDefined,
  validateLeafNodeUpdateOrCommit,
} from "ts-mls/clientState.js";
import type { KeyPackage } from "ts-mls/keyPackage.js";
import type { LeafNodeCommit } from "ts-mls/leafNode.js";
import { unprotectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import { MlsError } from "ts-mls/mlsError.js";
import { processPublicMessage } from "ts-mls/processMessages.js";
import type { PskIndex } from "ts-mls/pskIndex.js";
import { toLeafIndex } from "ts-mls/treemath.js";
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import type { LogPlace } from "./commit_place.ts";
import {
  type ChangeKind,
  checkData,
  checkPath,
  checkPsk,
  dataChange,
  openCommit,
  type OpenedCommit,
  refuseCommit,
  shapeOf,
} from "./commit_rules.ts";
import type { LeafIdentity } from "./credential.ts";
import { GroupDoor } from "./door.ts";
import { type EpochView, type GroupPeer, viewOf } from "./epoch_view.ts";
import {
  afterAdd,
  afterRemove,
  decodeGroupData,
  encodeGroupData,
  type GroupData,
  MAX_MEMBERS,
} from "./group_data.ts";
import { flawOfKeyPackage, identityOf } from "./leaf_rules.ts";

/** What a commit does. */
export interface Judgement {
  readonly kind: ChangeKind;
  /** Who comes in: with `rejoin` a member that is there already. */
  readonly added?: LeafIdentity;
  /** The door that it came in by. */
  readonly door?: GroupDoor;
  /** Nodes that are removed for good. */
  readonly removed: readonly Bytes[];
}

/** A commit that keeps the rules, as far as they can be checked without its secrets. */
interface Examined {
  readonly opened: OpenedCommit;
  readonly author: GroupPeer;
  readonly change: Judgement;
  /** The group data that follows. */
  readonly data: GroupData;
}

/**
 * What follows from a commit; `next` is missing where it removes this device (or lets it rejoin).
 */
export interface CommitOutcome {
  readonly author: GroupPeer;
  readonly change: Judgement;
  /** It stands where its author put it; or was appended again, in another ring. */
  readonly inPlace: boolean;
  /** For its author the epoch was in doubt. */
  readonly doubt: boolean;
  readonly next: EpochView | undefined;
}

/** A commit of this device itself, whose next state only whoever made it has. */
export class CommitOfOurs extends ClientError {
  /** Node ids in hex. */
  constructor(readonly removed: readonly string[]) {
    super("BAD_COMMIT", "it is this device's own, and what follows is not stored here");
  }
}

/**
 * Judges a commit that was read behind `place`. Throws `BAD_COMMIT`, whatever the bytes are.
 *
 * Of a commit that removes this device, all but the confirmation tag has been checked: the library
 * cannot compute that one without the secrets of the next epoch.
 */
export async function judgeCommit(
  view: EpochView,
  bytes: Uint8Array,
  place: LogPlace,
): Promise<CommitOutcome> {
  try {
    const { opened, author, change, data } = await examineCommit(view, bytes, place);
    const { inPlace, doubt } = opened;
    const { state, suite } = view;
    if (author === view.self) {
      await unprotected(view, opened);
      throw new CommitOfOurs(change.removed.map(hex));
    }
    const psks = doorPsks(change.door);
    if (opened.removes.includes(view.self.leaf)) {
      await checkRemoval(view, opened, psks);
      return { author, change, inPlace, doubt, next: undefined };
    }
    const { newState } = await processPublicMessage(state, opened.message, psks, suite);
    if (newState.groupContext.epoch !== state.groupContext.epoch + 1n) {
      refuseCommit("no epoch ends");
    }
    const next = viewOf(suite, newState);
    checkData(encodeGroupData(next.data), encodeGroupData(data));
    return { author, change, inPlace, doubt, next };
  } catch (error) {
    if (error instanceof CommitOfOurs) throw error;
    if (error instanceof ClientError && error.code === "BAD_COMMIT") throw error;
    // The library's sentences name rules, never secrets.
    refuseCommit(error instanceof MlsError ? `MLS refuses it: ${error.message}` : "it is broken");
  }
}

/** Checks membership tag and signature of a commit. */
const unprotected = ({ state, suite }: EpochView, { message }: OpenedCommit) =>
  unprotectPublicMessage(
    state.keySchedule.membershipKey,
    state.groupContext,
    state.ratchetTree,
    message,
    suite,
  );

/**
 * A commit that takes this device's leaf: membership tag, signatures and proposals are checked. The
 * library would do the same, but it takes a leaf that a rejoin fills again for one that stayed.
 */
async function checkRemoval(
  view: EpochView,
  opened: OpenedCommit,
  psks: PskIndex,
): Promise<void> {
  const { state, suite } = view;
  const { leaf, path } = opened;
  const { groupContext, clientConfig } = state;
  const { content } = await unprotected(view, opened);
  if (content.contentType !== "commit") return refuseCommit("it is no commit");
  const { proposals } = content.commit;
  await applyProposals(state, proposals, toLeafIndex(leaf), psks, false, suite);
  const { leafNode } = path!;
  const { authService } = clientConfig;
  throwIfDefined(
    await validateLeafNodeUpdateOrCommit(
      leafNode as LeafNodeCommit,
      leaf,
      groupContext,
      authService,
      suite.signature,
    ),
  );
}

/** The PSK of this door, and no other. */
export const doorPsks = (door: GroupDoor | undefined): PskIndex => ({
  findPsk: (id) =>
    door && id.psktype === "external" && sameBytes(id.pskId, door.pskId) ? door.psk : undefined,
});

/**
 * All rules that do not need the secrets of the commit. Throws `BAD_COMMIT`, and what else broke.
 */
export async function examineCommit(
  view: EpochView,
  bytes: Uint8Array,
  place: LogPlace,
): Promise<Examined> {
  const { state, suite } = view;
  const opened = openCommit(bytes, state, place);
  const author = memberAt(view, opened.leaf);
  const shape = shapeOf(opened);
  if (opened.path) await checkPath(opened.path, state, opened.leaf, suite);
  const { data, ...change } = await ruleOf(view, opened, shape);
  for (const found of opened.data) checkData(found, encodeGroupData(data));
  return { opened, author, change, data };
}

const memberAt = ({ peers }: EpochView, leaf: number): GroupPeer =>
  peers.find((peer) => peer.leaf === leaf) ?? refuseCommit("it names a leaf that is nobody's");

async function ruleOf(
  view: EpochView,
  opened: OpenedCommit,
  shape: ReturnType<typeof shapeOf>,
): Promise<Judgement & { data: GroupData }> {
  switch (shape) {
    case "rotate":
      return { kind: shape, removed: [], data: view.data };
    case "add":
      return await ruleOfAdd(view, opened);
    case "rejoin":
      return await ruleOfRejoin(view, opened);
    case "remove": {
      const removed = opened.removes.map((leaf) => memberAt(view, leaf).node);
      if (new Set(opened.removes).size !== removed.length) refuseCommit("it removes one twice");
      return { kind: shape, removed, data: afterRemove(view.data, removed) };
    }
    case "data": {
      const { invitations } = readData(opened);
      const data = { ...view.data, invitations };
      const next = view.state.groupContext.epoch + 1n;
      return { kind: dataChange(view.data, data, next), removed: [], data };
    }
  }
}

function readData({ data: [bytes] }: OpenedCommit): GroupData {
  try {
    return decodeGroupData(bytes!);
  } catch {
    return refuseCommit("its group data cannot be read");
  }
}

async function ruleOfAdd(view: EpochView, { adds: [pack], psks: [psk] }: OpenedCommit) {
  const { suite, data, state: { ratchetTree } } = view;
  if (data.members.length >= MAX_MEMBERS) refuseCommit("the group is full");
  const flaw = await flawOfKeyPackage(pack!, suite, data, ratchetTree);
  if (flaw) refuseCommit(`it adds ${flaw}`);
  let door: GroupDoor | undefined;
  for (const { value } of data.invitations) {
    const candidate = await GroupDoor.ofValue(value);
    if (psk!.psktype === "external" && sameBytes(psk!.pskId, candidate.pskId)) door = candidate;
  }
  if (!door) return refuseCommit("its PSK is of no invitation that stands");
  checkPsk(psk!, door.pskId, suite);
  const added = identityOf(pack!.leafNode);
  const kind = "add" as const;
  return { kind, added, door, removed: [], data: afterAdd(data, added.node, door.value) };
}

async function ruleOfRejoin(view: EpochView, opened: OpenedCommit) {
  const { suite, data, group, state: { ratchetTree } } = view;
  const pack: KeyPackage = opened.adds[0]!;
  const again = memberAt(view, opened.removes[0]!);
  const door = await GroupDoor.ofMember(again.seed, group, again.node);
  const flaw = await flawOfKeyPackage(pack, suite, data, ratchetTree, { ...again, door });
  if (flaw) refuseCommit(`it adds ${flaw}`);
  checkPsk(opened.psks[0]!, door.pskId, suite);
  const kind = "rejoin" as const;
  return { kind, added: identityOf(pack.leafNode), door, removed: [], data };
}
