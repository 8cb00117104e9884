/**
 * Which paired members said no to each other: they are not introduced again for a while, so that one
 * that is refused does not stand between two that know each other.
 *
 * A node id is anybody's to wear, so a refusal is not remembered for long.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import type { BlazeMember } from "./member.ts";

/** Refusals that are remembered, of all rooms together. */
const MOST = 10_000;

export class Refusals {
  /** Until when, oldest first. */
  readonly #until = new Map<string, number>();

  /** `apartMs`: milliseconds for which two stay apart. */
  constructor(private readonly host: Host, readonly apartMs: number) {}

  /** One of the two said no to the other. */
  note(room: string, a: BlazeMember, b: BlazeMember): void {
    const name = nameOf(room, a, b);
    this.#until.delete(name);
    this.#until.set(name, this.host.now() + this.apartMs);
    if (this.#until.size > MOST) this.#until.delete(this.#until.keys().next().value!);
  }

  /** Whether they have to stay apart now. */
  between(room: string, a: BlazeMember, b: BlazeMember): boolean {
    const until = this.#until.get(nameOf(room, a, b));
    return until !== undefined && this.host.now() < until;
  }
}

const nameOf = (room: string, a: BlazeMember, b: BlazeMember): string =>
  [room, ...[a.node, b.node].sort()].join(" ");
