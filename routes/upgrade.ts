/**
 * What every WebSocket route does first: is this an upgrade, is there room, and who is it?
 *
 * @module
 */
import type { Context } from "hono";
import { type Admission, type Grant, offered } from "../src/admission.ts";
import type { Limits } from "../src/limits.ts";
import type { Accept } from "../src/link/link.ts";
import type { LinkRegistry } from "../src/link/registry.ts";
import { SUBPROTOCOL } from "../src/link/subprotocol.ts";
import type { Peer } from "../src/runtime/runtime.ts";

/** What the runtimes hand to the app beside each request. */
export type Env = { Bindings: { peer: Peer } };

export interface Door {
  readonly admission: Admission;
  readonly links: LinkRegistry;
  readonly limits: Limits;
  /** False once the relay is going away. */
  ready(): boolean;
}

/**
 * Upgrades a request and hands its link to what `accept` makes of the grant. A link that `carries`
 * others outlives them when the relay goes away.
 */
export function upgrade(
  c: Context<Env>,
  door: Door,
  accept: (grant: Grant) => Accept,
  carries = false,
): Response {
  const request = c.req.raw;
  // Before anything else, so that a client can ask over plain HTTP why its upgrade failed.
  const grant = door.admission(request);
  if ("status" in grant) return c.json({ error: grant.message }, grant.status);
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    c.header("upgrade", "websocket");
    return c.json({ error: "This address speaks WebSocket: connect with ws:// or wss://." }, 426);
  }
  if (!door.ready()) {
    return c.json({ error: "The relay restarts; connect again in a moment." }, 503);
  }
  const { peer } = c.env;
  if (door.links.from(peer.address) >= door.limits.linksPerAddress) {
    return c.json({ error: "Too many links from this address; close some. See /limits." }, 429);
  }
  if (door.links.size >= door.limits.links) {
    return c.json({ error: "The relay is full; try again later. See /limits." }, 503);
  }
  const protocol = offered(request).includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined;
  return peer.upgrade(door.links.counted(accept(grant), carries), protocol);
}
