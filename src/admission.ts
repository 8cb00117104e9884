/**
 * Who may do what: a token comes in, a grant comes out. Tokens never reach a log.
 *
 * @module
 */
import { timingSafeEqual } from "@std/crypto/timing-safe-equal";
import { SUBPROTOCOL, TOKEN_PREFIX } from "./link/subprotocol.ts";
import { utf8Bytes } from "./wire/bytes.ts";

/** Names that a grant covers: all, or these. */
export type Names = "*" | readonly string[];

/** What a token allows. */
export interface Grant {
  /** Who this is: links of one subject may take over each other's node ids. */
  readonly subject: string;
  /** Channels of different tenants never meet. Letters, digits, `.`, `_` and `-`. */
  readonly tenant: string;
  /** Databases to read, and to write. */
  readonly read: Names;
  readonly write: Names;
  /** ECG streams to publish, and to watch. */
  readonly publish: Names;
  readonly watch: Names;
  /** ECG messages to every watcher of the tenant. */
  readonly broadcast: boolean;
  /** When it ends, in milliseconds since 1970; never unless given. */
  readonly expires?: number;
}

export const covers = (names: Names, name: string): boolean =>
  names === "*" || names.includes(name);

/** A refusal, as an HTTP answer. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly message: string;
}

export type Admission = (request: Request) => Grant | Refusal;

const everything: Grant = {
  subject: "owner",
  tenant: "default",
  read: "*",
  write: "*",
  publish: "*",
  watch: "*",
  broadcast: true,
};

/**
 * Everybody may do everything: for a relay that listens on loopback only. Pages of other sites are
 * refused all the same, since a browser lets any page talk to this machine.
 */
export function openAdmission(): Admission {
  return (request) => {
    const origin = request.headers.get("origin");
    if (origin === null || isLocal(origin)) return everything;
    return {
      status: 403,
      message: `Pages of ${origin} may not use a relay without a token. Start it with TOKEN=…`,
    };
  };
}

/** One token that may do everything. */
export function tokenAdmission(token: string): Admission {
  return (request) => {
    const brought = tokenOf(request);
    if (brought === undefined) {
      return {
        status: 401,
        message: "Bring the token: `Authorization: Bearer …`, or as WebSocket subprotocols " +
          `\`${SUBPROTOCOL}\` and \`${TOKEN_PREFIX}…\`.`,
      };
    }
    if (!sameSecret(brought, token)) return { status: 401, message: "This token is not valid." };
    return everything;
  };
}

/** Subprotocols that a request offers, in order. */
export const offered = (request: Request): string[] =>
  (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());

function tokenOf(request: Request): string | undefined {
  const bearer = request.headers.get("authorization")?.match(/^Bearer +(\S+)$/i)?.[1];
  return bearer ??
    offered(request).find((one) => one.startsWith(TOKEN_PREFIX))?.slice(TOKEN_PREFIX.length);
}

const constantTimeEqual: (a: Uint8Array, b: Uint8Array) => boolean = timingSafeEqual;

/** Takes as long for any two texts of one length; the length is no secret. */
function sameSecret(a: string, b: string): boolean {
  const [left, right] = [utf8Bytes(a), utf8Bytes(b)];
  return left.length === right.length && constantTimeEqual(left, right);
}

function isLocal(origin: string): boolean {
  const host = URL.parse(origin)?.hostname;
  return host === "localhost" || host === "127.0.0.1" || host === "[::1]";
}
