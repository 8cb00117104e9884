/**
 * What to watch, from the part of the address that no server sees.
 *
 * @module
 */

export interface Place {
  readonly stream: string;
  readonly token: string | undefined;
}

const KEPT = "blaze-relay token";

/**
 * Reads `#stream=…&token=…`. The token is taken out of the address, so that it is in no bookmark and
 * no shared screen, and kept until the tab is closed.
 */
export function readPlace(): Place | undefined {
  const hash = new URLSearchParams(location.hash.slice(1));
  const brought = hash.get("token");
  if (brought !== null) {
    sessionStorage.setItem(KEPT, brought);
    hash.delete("token");
    history.replaceState(null, "", `#${hash}`);
  }
  const stream = hash.get("stream");
  return stream ? { stream, token: sessionStorage.getItem(KEPT) || undefined } : undefined;
}
