/**
 * A gateway: BMP in, plain TCP out. Each stream becomes one connection to the configured target, so a
 * client on a weak link reaches a database or a proxy hundreds of times through one connection.
 *
 * @module
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import process from "node:process";
import { readPem } from "../src/bmp/pem.ts";
import { host } from "../src/host.ts";
import { Mux } from "../src/link/mux/mux.ts";
import { MUX, type MuxSettings } from "../src/link/mux/settings.ts";
import { socketCarrier } from "../src/link/mux/socket_carrier.ts";
import type { MuxStream, MuxStreamEvents } from "../src/link/mux/mux_stream.ts";
import { ListenError, listening } from "../src/runtime/listening.ts";
import { ArgsError, fail, readArgs } from "./args.ts";
import { interrupted } from "./interrupt.ts";
import { note, say } from "./say.ts";

export interface Address {
  readonly hostname: string;
  readonly port: number;
}

export interface GatewayOptions {
  readonly listen: Address;
  readonly to: Address;
  /** PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly connections?: number;
  readonly settings?: Partial<MuxSettings>;
  /** Hears when the target cannot be reached, and when it can be again: not of every stream. */
  readonly told?: (line: string) => void;
}

export interface Gateway {
  readonly port: number;
  stop(): Promise<void>;
}

/** Bytes on their way to the target, or to the client, at which their source waits. */
const FULL = 262_144;

/** Starts a gateway. Throws {@linkcode ListenError}. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { listen, to, tls, connections = 64 } = options;
  const settings: MuxSettings = { ...MUX, streams: 1_024, ...options.settings };
  const sockets = new Set<Socket>();
  const open = new Set<Mux>();
  const reached = reports(to, options.told);
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
        accept: (stream) => bridge(stream, to, reached),
        ended: () => open.delete(mux),
      });
      open.add(mux);
      return mux;
    });
  };
  const server = tls ? createTlsServer({ ...readPem(tls) }, take) : createServer(take);
  await listening(listen.hostname, listen.port, () =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(listen.port, listen.hostname, resolve);
    }));
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

/** Tells when the target goes away and when it is back, however many streams find that out. */
function reports(to: Address, told: (line: string) => void = () => {}) {
  let away = false;
  return (error?: Error): void => {
    if (away === (error !== undefined)) return;
    away = error !== undefined;
    const why = error && ((error as { code?: string }).code ?? error.message);
    told(`${shownAs(to)} ${error ? `cannot be reached: ${why}` : "can be reached again"}`);
  };
}

/** Joins a stream with a connection of its own. Either end's eof is passed on; a failure ends both. */
function bridge(
  stream: MuxStream,
  { hostname, port }: Address,
  reached: (error?: Error) => void,
): MuxStreamEvents {
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
  let connected = false;
  socket.on("connect", () => {
    connected = true;
    reached();
  });
  socket.on("error", (error) => {
    if (!connected) reached(error);
    stream.close();
  });
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

/** `host:port`, `[v6]:port`, or a port alone where a default host is given. Throws `ArgsError`. */
export function place(text: string, fallback?: string): Address {
  const match = /^(?:\[([^\]]+)\]:|([^:\s]+):)?(\d{1,5})$/.exec(text);
  const hostname = match?.[1] ?? match?.[2] ?? fallback;
  const port = Number(match?.[3]);
  if (hostname === undefined || !(port <= 65_535)) {
    throw new ArgsError(`"${text}": want ${fallback === undefined ? "" : "a port, or "}host:port.`);
  }
  return { hostname, port };
}

const many = { least: 1, most: 1_000_000, whole: true } as const;

async function run(): Promise<void> {
  const { flags } = readArgs({
    command: "bmp-gateway --listen [host:]port --to host:port [flags]",
    about:
      "A gateway: BMP in, plain TCP out. Every stream becomes a connection to one target.\n\n" +
      "There is no token: whoever reaches the port reaches the target. Streams stay open while both\n" +
      "ends do.",
    flags: {
      listen: {
        help: "[host:]port where BMP is spoken; 127.0.0.1 without a host, port 0 takes a free one",
        fallback: "",
      },
      to: { help: "host:port, the only place that streams lead to", fallback: "" },
      "tls-cert": { help: "PEM file: speak BMP over TLS, with --tls-key", fallback: "" },
      "tls-key": { help: "PEM file of the key", fallback: "" },
      connections: { help: "BMP connections at once", fallback: 64, ...many },
      streams: { help: "streams of one connection at once", fallback: 1_024, ...many },
    },
  });
  const { "tls-cert": cert, "tls-key": key, connections, streams } = flags;
  if (!flags.listen || !flags.to) fail("--listen and --to are needed. --help shows how.");
  if (!cert !== !key) fail("--tls-cert and --tls-key: want both, or neither.");
  const listen = place(flags.listen, "127.0.0.1");
  const to = place(flags.to);
  if (to.port === 0) fail(`--to ${flags.to}: nobody can be reached at port 0.`);
  const gateway = await startGateway({
    listen,
    to,
    connections,
    settings: { streams },
    ...(cert ? { tls: { cert, key } } : {}),
    told: note,
  });
  const shown = shownAs({ ...listen, port: gateway.port });
  say(`BMP${cert ? " over TLS" : ""} at ${shown} leads to ${shownAs(to)}`);
  interrupted().addEventListener("abort", () => void gateway.stop().then(() => process.exit(0)));
}

const shownAs = ({ hostname, port }: Address): string =>
  hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;

if (import.meta.main) {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof ListenError || error instanceof ArgsError)) throw error;
    fail(error.message);
  }
}
