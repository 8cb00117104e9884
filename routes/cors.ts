/**
 * Pages of other sites. Admission alone decides which of them may come in, as it does for WebSockets,
 * where no browser asks: what it admits may read the answers.
 *
 * @module
 */
import type { Context } from "hono";
import type { Admission } from "../src/admission.ts";
import type { Env } from "./upgrade.ts";

/** Lets the page that asks read the answer. */
export function allowOrigin(c: Context<Env>): void {
  const origin = c.req.header("origin");
  if (origin === undefined) return;
  c.header("access-control-allow-origin", origin);
  c.header("vary", "Origin");
}

/**
 * Answers the question that a browser asks before a request with headers. It brings no token, so all
 * that can be judged now is the page: 403 is for pages that may not come at all.
 */
export async function preflight(
  c: Context<Env>,
  admission: Admission,
  headers: readonly string[],
): Promise<Response> {
  const grant = await admission(c.req.raw);
  if ("status" in grant && grant.status === 403) return c.json({ error: grant.message }, 403);
  allowOrigin(c);
  c.header("access-control-allow-methods", "GET, POST");
  c.header("access-control-allow-headers", headers.join(", "));
  c.header("access-control-max-age", "7200");
  return c.body(null, 204);
}
