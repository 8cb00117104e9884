/**
 * The watching half of a session: its subscriptions, and whether it keeps up.
 *
 * A watcher starts with credit, served one by one. Once it has kept up for a while, or has never
 * answered a PING, the runtime's topics serve it where there are any, and it is asked now and then;
 * a late answer brings it back.
 *
 * @module
 */
import type { Delivery, Extent, Membership } from "../../channel/channels.ts";
import type { Link, Message } from "../../link/link.ts";
import type { Gap } from "../backlog.ts";
import { Credit, DEAF_MS } from "../credit.ts";
import { Outbox } from "../outbox.ts";
import { type EcgStream, joinForm, type Watcher, type WatchForm } from "./ecg_stream.ts";
import type { EcgStreams, Trusted } from "./ecg_streams.ts";

const GRACE_MS = 1_000;

/** Words that the session finds. */
export interface Phrases {
  ping(): Message;
  gap(gap: Gap, ecgStream: EcgStream | undefined): Message;
  sealed(stream: string): Message;
}

export class Watching implements Watcher, Trusted {
  readonly outbox: Outbox;
  readonly #credit: Credit;
  readonly #subscriptions = new Map<string, { ecgStream: EcgStream; membership: Membership }>();
  #broadcasts: Membership | undefined;
  /** The runtime's topics serve it. */
  #trusted = false;
  #stopWaiting: (() => void) | undefined;
  #stopGrace: (() => void) | undefined;

  constructor(
    readonly link: Link,
    private readonly tenant: string,
    private readonly streams: EcgStreams,
    private readonly phrases: Phrases,
  ) {
    const { limits, host } = streams;
    this.#credit = new Credit(() => host.now());
    this.outbox = new Outbox(link, limits.bufferedBytes, {
      credit: this.#credit,
      bytes: limits.backlogBytes,
      ms: limits.backlogMs,
      now: () => host.now(),
      ping: () => {
        this.#stopWaiting ??= host.after(DEAF_MS, () => {
          this.outbox.pump();
          this.#consider();
        });
        return phrases.ping();
      },
      afterTurn: (run) => host.afterTurn(run),
      after: (ms, run) => host.after(ms, run),
      gap: (gap) => phrases.gap(gap, this.#subscriptions.get(gap.source ?? "")?.ecgStream),
    });
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  /** A PING is on its way. */
  get asking(): boolean {
    return this.#credit.asking;
  }

  deliver(message: Message, delivery: Delivery, extent?: Extent): void {
    this.outbox.send(message, delivery, extent);
    // What waits here must not be overtaken by what comes through a topic.
    if (this.#trusted && !this.outbox.idle) this.#distrust();
  }

  tellSealed(stream: string): void {
    this.outbox.send(this.phrases.sealed(stream));
  }

  has(stream: string): boolean {
    return this.#subscriptions.has(stream);
  }

  /**
   * Joins a stream. `answer` runs at once, `past` after it, with nothing published meanwhile.
   *
   * `askNow`: with a PING before anything else, whose answer shows how long the way is. A peer that
   * knows the seed's text only, and may be a script that reads one answer after the other, is not
   * asked during its first second.
   */
  subscribe(
    stream: string,
    form: WatchForm,
    askNow: boolean,
    answer: (ecgStream: EcgStream) => void,
    past: (ecgStream: EcgStream) => void,
  ): void {
    const known = this.#subscriptions.get(stream);
    const ecgStream = known?.ecgStream ?? this.streams.enter(this.tenant, stream);
    let joins = false;
    try {
      answer(ecgStream);
      if (askNow) this.outbox.ask();
      else if (this.outbox.open) {
        this.#stopGrace ??= this.streams.host.after(GRACE_MS, () => this.#credit.begin());
      }
      past(ecgStream);
      // Whoever had no room for so much is gone by now.
      joins = !known && this.outbox.open;
    } finally {
      if (!known && !joins) this.streams.release(ecgStream);
    }
    if (!joins) return;
    this.#subscriptions.set(stream, {
      ecgStream,
      membership: ecgStream.join(this, form, !this.#trusted),
    });
    this.#joinBroadcasts(form);
  }

  unsubscribe(stream: string): void {
    const subscription = this.#subscriptions.get(stream);
    if (!subscription) return;
    this.#subscriptions.delete(stream);
    subscription.membership.leave();
    this.streams.release(subscription.ecgStream);
    this.outbox.forget(stream);
    if (this.#subscriptions.size > 0) return;
    this.#broadcasts?.leave();
    this.#broadcasts = undefined;
  }

  /** From now on in another form. */
  reform(form: WatchForm): void {
    for (const subscription of this.#subscriptions.values()) {
      subscription.membership.leave();
      subscription.membership = subscription.ecgStream.join(this, form, !this.#trusted);
    }
    if (!this.#broadcasts) return;
    this.#broadcasts.leave();
    this.#broadcasts = undefined;
    this.#joinBroadcasts(form);
  }

  /** A PONG came. */
  answered(): void {
    this.#credit.answered();
    this.outbox.pump();
    this.#consider();
  }

  /** The link's own buffer is empty. */
  drained(): void {
    this.outbox.pump();
    if (this.#trusted) this.#each((membership) => membership.drained());
    else this.#consider();
  }

  check(ask: boolean): void {
    if (this.#credit.overdue) this.#distrust();
    else if (ask && !this.#credit.deaf) this.outbox.ask(false);
  }

  leave(): void {
    this.#stopWaiting?.();
    this.#stopGrace?.();
    this.outbox.end();
    this.streams.distrust(this);
    for (const stream of [...this.#subscriptions.keys()]) this.unsubscribe(stream);
  }

  /** Hands it to the runtime's topics once that does no harm. */
  #consider(): void {
    if (this.#trusted || !this.link.topics || !this.outbox.open || !this.outbox.idle) return;
    if (!this.#credit.steady && !(this.#credit.asking && this.#credit.deaf)) return;
    this.#trusted = true;
    this.streams.trust(this);
    this.#each((membership) => membership.drained());
  }

  #distrust(): void {
    this.#trusted = false;
    this.streams.distrust(this);
    this.#credit.lapse();
    this.#each((membership) => membership.lagging());
  }

  #each(act: (membership: Membership) => void): void {
    for (const { membership } of this.#subscriptions.values()) act(membership);
    if (this.#broadcasts) act(this.#broadcasts);
  }

  #joinBroadcasts(form: WatchForm): void {
    const { channels } = this.streams;
    this.#broadcasts ??= joinForm(channels, this.tenant, form, this, !this.#trusted);
  }
}
