/**
 * BMP over TCP, with or without TLS. Both runtimes have `node:net`, so this file names neither.
 *
 * @module
 */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { socketCarrier } from "../link/mux/socket_carrier.ts";
import { listening } from "../runtime/listening.ts";
import type { Server } from "../runtime/runtime.ts";
import { UnderWay } from "../runtime/under_way.ts";
import type { BmpServer } from "./bmp_server.ts";
import { type PemPair, readPem } from "./pem.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** PEM files. */
  readonly tls?: PemPair;
}

/** Serves BMP on a port. Throws `ListenError`. */
export async function listenBmp(options: ListenOptions, bmp: BmpServer): Promise<Server> {
  const sockets = new Set<Socket>();
  const underWay = new UnderWay();
  const take = (socket: Socket) => {
    const { remoteAddress } = socket;
    // It was reset before anybody looked, and has nobody at its other end.
    if (!remoteAddress) return void socket.destroy();
    sockets.add(socket);
    const ended = underWay.begin();
    socket.on("close", () => {
      sockets.delete(socket);
      ended();
    });
    const address = plainAddress(remoteAddress);
    socketCarrier(socket, (carrier) => bmp.connect(carrier, address));
  };
  const { tls } = options;
  const server = tls ? createTlsServer({ ...readPem(tls) }, take) : createServer(take);
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

/** An IPv4 address that came over an IPv6 socket, as itself. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, "");
