/**
 * A valid commit in the log of an epoch: a way in which that epoch may have ended.
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import type { PlacedContender } from "./branches.ts";
import type { CommitEntry } from "./log_entries.ts";
import type { LogHead } from "../mls/carry.ts";
import type { LogPlace } from "../mls/commit_place.ts";
import { placeOfCommit } from "../mls/commit_rules.ts";
import type { GroupMembership } from "../mls/group_membership.ts";
import { hashOfCommit } from "./past_epochs.ts";

export interface EpochEnd extends PlacedContender {
  readonly frame: Bytes;
  /** The ring in which it was read. */
  readonly ring: Bytes;
  /** The entry before it. */
  readonly bound: LogHead;
  /** Missing where it removes this device. */
  readonly next: GroupMembership | undefined;
  readonly welcome: CommitEntry["welcome"];
}

/** A commit of this device, and where it leads. */
export interface OwnCommit {
  readonly frame: Bytes;
  readonly next: GroupMembership;
}

/**
 * What a commit entry does that was read behind `place`, in the epoch of `state`. Throws `BAD_COMMIT`.
 */
export async function endOf(
  { message, welcome }: CommitEntry,
  frame: Bytes,
  place: LogPlace,
  state: GroupMembership,
  own: readonly OwnCommit[],
): Promise<EpochEnd> {
  const ours = own.find((one) => sameBytes(one.frame, frame));
  const { author, inPlace, doubt, removes, next } = ours
    ? ownEnd(message, place, state, ours.next)
    : await othersEnd(message, place, state);
  const { ring, sequence, hash } = place;
  return {
    author,
    seniority: state.peers().findIndex(({ node }) => hex(node) === author),
    doubt,
    removes,
    hash: await hashOfCommit(message),
    inPlace,
    frame,
    ring,
    bound: { sequence, hash },
    next,
    welcome,
  };
}

async function othersEnd(message: Bytes, place: LogPlace, state: GroupMembership) {
  const { author, change, inPlace, doubt, next } = await state.judge(message, place);
  return { author: hex(author.node), inPlace, doubt, removes: change.removed.map(hex), next };
}

/** Our own were checked when they were made; only where they stand is to be seen. */
function ownEnd(message: Bytes, place: LogPlace, state: GroupMembership, next: GroupMembership) {
  const { ring, sequence, hash, doubt } = placeOfCommit(message);
  const inPlace = sameBytes(ring, place.ring);
  if (inPlace && (sequence !== place.sequence || !sameBytes(hash, place.hash))) {
    throw new ClientError("BAD_COMMIT", "our own commit stands at another place");
  }
  const removes = state.peers().map(({ node }) => hex(node)).filter((node) => !next.peer(node));
  return { author: hex(state.self.node), inPlace, doubt, removes, next };
}

/** The fault that names who removed each other. */
export function mutualRemoval(
  membership: GroupMembership,
  nodes: readonly string[],
): ClientError {
  const names = nodes.map((node) => `${membership.peer(node)?.name ?? "removed"} (${node})`);
  return new ClientError("MUTUAL_REMOVAL", `devices have removed each other: ${names.join(", ")}`);
}
