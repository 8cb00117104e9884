/**
 * The links that are open now: how many there are, from where, and how to end them all. Whatever a
 * session throws ends its own link and nobody else's.
 *
 * @module
 */
import { Close } from "../close.ts";
import type { Accept, Link, LinkEvents } from "./link.ts";

export class LinkRegistry {
  /** Each link, and whether it carries others. */
  readonly #links = new Map<Link, boolean>();
  readonly #byAddress = new Map<string, number>();

  /**
   * `wrap` stands between every link and its protocol; `failed` hears of what a session threw, which is
   * a fault of ours.
   */
  constructor(
    private readonly wrap: (accept: Accept) => Accept = (accept) => accept,
    private readonly failed: (error: unknown, remote: string) => void = () => {},
  ) {}

  get size(): number {
    return this.#links.size;
  }

  /** Links of one address. */
  from(address: string): number {
    return this.#byAddress.get(address) ?? 0;
  }

  /** The same protocol, counted. Who `carries` others is not closed before them, so not by `closeAll`. */
  counted(accept: Accept, carries = false): Accept {
    return (link) => {
      const events = this.#begin(accept, link);
      this.#links.set(link, carries);
      this.#byAddress.set(link.remote, this.from(link.remote) + 1);
      const attempt = (step: () => void): void => {
        try {
          step();
        } catch (error) {
          this.#fail(error, link);
        }
      };
      return {
        // Not through `attempt`: no closure for each message.
        message: (message) => {
          try {
            events.message(message);
          } catch (error) {
            this.#fail(error, link);
          }
        },
        text: () => attempt(() => events.text()),
        drained: () => attempt(() => events.drained()),
        closed: (code, reason) => {
          this.#links.delete(link);
          const left = this.from(link.remote) - 1;
          if (left > 0) this.#byAddress.set(link.remote, left);
          else this.#byAddress.delete(link.remote);
          attempt(() => events.closed(code, reason));
        },
      };
    };
  }

  /** The session; one that does nothing where that fails. */
  #begin(accept: Accept, link: Link): LinkEvents {
    try {
      return this.wrap(accept)(link);
    } catch (error) {
      this.#fail(error, link);
      return { message: () => {}, text: () => {}, drained: () => {}, closed: () => {} };
    }
  }

  #fail(error: unknown, link: Link): void {
    this.failed(error, link.remote);
    link.close(Close.internal.code, `${Close.internal.word}: ${Close.internal.help}`);
  }

  /**
   * Closes every link that carries no others, spread over `ms` milliseconds so that not all come back
   * at once.
   */
  async closeAll(code: number, reason: string, ms: number): Promise<void> {
    const links = [...this.#links].flatMap(([link, carries]) => carries ? [] : [link]);
    const waves = Math.max(1, Math.min(links.length, Math.floor(ms / 50)));
    for (let wave = 0; wave < waves; wave++) {
      if (wave > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      for (let i = wave; i < links.length; i += waves) links[i]!.close(code, reason);
    }
  }
}
