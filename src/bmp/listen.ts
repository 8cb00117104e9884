/**
 * BMP over TCP, with or without TLS. Both runtimes have `node:net`, so this file names neither.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { socketCarrier } from "../link/mux/socket_carrier.ts";
import { ListenError, listening } from "../runtime/listening.ts";
import type { Server } from "../runtime/runtime.ts";
import { UnderWay } from "../runtime/under_way.ts";
import type { BmpServer } from "./bmp_server.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** Serves BMP on a port. Throws {@linkcode ListenError}. */
export async function listenBmp(options: ListenOptions, bmp: BmpServer): Promise<Server> {
  const sockets = new Set<Socket>();
  const underWay = new UnderWay();
  const take = (socket: Socket) => {
    sockets.add(socket);
    const ended = underWay.begin();
    socket.on("close", () => {
      sockets.delete(socket);
      ended();
    });
    const address = plainAddress(socket.remoteAddress);
    socketCarrier(socket, (carrier) => bmp.connect(carrier, address));
  };
  const { tls } = options;
  const server = tls ? tlsServer(tls, take) : createServer(take);
  const { hostname, port } = options;
  await listening(hostname, port, () =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, hostname, resolve);
    }));
  const bound = server.address() as AddressInfo;
  return {
    hostname: bound.address,
    port: bound.port,
    stop: async (graceMs) => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await underWay.ended(graceMs);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function tlsServer(tls: { cert: string; key: string }, take: (socket: Socket) => void) {
  const [cert, key] = [readPem(tls.cert), readPem(tls.key)];
  // Not every runtime looks at them before the first connection.
  if (!fits(cert, key)) {
    throw new ListenError(`${tls.cert} and ${tls.key} are no PEM certificate and its key`);
  }
  return createTlsServer({ cert, key }, take);
}

function fits(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ListenError(`the PEM file ${path} cannot be read: ${(error as Error).message}`);
  }
}

/** An IPv4 address that came over an IPv6 socket, as itself. */
const plainAddress = (address = ""): string => address.replace(/^::ffff:(?=\d+\.)/, "");
