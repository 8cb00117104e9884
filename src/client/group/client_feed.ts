/**
 * What one client of a sponsor is sent: all records that are there, then each change, no faster than the
 * relay takes it.
 *
 * Changes that come faster than they may go are not kept one by one: the client gets their records then,
 * as they are by the time they go. So what waits is never more than there are records.
 *
 * @module
 */
import type { Operation } from "../../wire/blaze/operation.ts";
import type { Ledger } from "./data/ledger.ts";
import type { Post } from "./log/post.ts";
import { type RecordState, seen, visible } from "./data/replica.ts";

/** Changes that wait one by one. */
const MOST_CHANGES = 100;

export class ClientFeed {
  readonly #changes: Operation[] = [];
  /** Records to send as they are, behind the changes. */
  readonly #due = new Set<RecordState>();
  #feeding = false;
  #ended = false;

  constructor(
    private readonly ledger: Ledger,
    private readonly post: Post,
    private readonly send: (operation: Operation) => Promise<void>,
  ) {}

  /** All that is there, as operations: the seed's text knows nothing else. */
  everything(): void {
    for (const state of this.ledger.replica.all()) if (visible(state)) this.#due.add(state);
    void this.#feed();
  }

  change(operation: Operation): void {
    const { collection, id } = operation;
    const state = this.ledger.replica.state(collection, id);
    const inTurn = this.#due.size === 0 && this.#changes.length < MOST_CHANGES;
    if (inTurn || !state) this.#changes.push(operation);
    else this.#due.add(state);
    void this.#feed();
  }

  /** The client has left. */
  end(): void {
    this.#ended = true;
  }

  /** Beside the steps of the link: a client that gets much holds up nobody else. */
  async #feed(): Promise<void> {
    if (this.#feeding) return;
    this.#feeding = true;
    while (this.#changes.length > 0 || this.#due.size > 0) {
      await this.post.link.turn();
      if (this.#ended || this.post.closed) return;
      // One that cannot be sent is a fault, and the next one goes.
      await this.post.guard(() => this.send(this.#next()));
    }
    this.#feeding = false;
  }

  #next(): Operation {
    const change = this.#changes.shift();
    if (change) return change;
    const state: RecordState = this.#due.values().next().value!;
    this.#due.delete(state);
    const { collection, id } = state;
    const changes = seen(state);
    const kind = changes ? "insert" : "delete";
    const counter = this.ledger.clock;
    return { kind, collection, id, counter, node: 0, changes: changes ?? {} };
  }
}
