/**
 * Why an upgrade was refused.
 *
 * @module
 */
import { fieldsOf } from "./answer.ts";

/** From here on close codes are the relay's own, and no network's. */
export const OWN_CODES = 4000;

/**
 * A WebSocket does not say why its upgrade failed; the same address over plain HTTP does. Answers the code
 * and the reason to go by: 4401 and 4403 for what HTTP says with 401 and 403, else those that were given.
 */
export async function whyRefused(
  address: URL,
  token: string | undefined,
  code: number,
  reason: string,
): Promise<{ readonly code: number; readonly reason: string }> {
  // A stream does say why.
  if (code >= OWN_CODES) return { code, reason };
  const url = new URL(address);
  url.protocol = url.protocol.replace(/^ws/, "http");
  try {
    const answer = await fetch(url, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      // A relay sends nobody elsewhere; and the token is for this address only.
      redirect: "manual",
      signal: AbortSignal.timeout(5_000),
    });
    const { error } = await fieldsOf(answer);
    // Whatever else answers in this form, a portal or a firewall, is there for a moment.
    if (typeof error !== "string") return { code, reason };
    if (answer.status !== 426) reason = error;
    if (answer.status === 401 || answer.status === 403) code = OWN_CODES + answer.status;
  } catch {
    // Nobody there, or a page that may not ask: what the socket said is all there is.
  }
  return { code, reason };
}
