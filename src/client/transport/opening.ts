/**
 * Opens a stream at a relay, and says why when that cannot be.
 *
 * @module
 */
import { LOST } from "../../link/endpoint.ts";

/** What `POST /stream` answers; docs/protocol/stream.md has the units. */
export interface Opening {
  readonly id: string;
  readonly protocol: string;
  readonly idleSeconds: number;
  readonly httpGraceMs: number;
  readonly httpPostBytes: number;
  readonly httpMessageBytes: number;
}

/** A stream is over, or was never had. `code` is that of the close. */
export class Lost extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/**
 * An answer that ends a stream: 401 and 403 have codes of their own, the rest is a lost link. So are
 * both where no relay says why: a proxy on the way says them too, and not for good.
 */
export const refused = ({ status }: Response, error?: string): Lost => {
  const own = error !== undefined && (status === 401 || status === 403);
  return new Lost(own ? 4000 + status : LOST, error ?? `HTTP ${status}`);
};

/** Opens a stream. Throws {@linkcode Lost} when the relay refuses. */
export async function openStream(
  url: string,
  headers: Readonly<Record<string, string>>,
  asked: { readonly to: string; readonly protocols: readonly string[] },
  signal: AbortSignal,
): Promise<Opening> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(asked),
    signal,
  });
  // A proxy's own page is no JSON, and its status says enough.
  const said = await answer.json().catch(() => ({})) as Partial<Opening> & { error?: string };
  if (answer.status !== 201 || typeof said.id !== "string") throw refused(answer, said.error);
  return said as Opening;
}
