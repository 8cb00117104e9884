/**
 * Clients of sockets for tests: a WebSocket that is read one message at a time, and a bare TCP
 * connection that has been upgraded and then does what no good client does.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";

/** A WebSocket whose messages are awaited. */
export class TestSocket {
  readonly #socket: WebSocket;
  readonly #messages: Uint8Array<ArrayBuffer>[] = [];
  #wake: (() => void) | undefined;
  closedWith: { code: number; reason: string } | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#messages.push(new Uint8Array(data as ArrayBuffer));
      this.#wake?.();
    };
    socket.onclose = ({ code, reason }) => {
      this.closedWith ??= { code, reason };
      this.#wake?.();
    };
  }

  /** Connects. Rejects when the upgrade fails. */
  static connect(
    relay: { url: string },
    path: string,
    protocols: string[] = [],
  ): Promise<TestSocket> {
    const socket = new WebSocket(relay.url.replace("http", "ws") + path, protocols);
    const client = new TestSocket(socket);
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(client);
      socket.onerror = () => reject(new Error(`${path}: the upgrade failed`));
    });
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  send(message: Uint8Array<ArrayBuffer> | string): void {
    this.#socket.send(message);
  }

  /** The next message. Rejects when the socket closes first. */
  async next(): Promise<Uint8Array<ArrayBuffer>> {
    await this.#until(() => this.#messages.length > 0 || this.closedWith !== undefined);
    const message = this.#messages.shift();
    if (!message) throw new Error(`closed with ${JSON.stringify(this.closedWith)}`);
    return message;
  }

  /** Waits for the end. */
  async closed(): Promise<{ code: number; reason: string }> {
    await this.#until(() => this.closedWith !== undefined);
    return this.closedWith!;
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  /** Waits with patience that only a test that fails wears out. */
  async #until(condition: () => boolean, ms = 30_000): Promise<void> {
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => timeout.reject(new Error(`nothing came in ${ms} ms`)), ms);
    try {
      while (!condition()) {
        const woken = new Promise<void>((resolve) => this.#wake = resolve);
        await Promise.race([woken, timeout.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Upgrades a TCP connection by hand and answers it, with the head of the response. */
export function rawUpgrade(
  relay: { url: string },
  path: string,
  headers: Record<string, string> = {},
): Promise<{ socket: net.Socket; head: string }> {
  const { hostname, port } = new URL(relay.url);
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => {
      socket.write(lines.join("\r\n") + "\r\n\r\n");
    });
    let head = "";
    socket.on("error", reject);
    socket.on("data", function read(chunk: Buffer) {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      socket.off("data", read);
      // Reads no more until somebody listens.
      socket.pause();
      resolve({ socket, head });
    });
  });
}

/** A binary message as a client sends it: masked, here with a key of zeros. */
export function rawMessage(payload: Uint8Array): Uint8Array {
  const head = payload.length < 126
    ? Buffer.from([0x82, 0x80 | payload.length])
    : Buffer.from([0x82, 0xfe, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}
