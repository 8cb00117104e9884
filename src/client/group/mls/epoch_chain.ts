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
import { isInPlace, type LogPlace } from "./commit_place.ts";
import { placeOfCommit } from "./commit_rules.ts";
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

/**
 * What a message (MLSMessage) in the log of the epoch that ends is, read at `place`:
 *
 * - `step`: the commit that began the next epoch, wherever it stands.
 * - `other`: another commit that was made here, and so may have been what ended the epoch.
 * - `nothing`: anything else; also another commit that was appended again.
 */
export async function judgeStep(
  message: Bytes,
  place: LogPlace,
  step: EpochStep,
): Promise<"step" | "other" | "nothing"> {
  const read = readPublicMessage(message);
  if (read?.content.contentType !== "commit" || read.auth.contentType !== "commit") {
    return "nothing";
  }
  const { content, auth } = read;
  const { suite: { hash }, from, to } = step;
  const input = { wireformat: "mls_public_message", content, signature: auth.signature } as const;
  const confirmed = await createConfirmedHash(from.interim, input, hash);
  const tag = auth.confirmationTag;
  const interim = await createInterimHash(confirmed, tag, hash);
  const goesOn = interim.length === to.interim.length && timingSafeEqual(interim, to.interim);
  if (goesOn && await verifyConfirmationTag(to.confirmationKey, tag, confirmed, hash)) {
    return "step";
  }
  try {
    return isInPlace(placeOfCommit(message), place) ? "other" : "nothing";
  } catch {
    return "nothing";
  }
}

const own = (bytes: Uint8Array): Bytes => bytes.slice();
