/**
 * A gateway: BMP in, plain TCP out. Each stream becomes one connection to the configured target, so a
 * client on a weak link reaches a database or a proxy hundreds of times through one connection.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import process from "node:process";
import { parseArgs } from "node:util";
import { host } from "../src/host.ts";
import { Mux } from "../src/link/mux/mux.ts";
import { MUX, type MuxSettings } from "../src/link/mux/settings.ts";
import { socketCarrier } from "../src/link/mux/socket_carrier.ts";
import type { MuxStream, MuxStreamEvents } from "../src/link/mux/mux_stream.ts";

const HELP = `A gateway: BMP in, plain TCP out. Every stream becomes a connection to one target.

  deno run -A tools/bmp-gateway.ts --listen [host:]port --to host:port [flags]
  bun tools/bmp-gateway.ts --listen [host:]port --to host:port [flags]

  --listen [host:]port   where BMP is spoken; 127.0.0.1 unless a host is given, port 0 takes a free one
  --to host:port         the only place that streams lead to
  --tls-cert file        PEM: speak BMP over TLS, with --tls-key
  --tls-key file         PEM of the key
  --connections n        BMP connections at once (64)
  --streams n            streams of one connection at once (1024)
  --help                 this text

There is no token: whoever reaches the port reaches the target. Streams stay open while both ends do.`;

export interface Address {
  readonly hostname: string;
  readonly port: number;
}

export interface GatewayOptions {
  readonly listen: Address;
  readonly to: Address;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly connections?: number;
  readonly settings?: Partial<MuxSettings>;
}

export interface Gateway {
  readonly port: number;
  stop(): Promise<void>;
}

/** Bytes on their way to the target, or to the client, at which their source waits. */
const FULL = 262_144;

/** Starts a gateway. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { listen, to, tls, connections = 64 } = options;
  const settings: MuxSettings = { ...MUX, streams: 1_024, ...options.settings };
  const sockets = new Set<Socket>();
  const open = new Set<Mux>();
  const take = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socketCarrier(socket, (carrier) => {
      if (open.size >= connections) return void carrier.end();
      const mux = new Mux({
        role: "server",
        settings,
        carrier,
        clock: host,
        accept: (stream) => bridge(stream, to),
        ended: () => open.delete(mux),
      });
      open.add(mux);
      return mux;
    });
  };
  const server = tls
    ? createTlsServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, take)
    : createServer(take);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen.port, listen.hostname, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      for (const mux of [...open]) mux.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Joins a stream with a connection of its own. Either end's eof is passed on; a failure ends both. */
function bridge(stream: MuxStream, { hostname, port }: Address): MuxStreamEvents {
  // A database connection may be silent for hours. Acks that do not come still end the stream.
  stream.busy = true;
  const socket = connect({ host: hostname, port, allowHalfOpen: true });
  socket.setNoDelay(true);
  let ended = false;
  const forward = () => {
    while (socket.writableLength < FULL) {
      const piece = stream.read();
      if (!piece) break;
      socket.write(piece);
    }
    if (!stream.ended || ended) return;
    ended = true;
    socket.end();
  };
  socket.on("drain", forward);
  socket.on("data", (chunk: Uint8Array) => {
    stream.write(chunk);
    if (stream.queued >= FULL) socket.pause();
  });
  socket.on("end", () => stream.end());
  socket.on("error", () => stream.close());
  socket.on("close", () => stream.end(true));
  return {
    readable: forward,
    drained: () => void socket.resume(),
    closed: (fault) => {
      // What came before a close is still good, and goes to the target before its end.
      if (fault === undefined || fault === "CLOSED") forward();
      else socket.destroy();
    },
  };
}

/** `host:port`, `[v6]:port`, or a port alone where a default host is given. */
export function place(text: string, fallback?: string): Address {
  const match = /^(?:\[([^\]]+)\]:|([^:\s]+):)?(\d{1,5})$/.exec(text);
  const hostname = match?.[1] ?? match?.[2] ?? fallback;
  const port = Number(match?.[3]);
  if (hostname === undefined || !(port <= 65_535)) throw new Error(`"${text}": want host:port`);
  return { hostname, port };
}

async function run(): Promise<void> {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: {
      listen: { type: "string" },
      to: { type: "string" },
      "tls-cert": { type: "string" },
      "tls-key": { type: "string" },
      connections: { type: "string", default: "64" },
      streams: { type: "string", default: "1024" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return console.log(HELP);
  if (!values.listen || !values.to) throw new Error("--listen and --to are needed; see --help");
  const { "tls-cert": cert, "tls-key": key } = values;
  if ((cert === undefined) !== (key === undefined)) {
    throw new Error("--tls-cert and --tls-key: want both, or neither");
  }
  const listen = place(values.listen, "127.0.0.1");
  const to = place(values.to);
  const gateway = await startGateway({
    listen,
    to,
    connections: count(values.connections),
    settings: { streams: count(values.streams) },
    ...(cert !== undefined && key !== undefined ? { tls: { cert, key } } : {}),
  });
  console.log(`BMP at ${listen.hostname}:${gateway.port} leads to ${to.hostname}:${to.port}`);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => void gateway.stop().then(() => process.exit(0)));
  }
}

function count(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new Error(`"${text}": want a number`);
  return Number(text);
}

if (import.meta.main) {
  try {
    await run();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  }
}
