/**
 * What can go wrong at a device that is not a matter of bytes: a code for programs, and for people what
 * happened and what to do. (Bytes that do not follow their format are a {@linkcode WireError}.)
 *
 * @module
 */
import { WireError } from "../wire/bytes.ts";

/** Every code, and what to do about it. */
export const CLIENT_ERRORS = {
  AUTH_FAILED: "It was left out; whoever sent it does not hold the key.",
  BAD_ADDRESS: "Give one with ws://, wss://, http:// or https://.",
  BAD_COMMIT: "It was left out; look at the device that made it.",
  BAD_COUNTER: "It was left out; look at the device that sent it.",
  BAD_INVITATION: "Copy the whole text once more, from the first letter to the last.",
  BAD_KNOCK: "It was left out; if somebody waits outside, give them a new invitation.",
  BAD_NAME: "Choose another one.",
  BAD_SIGNATURE: "It was left out; whoever sent it is not who it claims to be.",
  BAD_WELCOME: "It was left out; if no other comes, ask for a new invitation.",
  CHECKPOINT_DIFFERS: "Both are merged, so nothing is lost; look at the device that made it.",
  CODE_REFUSED: "Begin again on both devices, and compare once more.",
  CODE_WITHHELD: "If it goes on, somebody guesses codes: say yes to none until it has stopped.",
  COMMITMENT_BROKEN: "Connect again; if it happens twice, somebody sits between the devices.",
  COMMITMENT_MISSING: "Connect again; if it happens twice, somebody sits between the devices.",
  CONFIRM_FAILED: "Mend `confirm`; until then it is a no.",
  GROUP_EXISTS: "Open it, or bring an empty storage.",
  GROUP_FULL: "Remove a device first.",
  HINT_TAKEN: "It was left out; its device draws another one by itself.",
  ID_TAKEN: "It was left out; its device gives it another number.",
  INVALID_POINT: "It was left out; it is no key.",
  INVITATION_VOID: "Make another one for whoever has the old text.",
  KEY_WORN_OUT: "Connect again for a new key.",
  LOG_FAILED: "It is tried again; look at the relay's disk.",
  LOG_INCOMPLETE: "A checkpoint brings what is missing, when a device that has it comes.",
  LOG_HOLE: "It was left out; the relay keeps something back.",
  MAILBOX_FULL:
    "It is tried again. Give the relay more room; a checkpoint frees some, a day later.",
  MUTUAL_REMOVAL: "People decide who stays: make a new group with the devices that are yours.",
  NAME_LENGTH: "Choose a shorter name.",
  NOBODY_HERE: "Try again when another device is online.",
  NOT_ACCEPTED: "Say yes to it with `sponsor`, or leave it out.",
  NOT_ADMITTED: "Whoever wants to come in needs a new invitation.",
  NOT_AGREED: "It was left out; whoever sent it does not hold the key.",
  NOT_ASKED: "It was left out.",
  NOT_A_CLIENT: "It was left out; whoever introduced it made it up.",
  NOT_A_MEMBER: "It was left out; add the device, or ask for an invitation.",
  NOT_COMMITTED: "Use an SDK on both devices.",
  NOT_CONFIRMED: "It was left out; say yes to its code first.",
  NOT_PAIRED: "Wait for `ready`.",
  NOT_SEALED: "It was left out; let the source seal it, or watch without `required`.",
  NO_ANSWER: "Try again later.",
  NO_CONFIRM: 'Bring `confirm`, or say `trust: "first"`.',
  NO_GROUP: "Bring an invitation, or make a group.",
  NO_KEY: "Wait for `ready`.",
  NO_LOG: "Start the relay with a store, or use another one.",
  NO_ZSTD: "Serve zstd.wasm beside the bundle; until it loads, what came compressed waits.",
  OFFLINE: "Wait; the link comes back by itself.",
  OLD_EPOCH: "It was left out; its sender has not heard yet that the group has changed.",
  OTHER_GROUP: "Bring the storage of this group, or an empty one.",
  OWN_COPY: "Give each device a storage of its own.",
  OWN_DEVICE: "Let another device remove this one.",
  PARTNER_LEFT: "Begin again on both devices.",
  PLAINTEXT_AFTER_KEY: "It was left out; whoever sent it does not hold the key.",
  QUEUE_FULL: "Wait until what is there is sent, or allow more with `offline`.",
  READ_ONLY: "Bring a token that may write.",
  REFLECTED: "It was left out; whoever sends it back sits between the devices.",
  REMOVED: "Ask for an invitation, if that was a mistake.",
  SECOND_ACK: "It was left out; connect again to meet another device.",
  STORAGE_BROKEN: "It was left as it is: bring a backup, or an empty one and a new invitation.",
  STORAGE_FAILED: "Make room, or mend the storage; it is tried again with the next change.",
  STORAGE_HELD: "Close it there; this one goes on by itself then.",
  TOO_LARGE: "Split it.",
  TOO_MANY: "Wait until one was used or has expired.",
  TWO_PASTS: "Do not trust this relay: it tells devices different things.",
  UNKNOWN_EPOCH: "It was left out; it opens once this device has caught up.",
  UNKNOWN_SENDER: "It was left out; its device brings it again, or a checkpoint does.",
  UNSIGNED: "It was left out; this group takes signed operations only.",
  VERIFY_FAILED: "Connect again; if it happens twice, somebody sits between the devices.",
} as const;

export type ClientErrorCode = keyof typeof CLIENT_ERRORS;

export class ClientError extends Error {
  override readonly name = "ClientError";

  /** `detail`: what happened, in words without an end. */
  constructor(readonly code: ClientErrorCode, detail: string) {
    super(`${code}: ${detail}. ${CLIENT_ERRORS[code]}`);
  }
}

/** What a frame of somebody else's made us throw, as a fault of that frame. */
export interface ClientFault {
  readonly code: string;
  readonly message: string;
}

/**
 * The fault in what was thrown, whatever that is: `UNEXPECTED` for what is neither about bytes nor a
 * {@linkcode ClientError}. A frame that finds a mistake of ours must not end the program.
 */
export function faultOf(error: unknown): ClientFault {
  if (error instanceof WireError || error instanceof ClientError) {
    return { code: error.code, message: error.message };
  }
  return { code: "UNEXPECTED", message: error instanceof Error ? `${error}` : typeof error };
}
