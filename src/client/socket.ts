/**
 * A WebSocket that works where WebSocket does not: the same interface, over a WebSocket, or over an
 * HTTP stream, or over whatever a webview offers.
 *
 * ```ts
 * const socket = new Socket("wss://relay.example/sync/bugs", ["blaze-relay", "bearer.…"]);
 * socket.onmessage = ({ data }) => console.log(data);
 * ```
 *
 * @module
 */
import { type Bytes, utf8Bytes } from "../wire/bytes.ts";
import { LOST } from "../link/endpoint.ts";
import type { Carrier, CarrierEvents, Transport } from "./transport/carrier.ts";
import { fallbackTransport } from "./transport/fallback_transport.ts";
import { framedTransport } from "./transport/framed_transport.ts";
import { httpPipe, type HttpPipeOptions } from "./transport/http_pipe.ts";
import { sharedMemory, type TransportMemory } from "./transport/transport_memory.ts";
import { nativeTransport } from "./transport/native_transport.ts";

export interface SocketOptions extends HttpPipeOptions {
  /**
   * `auto` (unless told otherwise) tries a WebSocket and falls back to the stream; `websocket` and
   * `stream` do that and nothing else. Or a transport of another kind, such as `webview()`.
   */
  readonly transport?: "auto" | "websocket" | "http" | Transport;
  /** Where `auto` remembers what worked. */
  readonly memory?: TransportMemory;
  /** Milliseconds that an upgrade may take before `auto` tries the stream. */
  readonly upgradeMs?: number;
  /** A WebSocket that is cut within so many milliseconds makes `auto` begin with the stream. */
  readonly cutMs?: number;
}

type Handler<E extends Event> = ((this: WebSocket, event: E) => unknown) | null;

/** What a close without a code stands for (RFC 6455, 7.1.5). */
const NO_CODE = 1005;

/** The typed half of `EventTarget`. */
export interface Socket {
  addEventListener: WebSocket["addEventListener"];
  removeEventListener: WebSocket["removeEventListener"];
}

