/**
 * Which paired members said no to each other: they are not introduced again for a while, so that one
 * that is refused does not stand between two that know each other.
 *
 * One that comes back under another node id each time would. So who said no to somebody, and may know
 * whom it wants, meets others like it at once, and everybody else only when both have waited.
 *
 * A node id is anybody's to wear, so a refusal is not remembered for long.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { BlazeMember } from "./member.ts";

/** Milliseconds that one who said no has, to meet another such. */
export const HOLD_MS = 5_000;
/** Refusals that are remembered, of all rooms together. */
const MOST = 10_000;

export class Refusals {
  /** Until when, oldest first. */
  readonly #until = new Map<string, number>();

  /** `apartMs`: milliseconds for which two stay apart. */
  constructor(private readonly host: Host, private readonly apartMs: number) {}

  /** One of the two said no to the other. */
  note(room: string, a: BlazeMember, b: BlazeMember): void {
    this.#remember(nameOf(room, a, b));
    for (const one of [a, b]) if (one.saidNo) this.#remember(nameOf(room, one));
  }

  /** Whether they have to stay apart now. */
  between(room: string, a: BlazeMember, b: BlazeMember): boolean {
    if (this.#has(nameOf(room, a, b))) return true;
    const alike = this.#has(nameOf(room, a)) === this.#has(nameOf(room, b));
    return !alike && this.host.now() < Math.max(a.since, b.since) + HOLD_MS;
  }

  #remember(name: string): void {
    this.#until.delete(name);
    this.#until.set(name, this.host.now() + this.apartMs);
    if (this.#until.size > MOST) this.#until.delete(this.#until.keys().next().value!);
  }

  #has(name: string): boolean {
    const until = this.#until.get(name);
    return until !== undefined && this.host.now() < until;
  }
}

const nameOf = (room: string, ...members: BlazeMember[]): string =>
  [room, ...members.map(({ node }) => node).sort()].join(" ");
