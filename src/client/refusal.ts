/**
 * Why an upgrade was refused.
 *
 * @module
 */

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
      signal: AbortSignal.timeout(5_000),
    });
    const { error } = await answer.json() as { error?: string };
    if (error !== undefined && answer.status !== 426) reason = error;
    if (answer.status === 401 || answer.status === 403) code = OWN_CODES + answer.status;
  } catch {
    // Nobody there, or a page that may not ask: what the socket said is all there is.
  }
  return { code, reason };
}