export class Socket extends EventTarget implements WebSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;

  readonly url: string;
  /** None are offered. */
  readonly extensions = "";
  binaryType: BinaryType = "blob";
  onopen: Handler<Event> = null;
  onmessage: Handler<MessageEvent> = null;
  onclose: Handler<CloseEvent> = null;
  onerror: Handler<Event> = null;
  #state: 0 | 1 | 2 | 3 = 0;
  #protocol = "";
  readonly #carrier: Carrier;
  /** Bytes of blobs that are being read, and of what was sent after the end. */
  #extra = 0;
  #order: Promise<void> | undefined;
  /** Events that wait for their turn, while another one has its. */
  readonly #inbox: Event[] = [];
  #busy = false;

  /** Throws `SyntaxError` as a WebSocket does. */
  constructor(
    url: string | URL,
    protocols: string | readonly string[] = [],
    options: SocketOptions = {},
  ) {
    super();
    const target = new URL(url, globalThis.location?.href);
    target.protocol = target.protocol.replace(/^http/, "ws");
    if (!/^wss?:$/.test(target.protocol) || target.hash !== "") {
      throw new DOMException(`"${target}" is no address of a WebSocket`, "SyntaxError");
    }
    this.url = target.href;
    this.addEventListener("open", (event) => this.onopen?.(event));
    this.addEventListener("message", (event) => this.onmessage?.(event));
    this.addEventListener("error", (event) => this.onerror?.(event));
    this.addEventListener("close", (event) => this.onclose?.(event));
    const offered = typeof protocols === "string" ? [protocols] : protocols;
    this.#carrier = transportOf(options)({ url: target, protocols: offered }, this.#events());
  }

  get readyState(): 0 | 1 | 2 | 3 {
    return this.#state;
  }

  /** The subprotocol that the relay chose. */
  get protocol(): string {
    return this.#protocol;
  }

  get bufferedAmount(): number {
    return (this.#state < 3 ? this.#carrier.buffered : 0) + this.#extra;
  }

  /** Throws `InvalidStateError` while connecting. */
  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    if (this.#state === 0) throw new DOMException("not open yet", "InvalidStateError");
    if (this.#state > 1) {
      this.#extra += typeof data === "string" ? utf8Bytes(data).length : sizeOf(data);
    } else if (data instanceof Blob || this.#order) {
      this.#sendLater(data);
    } else {
      this.#carrier.send(typeof data === "string" ? data : bytesOf(data));
    }
  }

  /** Throws `InvalidAccessError` for a code other than 1000 and 3000–4999, as a WebSocket does. */
  close(code?: number, reason = ""): void {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`close code ${code} is not for programs`, "InvalidAccessError");
    }
    if (utf8Bytes(reason).length > 123) {
      throw new DOMException("a close reason has at most 123 bytes", "SyntaxError");
    }
    if (this.#state > 1) return;
    const connecting = this.#state === 0;
    this.#state = 2;
    if (connecting) {
      this.#carrier.abort();
      queueMicrotask(() => this.#closed(LOST, "", false));
    } else {
      const close = () => this.#carrier.close(code ?? (reason ? 1000 : NO_CODE), reason);
      if (this.#order) void this.#order.then(close);
      else close();
    }
  }

  /** Drops the connection at once, as if the network had: `error`, then `close` with 1006. */
  abort(reason = ""): void {
    if (this.#state === 3) return;
    this.#carrier.abort();
    this.#closed(LOST, reason, false);
  }

  #events(): CarrierEvents {
    return {
      opened: (protocol) => {
        if (this.#state !== 0) return;
        this.#protocol = protocol;
        this.#state = 1;
        this.#tell(new Event("open"));
      },
      message: (data) => {
        if (this.#state !== 1) return;
        this.#tell(new MessageEvent("message", { data: this.#received(data) }));
      },
      closed: (code, reason, clean) => this.#closed(code, reason, clean),
    };
  }

  #closed(code: number, reason: string, wasClean: boolean): void {
    if (this.#state === 3) return;
    this.#state = 3;
    if (!wasClean) this.#tell(new Event("error"));
    this.#tell(new CloseEvent("close", { code, reason, wasClean }));
  }

  /**
   * Many messages may come in one chunk. Each has a microtask of its own, so that somebody who awaits
   * one message after the other misses none, as with a WebSocket.
   */
  #tell(event: Event): void {
    if (this.#busy) return void this.#inbox.push(event);
    this.#busy = true;
    this.#dispatch(event);
  }

  #dispatch(event: Event): void {
    this.dispatchEvent(event);
    // Behind whatever the event has woken.
    queueMicrotask(() => {
      const next = this.#inbox.shift();
      if (next) this.#dispatch(next);
      else this.#busy = false;
    });
  }

  #received(data: string | Bytes): string | ArrayBuffer | Blob {
    if (typeof data === "string") return data;
    if (this.binaryType === "blob") return new Blob([data]);
    const { buffer, byteOffset, length } = data;
    return length === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + length);
  }

  /** A blob takes time to be read; what is sent after it waits for it. */
  #sendLater(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    const ready = typeof data === "string" || data instanceof Blob ? data : bytesOf(data).slice();
    const size = typeof ready === "string" ? utf8Bytes(ready).length : sizeOf(ready);
    this.#extra += size;
    const before = this.#order;
    const order = (async () => {
      await before;
      const read = ready instanceof Blob ? new Uint8Array(await ready.arrayBuffer()) : ready;
      this.#extra -= size;
      this.#carrier.send(read);
    })().finally(() => {
      if (this.#order === order) this.#order = undefined;
    });
    this.#order = order;
  }
}

function transportOf(options: SocketOptions): Transport {
  const { transport = "auto" } = options;
  if (typeof transport === "function") return transport;
  const http = framedTransport(httpPipe(options));
  if (transport === "http") return http;
  const websocket = nativeTransport;
  if (transport === "websocket") return websocket;
  const { memory = sharedMemory, upgradeMs = 5_000, cutMs = 5_000 } = options;
  return fallbackTransport({ websocket, http, memory, upgradeMs, cutMs });
}

const sizeOf = (data: ArrayBufferLike | Blob | ArrayBufferView): number =>
  data instanceof Blob ? data.size : data.byteLength;

/** A view where there is one; shared memory is copied, since sockets take none. */
function bytesOf(data: ArrayBufferLike | ArrayBufferView): Bytes {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const view = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  return view.slice();
}
