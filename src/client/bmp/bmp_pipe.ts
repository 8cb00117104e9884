/**
 * The handshake of a WebSocket in a BMP stream (RFC 6455, section 4); what follows are its frames.
 *
 * @module
 */
import { LOST } from "../../link/endpoint.ts";
import type { MuxStreamEvents, MuxStreamState } from "../../link/mux/mux_stream.ts";
import { type Bytes, concat, utf8Bytes } from "../../wire/bytes.ts";
import type { CarrierTarget } from "../transport/carrier.ts";
import type { OpenPipe, Pipe, PipeEvents } from "../transport/framed_transport.ts";
import { requestHead, type ResponseHead, ResponseParser } from "./http_parser.ts";

/** Section 1.3: what the key is joined with. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** The relay pings within this; nothing in the handshake says so. */
const IDLE_SECONDS = 60;
const MAX_MESSAGE = 4 * 1024 * 1024;
/** Bytes of a refusal that are read for its reason. */
const MAX_REASON = 8_192;

/** Opens pipes in streams. */
export const bmpPipe =
  (open: (events: MuxStreamEvents) => MuxStreamState): OpenPipe => (target, events) =>
    new BmpPipe(open, target, events);

class BmpPipe implements Pipe {
  readonly #parser = new ResponseParser("GET");
  readonly #key = base64(crypto.getRandomValues(new Uint8Array(16)));
  #stream: MuxStreamState | undefined;
  #state: "asked" | "checking" | "refused" | "open" | "over" = "asked";
  #head: ResponseHead | undefined;
  /** What came before the answer was checked; of a refusal its body. */
  #early: Bytes[] = [];
  #earlyBytes = 0;

  constructor(
    open: (events: MuxStreamEvents) => MuxStreamState,
    private readonly target: CarrierTarget,
    private readonly events: PipeEvents,
  ) {
    const { url, protocols } = target;
    const headers: [string, string][] = [
      ["host", url.host],
      ["connection", "Upgrade"],
      ["upgrade", "websocket"],
      ["sec-websocket-version", "13"],
      ["sec-websocket-key", this.#key],
    ];
    if (protocols.length > 0) headers.push(["sec-websocket-protocol", protocols.join(", ")]);
    const head = utf8Bytes(requestHead("GET", url.pathname + url.search, headers));
    try {
      this.#stream = open({
        readable: () => this.#readable(),
        drained: () => {},
        closed: () => this.#ended(),
      });
      this.#stream.write(head);
    } catch (error) {
      // Not at once: the owner is still setting up.
      queueMicrotask(() => this.#lost(LOST, String(error)));
    }
  }

  get buffered(): number {
    return this.#stream?.queued ?? 0;
  }

  write(bytes: Bytes): void {
    this.#stream?.write(bytes);
  }

  end(): void {
    this.#stream?.end(true);
  }

  abort(): void {
    this.#state = "over";
    this.#stream?.close();
  }

  #readable(): void {
    const stream = this.#stream!;
    // What waits while the answer is checked stays in the stream, which holds its sender back.
    while (this.#state !== "checking") {
      const piece = stream.read();
      if (!piece) break;
      // A copy: pieces are views of what the connection read, and these are kept and handed on.
      const bytes = new Uint8Array(piece);
      if (this.#state === "open") this.events.bytes(bytes);
      else if (this.#state === "asked" || this.#state === "refused") this.#answer(bytes);
    }
    if (stream.ended && this.#state !== "checking") this.#ended();
  }

  #answer(bytes: Bytes): void {
    try {
      for (const event of this.#parser.push(bytes)) {
        if (event.type === "head") {
          this.#head = event.head;
          this.#state = event.head.status === 101 ? "checking" : "refused";
        } else if (event.type === "body") {
          this.#keep(event.bytes);
        } else if (this.#state === "checking") {
          this.#keep(event.rest);
          void this.#check();
        } else this.#ended();
      }
    } catch {
      this.#lost(LOST, "the answer is not HTTP/1.1");
    }
  }

  #keep(bytes: Uint8Array): void {
    if (this.#state === "refused" && this.#earlyBytes > MAX_REASON) return;
    this.#early.push(new Uint8Array(bytes));
    this.#earlyBytes += bytes.length;
  }

  /** Section 4.1, the client's checks. WebCrypto makes them wait. */
  async #check(): Promise<void> {
    const headers = new Map(this.#head!.headers);
    const digest = await crypto.subtle.digest("SHA-1", utf8Bytes(this.#key + GUID));
    if (this.#state !== "checking") return;
    const protocol = headers.get("sec-websocket-protocol");
    if (
      headers.get("sec-websocket-accept") !== base64(new Uint8Array(digest)) ||
      headers.get("upgrade")?.toLowerCase() !== "websocket" ||
      (protocol !== undefined && !this.target.protocols.includes(protocol)) ||
      headers.has("sec-websocket-extensions")
    ) return this.#lost(LOST, "the answer to the upgrade is not valid");
    this.#state = "open";
    this.events.opened({
      protocol: protocol ?? "",
      idleSeconds: IDLE_SECONDS,
      maxMessage: MAX_MESSAGE,
    });
    const early = concat(...this.#early);
    this.#early = [];
    if (early.length > 0) this.events.bytes(early);
    this.#readable();
  }

  /** The stream is over, or a refusal is complete. */
  #ended(): void {
    if (this.#state === "checking") return; // `#check` comes back to it.
    const { status } = this.#head ?? {};
    if (status === undefined || status === 101) return this.#lost(LOST, "the stream ended");
    const code = status === 401 || status === 403 ? 4000 + status : LOST;
    this.#lost(code, reasonIn(concat(...this.#early)) ?? `refused with ${status}`);
  }

  #lost(code: number, reason: string): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#early = [];
    this.#stream?.close();
    this.events.lost(code, reason);
  }
}

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** The sentence of a refusal, which the relay gives as `{"error": "…"}`. */
function reasonIn(body: Uint8Array): string | undefined {
  try {
    const { error } = JSON.parse(new TextDecoder().decode(body)) as { error?: unknown };
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}
