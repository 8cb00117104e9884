/**
 * Where a client connects.
 *
 * @module
 */
import { ClientError } from "./client_error.ts";

/** `.` and `..` alone in a segment: a URL takes them for steps, in whatever form they are written. */
const STEPS = new Set([".", ".."]);

/**
 * The address that a client was given, with `ws://` or `wss://`. One without a path gets that of
 * `segments`, each of which arrives as it is. Throws `BAD_ADDRESS` for what is no URL, or one of
 * another scheme, and `BAD_NAME` for a segment that no path can carry (URL Standard, 4.4): `.`, `..`,
 * and half a surrogate pair.
 */
export function addressOf(url: string | URL, segments: readonly string[]): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (!address || !/^(ws|http)s?:$/.test(address.protocol) || address.hash !== "") {
    throw new ClientError("BAD_ADDRESS", `"${url}" is no address of a relay`);
  }
  address.protocol = address.protocol.replace(/^http/, "ws");
  if (address.pathname === "/") address.pathname = `/${segments.map(encoded).join("/")}`;
  return address;
}

function encoded(segment: string): string {
  if (STEPS.has(segment) || !segment.isWellFormed()) {
    throw new ClientError("BAD_NAME", `no path can carry ${JSON.stringify(segment)}`);
  }
  return encodeURIComponent(segment);
}
