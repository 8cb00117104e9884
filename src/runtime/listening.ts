/**
 * Listening, and why it cannot be: the runtimes and systems have many words for it, people want to
 * know what to change.
 *
 * @module
 */
import { lookup } from "node:dns/promises";

/** An address, a port or a file that cannot be served from, in words for whoever chose it. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** What each system error means, by its code or by the name that Deno gives it. */
const WORDS: Readonly<Record<string, (hostname: string, port: number) => string>> = {
  EADDRINUSE: (_, port) => `port ${port} is taken: stop what listens there, or choose another`,
  EADDRNOTAVAIL: elsewhere,
  // As `node:net` says it on Deno.
  EINVAL: elsewhere,
  EACCES: (_, port) => `port ${port} is not allowed to this user: choose one above 1023`,
};
const NAMES: Readonly<Record<string, string>> = {
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  PermissionDenied: "EACCES",
};

function elsewhere(hostname: string): string {
  return `${hostname} is no address of this machine; 0.0.0.0 means all`;
}

/** Runs `listen`. Throws {@linkcode ListenError} where the system says no. */
export async function listening<T>(
  hostname: string,
  port: number,
  listen: () => T | Promise<T>,
): Promise<T> {
  // Asked first, since Bun takes a name that nobody knows for a port that is taken.
  await lookup(hostname).catch(() => {
    throw new ListenError(`${hostname} is no address and no name that this machine knows`);
  });
  try {
    return await listen();
  } catch (error) {
    const { code, name } = error as { code?: string; name: string };
    const words = WORDS[code ?? ""] ?? WORDS[NAMES[name] ?? ""];
    throw words ? new ListenError(words(hostname, port)) : error;
  }
}
