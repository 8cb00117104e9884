/**
 * Which commit began an epoch, for who was not there: the transcript of MLS goes on from one commit to
 * the next (RFC 9420, 8.2), and each commit's tag confirms it with a key of the epoch that it begins
 * (8.1).
 *
 * @module
 */
import { verifyConfirmationTag } from "ts-mls/framedContent.js";
import { createConfirmedHash, createInterimHash } from "ts-mls/transcriptHash.js";
import { timingSafeEqual } from "deno-std/crypto/timing_safe_equal.js";
import type { Bytes } from "../../../wire/bytes.ts";
import type { EpochWitness } from "./carry.ts";
import { type CommitPlace, decodeCommitPlace, isInPlace, type LogPlace } from "./commit_place.ts";
import type { EpochView } from "./epoch_view.ts";
import { readPublicMessage } from "./mls_message.ts";
import type { GroupSuite } from "./webcrypto_provider.ts";

/** What this member can show of its epoch to newcomers. */
export async function witnessOf({ state, suite }: EpochView): Promise<EpochWitness> {
  const { groupContext, confirmationTag, keySchedule } = state;
  const { confirmedTranscriptHash } = groupContext;
  const interim = await createInterimHash(confirmedTranscriptHash, confirmationTag, suite.hash);
  return { interim: own(interim), confirmationKey: own(keySchedule.confirmationKey) };
}

/** The step from an epoch to the next. */
export interface EpochStep {
  readonly suite: GroupSuite;
  /** The epoch that ends: its interim transcript hash is where the next one's begins. */
  readonly from: Pick<EpochWitness, "interim">;
  readonly to: EpochWitness;
}

/** A commit in the log of the epoch that it would end, as far as somebody sees who is not in it. */
export interface CommitOutline {
  /** Number of the epoch that it says it is of. */
  readonly epoch: bigint;
  /** It stands where its author has made it. */
  readonly inPlace: boolean;
  /** The entry before it. */
  readonly behind: bigint;
  /** For its author the epoch was in doubt (rule 12). */
  readonly doubt: boolean;
  /** Leaves of the tree. */
  readonly author: number;
  readonly removes: readonly number[];
}

export interface SeenCommit extends CommitOutline {
  /** It began the next epoch. */
  readonly isStep: boolean;
}

/** What a message (MLSMessage) says that was read at `place`; nothing where it is no commit of a member. */
export function outlineOf(message: Bytes, place: LogPlace): CommitOutline | undefined {
  const content = readPublicMessage(message)?.content;
  if (content?.contentType !== "commit" || content.sender.senderType !== "member") return undefined;
  const made = tryPlaceOf(content.authenticatedData);
  if (!made) return undefined;
  const removes = content.commit.proposals.flatMap((entry) =>
    entry.proposalOrRefType === "proposal" && entry.proposal.proposalType === "remove"
      ? [entry.proposal.remove.removed]
      : []
  );
  const { epoch, sender: { leafIndex: author } } = content;
  const inPlace = isInPlace(made, place);
  return { epoch, inPlace, behind: place.sequence, doubt: made.doubt, author, removes };
}

/** The same, and whether it is the step. Nothing else of it is checked. */
export async function seeCommit(
  message: Bytes,
  place: LogPlace,
  { suite: { hash }, from, to }: EpochStep,
): Promise<SeenCommit | undefined> {
  const outline = outlineOf(message, place);
  const read = readPublicMessage(message);
  if (!outline || read?.content.contentType !== "commit") return undefined;
  const { content, auth } = read;
  if (auth.contentType !== "commit") return undefined;
  const input = { wireformat: "mls_public_message", content, signature: auth.signature } as const;
  const confirmed = await createConfirmedHash(from.interim, input, hash);
  const tag = auth.confirmationTag;
  const interim = await createInterimHash(confirmed, tag, hash);
  const goesOn = interim.length === to.interim.length && timingSafeEqual(interim, to.interim);
  const isStep = goesOn && await verifyConfirmationTag(to.confirmationKey, tag, confirmed, hash);
  return { ...outline, isStep };
}

/**
 * Whether everybody follows the step who sees these in the log: none of them stands where it was made
 * before the step does; and of those that were appended again, or compete with one that was, none was
 * made without doubt, and none removes the step's author. Where members would weigh more (rule 12), who
 * is outside cannot, and does not go with it.
 */
export const prevails = (step: CommitOutline, others: readonly CommitOutline[]): boolean =>
  others.filter(({ epoch }) => epoch === step.epoch).every((other) =>
    step.inPlace && other.inPlace
      ? step.behind < other.behind
      : !step.doubt && other.doubt && !other.removes.includes(step.author)
  );

function tryPlaceOf(authenticatedData: Uint8Array): CommitPlace | undefined {
  try {
    return decodeCommitPlace(authenticatedData);
  } catch {
    return undefined;
  }
}

const own = (bytes: Uint8Array): Bytes => bytes.slice();
