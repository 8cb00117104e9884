/**
 * Finds out which protocol speaks at an address, by asking the app as an upgrade would. Whatever a
 * route checks, and whatever a new route brings, holds for every way to carry a link.
 *
 * @module
 */
import type { Accept } from "../src/link/link.ts";
import type { Env } from "./upgrade.ts";

/** The app, as a function. */
export type Dispatch = (request: Request, env: Env["Bindings"]) => Response | Promise<Response>;

/** A protocol that waits for its link. */
export interface Accepted {
  readonly accept: Accept;
  /** The subprotocol that was chosen, if any. */
  readonly protocol: string;
}

/** Where a link wants to go, and what it brings. */
export interface Target {
  /** Path and query at this relay, such as `/sync/bugs`. */
  readonly url: URL;
  /** Headers that admission looks at. */
  readonly headers: Headers;
  /** Address of the other end. */
  readonly address: string;
  /** Subprotocols that the client offers. */
  readonly protocols: readonly string[];
}

/** The protocol at the target, or the app's refusal. */
export async function acceptAt(dispatch: Dispatch, target: Target): Promise<Accepted | Response> {
  const headers = new Headers(target.headers);
  headers.set("upgrade", "websocket");
  headers.set("connection", "upgrade");
  headers.set("sec-websocket-protocol", target.protocols.join(", "));
  let accepted: Accepted | undefined;
  const answer = await dispatch(new Request(target.url, { headers }), {
    peer: {
      address: target.address,
      upgrade(accept, protocol = "") {
        accepted = { accept, protocol };
        return new Response(null);
      },
    },
  });
  if (accepted) return accepted;
  if (answer.status >= 400) return answer;
  await answer.body?.cancel();
  return Response.json({ error: `${target.url.pathname} speaks no WebSocket.` }, { status: 400 });
}
