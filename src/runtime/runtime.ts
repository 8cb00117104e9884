/**
 * What a runtime does for the relay: it serves HTTP and turns upgrades into links. Two files fill
 * this in, and nothing else in `src/` knows which runtime it runs on.
 *
 * @module
 */
import type { Accept } from "../link/link.ts";

/** The other end of one request. */
export interface Peer {
  /** IP address, without a port. */
  readonly address: string;
  /**
   * Answers an upgrade request and hands its link to `accept`. `protocol` is the subprotocol to echo,
   * which the client must have offered. Call it at most once, before the request's handler returns.
   */
  upgrade(accept: Accept, protocol?: string): Response;
}

export type Handler = (request: Request, peer: Peer) => Response | Promise<Response>;

export interface ServeOptions {
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Silence after which a link is pinged and, without an answer, counts as gone. */
  readonly idleSeconds: number;
}

export interface Server {
  readonly hostname: string;
  readonly port: number;
  /**
   * Lets links that are closing and responses under way end, for `graceMs` milliseconds at most; then
   * stops listening and ends what is still open. A close that is followed at once by the end of the
   * server would arrive as another code.
   */
  stop(graceMs: number): Promise<void>;
}

export interface Runtime {
  readonly name: "bun" | "deno";
  readonly version: string;
  serve(options: ServeOptions, handler: Handler): Promise<Server>;
}
