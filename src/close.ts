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
  /** Whether the same client may try again: with `false` it would be refused the same way. */
  readonly retry: boolean;
  /** What to do, in a sentence. */
  readonly help: string;
}

const fault = <Word extends string>(code: number, word: Word, retry: boolean, help: string) =>
  ({ code, word, retry, help }) as const satisfies Fault;

/** Faults that end the link. */
export const Close = {
  normal: fault(1000, "normal", false, "The conversation is over."),
  goingAway: fault(1001, "going_away", true, "The other end went away; connect again."),
  text: fault(1003, "text_message", false, "Send binary messages only."),
  tooLarge: fault(1009, "too_large", false, "Send smaller messages; see GET /limits."),
  internal: fault(1011, "internal_error", true, "The relay failed at this; connect again."),
  restarting: fault(1012, "restarting", true, "The relay restarts; connect again."),
  badFrame: fault(4400, "bad_frame", false, "The bytes do not follow the protocol."),
  unauthorized: fault(4401, "unauthorized", false, "Bring a valid token."),
  forbidden: fault(4403, "forbidden", false, "The token does not allow this."),
  noHandshake: fault(4408, "no_handshake", true, "Send the Handshake in time; see GET /limits."),
  nodeTaken: fault(4409, "node_taken", false, "Another user holds this node id; draw a new one."),
  partnerLeft: fault(4410, "partner_left", true, "Connect again to meet another device."),
  replaced: fault(4411, "replaced", false, "A newer connection of this node took over."),
  tooFast: fault(4429, "too_fast", true, "Send less; see GET /limits."),
  tooSlow: fault(4431, "too_slow", true, "You read too slowly; connect again and catch up."),
} as const;

/** Faults that are answered on a Blaze link, which stays open. */
export const Refused = {
  noPartner: fault(4404, "no_partner", true, "Nobody to pass this to yet; wait for the Ack."),
  notAllowed: fault(4405, "not_allowed", false, "This frame is not allowed here."),
  badPayload: fault(4422, "bad_payload", false, "The payload does not follow its format."),
  readOnly: fault(4423, "read_only", false, "The token allows reading only."),
} as const;

/** Whether a client that was closed with this code may try again. Unknown codes: yes. */
export function mayRetry(code: number): boolean {
  const known = Object.values(Close).find((one) => one.code === code);
  return known?.retry ?? true;
}
