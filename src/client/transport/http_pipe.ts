/**
 * A pipe over HTTP: long-lived responses downstream, numbered requests upstream. The other side of
 * `routes/stream_routes.ts`; docs/protocol/stream.md has the rules.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { TOKEN_PREFIX } from "../../link/subprotocol.ts";
import { LOST } from "../../link/endpoint.ts";
import type { CarrierTarget } from "./carrier.ts";
import type { OpenPipe, Pipe, PipeEvents } from "./framed_transport.ts";
import { Lost, type Opening, openStream, refused } from "./opening.ts";
import { Posts } from "./posts.ts";
import { ProxyProbe } from "./proxy_probe.ts";
import { Received } from "./received.ts";

export interface HttpPipeOptions {
  /** Address of the relay's `/stream`. At the root of the target's origin when not given. */
  readonly endpoint?: string | URL;
  /** Milliseconds that an opening may take. */
  readonly openMs?: number;
  /**
   * Milliseconds that the relay's sign of life may take. When it takes longer, something on the way
   * holds responses back, and from then on each ends after its first bytes.
   */
  readonly patienceMs?: number;
}

/** A request that was held for so long, in milliseconds, had reached somebody. */
const HELD_MS = 5_000;
/**
 * From one request to the next, in milliseconds, where the response brought fewer bytes than `LITTLE`:
 * something on the way that hands on byte by byte is not asked as fast as it can answer.
 */
const APART_MS = 20;
const LITTLE = 1_024;

/** A pipe to the relay at the target's origin. */
export const httpPipe = (options: HttpPipeOptions = {}): OpenPipe => (target, events) =>
  new HttpPipe(target, events, options);

