/**
 * How two of ours find each other on a connection where the real Blazeio might be the other end.
 *
 * ```text
 * client → server   the sid of its first frame    bx1?WINDOW:CHUNK
 * server → client   one ack beside the usual one  bx1!WINDOW:CHUNK
 * ```
 *
 * Both numbers are hexadecimal: the frames of one stream that may come before the first is acked, and
 * the payload bytes of each. The real server echoes any sid and the real client ignores acks of
 * frames that it never sent, so neither notices. Only binary4 has sids; in the other forms everybody
 * is a stranger.
 *
 * @module
 */

/** What a peer of ours takes. */
export interface Greeting {
  readonly window: number;
  readonly chunkBytes: number;
}

type From = "client" | "server";
const mark = { client: "bx1?", server: "bx1!" } as const;

export const greeting = (from: From, { window, chunkBytes }: Greeting): string =>
  `${mark[from]}${window.toString(16)}:${chunkBytes.toString(16)}`;

/** Reads a sid as a greeting; `undefined` if it is none. */
export function readGreeting(from: From, sid: string): Greeting | undefined {
  if (!sid.startsWith(mark[from])) return;
  const match = /^([1-9a-f][0-9a-f]{0,3}):([1-9a-f][0-9a-f]{0,5})$/.exec(sid.slice(4));
  if (!match) return;
  return { window: parseInt(match[1]!, 16), chunkBytes: parseInt(match[2]!, 16) };
}
