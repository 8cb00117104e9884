/**
 * The token that an address brought in the part that no server sees.
 *
 * @module
 */

const KEPT = "blaze-relay token";

/**
 * What stands behind the `#`. A token is taken out of the address, so that it is in no bookmark and
 * on no shared screen, and kept until the tab is closed.
 */
export function readHash(): { hash: URLSearchParams; token: string | undefined } {
  const hash = new URLSearchParams(location.hash.slice(1));
  const brought = hash.get("token");
  if (brought !== null) {
    sessionStorage.setItem(KEPT, brought);
    hash.delete("token");
    history.replaceState(null, "", hash.size > 0 ? `#${hash}` : location.pathname);
  }
  return { hash, token: sessionStorage.getItem(KEPT) || undefined };
}
