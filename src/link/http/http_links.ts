/**
 * The streams of this instance, by their ids.
 *
 * An id is `instance-secret`: 12 hexadecimal digits that every stream of this process begins with, so
 * that another one can tell it has not lost the stream but never had it, and 32 that nobody can guess
 * (128 random bits, found through a hash table: how long a look-up takes says nothing about ids that
 * are near). Neither suffices alone: a stream answers only to whoever opened it.
 *
 * @module
 */
import { hex } from "../../wire/bytes.ts";
import type { Clock } from "../clock.ts";
import type { Accept } from "../link.ts";
import { HttpLink, type HttpLinkLimits } from "./http_link.ts";

interface Entry {
  readonly owner: string;
  readonly link: HttpLink;
}

export class HttpLinks {
  readonly instance: string;
  readonly #byId = new Map<string, Entry>();

  constructor(readonly limits: HttpLinkLimits, private readonly clock: Clock) {
    this.instance = hex(clock.random(6));
  }

  /** HttpLinks that can be asked for, those that have just ended among them. */
  get size(): number {
    return this.#byId.size;
  }

  /** Opens a stream and answers its id. */
  open(owner: string, remote: string, accept: Accept): string {
    const id = `${this.instance}-${hex(this.clock.random(16))}`;
    const gone = () => this.#byId.delete(id);
    const link = new HttpLink(remote, accept, this.limits, this.clock, gone);
    this.#byId.set(id, { owner, link });
    return id;
  }

  /** The stream, `elsewhere` when its id names another instance, or `undefined`. */
  find(id: string, owner: string): HttpLink | "elsewhere" | undefined {
    const entry = this.#byId.get(id);
    if (entry) return entry.owner === owner ? entry.link : undefined;
    if (!/^[0-9a-f]{12}-[0-9a-f]{32}$/.test(id)) return undefined;
    return id.startsWith(`${this.instance}-`) ? undefined : "elsewhere";
  }

  /** Ends every response, for a server that stops. */
  cutAll(): void {
    for (const { link } of this.#byId.values()) link.cut();
  }
}
