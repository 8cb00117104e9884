/**
 * WebSocket subprotocols of the relay. A browser can send no header with an upgrade, so a token
 * travels as a second subprotocol; the server answers with the first, since a browser refuses an
 * upgrade that echoes nothing, and never with the token.
 *
 * @module
 */

export const SUBPROTOCOL = "blaze-relay";
/** Followed by the token. */
export const TOKEN_PREFIX = "bearer.";

/** What a client offers. */
export const subprotocols = (token?: string): string[] =>
  token === undefined ? [SUBPROTOCOL] : [SUBPROTOCOL, TOKEN_PREFIX + token];
