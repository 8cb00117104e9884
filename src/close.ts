/**
 * Why the relay refuses something: a number, a word, and whether to come back. The numbers are close
 * codes of WebSocket (RFC 6455, 7.4); the private ones borrow their last digits from HTTP. A Blaze
 * Error frame carries the same number, also for a fault that leaves the link open.
 *
 * @module
 */

export interface Fault {
  readonly code: number;
  readonly word: string;
  /** What to do, in a sentence. */
  readonly help: string;
}

/**
 * What a client does after a close that it did not ask for.
 *
 * - `soon`: comes back within a second, then later and later.
 * - `later`: comes back after seconds, then minutes: just now the same would happen again.
 * - `renamed`: comes back soon under another node id. Where the id says who the device is, as in a
 *   group, it comes back later, with the same.
 * - `never`: the same credentials are refused again, and somebody has to bring others.
 */
export type Return = "soon" | "later" | "renamed" | "never";

/** A fault that ends the link. */
export interface CloseFault extends Fault {
  readonly comeBack: Return;
}

const fault = <Word extends string>(code: number, word: Word, help: string) =>
  ({ code, word, help }) as const satisfies Fault;

const ends = <Word extends string>(code: number, word: Word, comeBack: Return, help: string) =>
  ({ code, word, comeBack, help }) as const satisfies CloseFault;

/**
 * Faults that end the link. Only `never` is final: any other word may come from a relay that is broken
 * or hostile for a moment, and must not keep a device away for good.
 */
export const Close = {
  normal: ends(1000, "normal", "soon", "The conversation is over."),
  goingAway: ends(1001, "going_away", "soon", "The other end went away; connect again."),
  text: ends(1003, "text_message", "later", "Send binary messages only."),
  tooLarge: ends(1009, "too_large", "later", "Send smaller messages; see GET /limits."),
  internal: ends(1011, "internal_error", "soon", "The relay failed at this; connect again."),
  restarting: ends(1012, "restarting", "soon", "The relay restarts; connect again."),
  badFrame: ends(4400, "bad_frame", "later", "The bytes do not follow the protocol."),
  unauthorized: ends(4401, "unauthorized", "never", "Bring a valid token."),
  forbidden: ends(4403, "forbidden", "never", "The token does not allow this."),
  noHandshake: ends(4408, "no_handshake", "soon", "Send the Handshake in time; see GET /limits."),
  nodeTaken: ends(4409, "node_taken", "renamed", "Another user holds this node id."),
  partnerLeft: ends(4410, "partner_left", "soon", "Connect again to meet another device."),
  replaced: ends(4411, "replaced", "renamed", "A newer connection of this node took over."),
  notConfirmed: ends(4424, "not_confirmed", "later", "Nobody there said yes to the code."),
  tooFast: ends(4429, "too_fast", "soon", "Send less; see GET /limits."),
  tooSlow: ends(4431, "too_slow", "soon", "You read too slowly; connect again and catch up."),
} as const;

/** Faults that are answered on a Blaze link, which stays open. */
export const Refused = {
  noPartner: fault(4404, "no_partner", "Nobody to pass this to yet; wait for the Ack."),
  notAllowed: fault(4405, "not_allowed", "This frame is not allowed here."),
  noLog: fault(4406, "no_log", "No log of this id and key."),
  badPayload: fault(4422, "bad_payload", "The payload does not follow its format."),
  readOnly: fault(4423, "read_only", "The token allows reading only."),
  logFailed: fault(4503, "log_failed", "The relay's store failed; open the log again."),
  mailboxFull: fault(4507, "mailbox_full", "The log is full; upload a checkpoint, and truncate."),
} as const;

/** What a client does that was closed with this code. Unknown codes, and 1006: soon. */
export const comeBack = (code: number): Return =>
  Object.values(Close).find((one) => one.code === code)?.comeBack ?? "soon";
