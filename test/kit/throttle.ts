/**
 * A TCP proxy that lets so many bytes per second through, from the relay to its client. The kernel's
 * buffers before and behind it take megabytes, as they do on a real slow link.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import net from "node:net";

export interface Throttle {
  /** `http://…` of the proxy. */
  readonly url: string;
  /** Bytes per second; change it at any time. */
  rate: number;
  stop(): Promise<void>;
}

const TICK_MS = 10;

/** Starts a proxy before `relay`. */
export async function throttle(relay: { url: string }, rate: number): Promise<Throttle> {
  const { hostname, port } = new URL(relay.url);
  const sockets = new Set<net.Socket>();
  const proxy: { rate: number } = { rate };
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    sockets.add(client).add(upstream);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.pipe(upstream);
    let waiting: Buffer[] = [];
    let held = 0;
    let credit = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      credit = Math.min(credit + (now - last) / 1000 * proxy.rate, Math.max(proxy.rate / 20, 1));
      last = now;
      while (waiting.length > 0 && credit >= 1) {
        const [first, ...rest] = waiting;
        const part = first!.subarray(0, Math.floor(credit));
        client.write(part);
        credit -= part.length;
        held -= part.length;
        waiting = part.length < first!.length ? [first!.subarray(part.length), ...rest] : rest;
      }
      if (held === 0) upstream.resume();
    }, TICK_MS);
    upstream.on("data", (chunk: Buffer) => {
      waiting.push(chunk);
      held += chunk.length;
      // What the proxy holds itself is little: the rest waits in the kernel, unseen by the relay.
      upstream.pause();
    });
    const end = () => {
      clearInterval(timer);
      client.destroy();
      upstream.destroy();
      sockets.delete(client);
      sockets.delete(upstream);
    };
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  return Object.assign(proxy, {
    url,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}