class HttpPipe implements Pipe {
  readonly #abort = new AbortController();
  readonly #headers: Record<string, string> = {};
  #url: string;
  #opening: Opening | undefined;
  #posts: Posts | undefined;
  readonly #received = new Received(async () => {
    await (await this.#send({})).body?.cancel();
  });
  #poll = false;
  readonly #probe: ProxyProbe;
  #over = false;
  #ending: ReturnType<typeof setTimeout> | undefined;
  /** The response under way. */
  #response: AbortController | undefined;

  constructor(
    { url, protocols }: CarrierTarget,
    private readonly events: PipeEvents,
    private readonly options: HttpPipeOptions,
  ) {
    this.#probe = new ProxyProbe(options.patienceMs ?? 4_000, {
      ping: () => events.probe(),
      held: () => {
        this.#poll = true;
        this.#response?.abort();
      },
    });
    const base = new URL(url);
    base.protocol = base.protocol.replace(/^ws/, "http");
    this.#url = new URL(options.endpoint ?? "/stream", base).href;
    const token = protocols.find((one) => one.startsWith(TOKEN_PREFIX));
    if (token) this.#headers.authorization = `Bearer ${token.slice(TOKEN_PREFIX.length)}`;
    const offer = protocols.filter((one) => one !== token);
    this.#run(url.pathname + url.search, offer).catch((error) => this.#lose(error));
  }

  get buffered(): number {
    return this.#posts?.buffered ?? 0;
  }

  write(bytes: Bytes): void {
    if (!this.#over) this.#posts?.write(bytes);
  }

  probed(): void {
    this.#probe.pong();
  }

  end(): void {
    // What was written is the answer to a close: nobody waits for it longer than for any close.
    this.#ending = setTimeout(() => this.abort(), 5_000);
    void this.#posts?.idle().then(() => this.abort());
  }

  abort(): void {
    this.#over = true;
    clearTimeout(this.#ending);
    this.#posts?.stop();
    globalThis.removeEventListener?.("pagehide", this.#leave);
    this.#received.stop();
    this.#probe.stop();
    this.#abort.abort();
    this.#response?.abort();
  }

  async #run(to: string, protocols: readonly string[]): Promise<void> {
    const { openMs = 10_000 } = this.options;
    const patience = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(openMs)]);
    const asked = { to, protocols };
    const opening = this.#opening = await openStream(this.#url, this.#headers, asked, patience);
    if (this.#over) return;
    this.#url += `/${opening.id}`;
    this.#posts = new Posts(
      opening.httpPostBytes,
      (number, piece) => this.#post(number, piece),
      (error) => this.#lose(error),
    );
    globalThis.addEventListener?.("pagehide", this.#leave);
    this.events.opened({ ...opening, maxMessage: opening.httpMessageBytes });
    await this.#read();
  }

  /** The page is left: nobody waits for an answer now, and the relay need not wait for us. */
  readonly #leave = (): void => {
    const headers = { ...this.#headers, "stream-leave": "1" };
    void fetch(this.#url, { method: "POST", headers, keepalive: true }).catch(() => {});
    this.#lose(new Lost(LOST, "the page was left"));
  };

  /** One response after the other, each beginning where the last one broke off. */
  async #read(): Promise<void> {
    let failures = 0;
    let since = performance.now();
    while (!this.#over) {
      const before = this.#received.count;
      const begun = performance.now();
      try {
        await this.#readResponse();
      } catch (error) {
        if (error instanceof Lost) throw error;
      }
      if (this.#over) return;
      const now = performance.now();
      const brought = this.#received.count - before;
      if (brought > 0 || now - begun > HELD_MS) {
        failures = 0;
        since = now;
        if (brought < LITTLE) await pause(APART_MS - (now - begun));
      } else if (now - since > this.#opening!.httpGraceMs) {
        throw new Lost(LOST, "the relay cannot be reached");
      } else {
        await pause(afterFailure(failures++));
      }
    }
  }

  async #readResponse(): Promise<void> {
    const response = this.#response = new AbortController();
    this.#probe.begin();
    try {
      const answer = await fetch(this.#url, {
        headers: {
          ...this.#headers,
          "stream-received": `${this.#received.count}`,
          ...(this.#poll ? { "stream-poll": "1" } : {}),
        },
        cache: "no-store",
        // A relay sends nobody elsewhere; another's page must not be read as frames.
        redirect: "manual",
        signal: response.signal,
      });
      if (answer.status !== 200) return await this.#judge(answer);
      const reader = answer.body!.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done || this.#over) return;
        this.#received.add(value.length, this.#posts!.flying > 0);
        this.#probe.bytes(value.length);
        this.events.bytes(value as Bytes);
      }
    } finally {
      this.#probe.end();
      response.abort();
    }
  }

  async #post(number: number, piece: Bytes): Promise<void> {
    const since = performance.now();
    for (let failures = 0; !this.#over; failures++) {
      try {
        const answer = await this.#send({ "stream-number": `${number}` }, piece);
        if (answer.status === 200) return;
        await this.#judge(answer);
      } catch (error) {
        if (error instanceof Lost) throw error;
      }
      if (performance.now() - since > this.#opening!.httpGraceMs) {
        throw new Lost(LOST, "the relay cannot be reached");
      }
      await pause(afterFailure(failures));
    }
  }

  /** A request up; it says how far we are, too. */
  async #send(headers: Record<string, string>, body?: Bytes): Promise<Response> {
    const received = this.#received.count;
    const answer = await fetch(this.#url, {
      method: "POST",
      headers: {
        ...this.#headers,
        ...headers,
        "stream-received": `${received}`,
        "content-type": "application/octet-stream",
      },
      ...(body && { body }),
      redirect: "manual",
      signal: AbortSignal.any([
        this.#abort.signal,
        AbortSignal.timeout(this.#opening!.httpGraceMs),
      ]),
    });
    if (answer.status === 200) {
      this.#received.told(received);
      await answer.body?.cancel();
    }
    return answer;
  }

  /** Whether an answer that is not the wanted one ends the stream. Returns when it does not. */
  async #judge(answer: Response): Promise<void> {
    const { status } = answer;
    // 409 and 429: the other end has to catch up. 408 and 5xx: somebody on the way has trouble.
    if (status === 409 || status === 429 || status === 408 || status >= 500) {
      return await answer.body?.cancel();
    }
    throw await refused(answer);
  }

  #lose(error: unknown): void {
    if (this.#over) return;
    this.abort();
    const code = error instanceof Lost ? error.code : LOST;
    this.events.lost(code, error instanceof Error ? error.message : String(error));
  }
}

/** Milliseconds to wait after so many failures in a row before this one. */
const afterFailure = (failures: number): number =>
  failures === 0 ? 0 : Math.min(2_000, 50 * 2 ** failures) * (0.5 + Math.random() / 2);

async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
}
