/**
 * A WebSocket client that costs next to nothing: a TCP socket that counts bytes and reads no frame.
 *
 * @module
 */
import { connect, type Socket } from "node:net";
import { concat } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { Capability, encodeHandshake } from "../src/wire/blaze/handshake.ts";

/** Where a member goes. */
export interface Place {
  readonly port: number;
  readonly database: string;
  /** Whether this server wants a Handshake first. */
  readonly handshake: boolean;
}

/** Most bytes that are read at once. */
const READ_BYTES = 262_144;

export class Client {
  /** Bytes since the upgrade, or since somebody set it to 0. */
  received = 0;
  /** Called with the bytes of each read. */
  onBytes: (count: number) => void = () => {};
  closed = false;

  private constructor(private readonly socket: Socket) {}

  /** Connects, upgrades, joins. */
  static join({ port, database, handshake }: Place): Promise<Client> {
    return new Promise((resolve, reject) => {
      // One buffer for all its reads: the runtimes would make a new one for each.
      const buffer = new Uint8Array(READ_BYTES);
      const callback = (count: number) => {
        read(buffer.subarray(0, count));
        return true;
      };
      const onread = { buffer, callback };
      const socket = connect({ port, host: "127.0.0.1", noDelay: true, onread });
      const client = new Client(socket);
      let head: string | undefined = "";
      const read = (chunk: Uint8Array) => {
        if (head === undefined) {
          client.received += chunk.length;
          client.onBytes(chunk.length);
          // The first thing that a relay says to a member is that it has joined.
          return resolve(client);
        }
        head += String.fromCharCode(...chunk);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        if (!head.startsWith("HTTP/1.1 101")) return reject(new Error(head));
        const rest = head.length - end - 4;
        head = undefined;
        if (handshake) socket.write(handshakeOf(database));
        else resolve(client);
        if (rest > 0) read(chunk.subarray(chunk.length - rest));
      };

      socket.on("error", reject);
      socket.on("close", () => {
        client.closed = true;
        reject(new Error("closed"));
      });
      socket.write(
        `GET /sync/${database} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nupgrade: websocket\r\n` +
          "connection: upgrade\r\nsec-websocket-version: 13\r\n" +
          "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
    });
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  leave(): void {
    this.socket.destroy();
  }
}

/** A message as a client sends it (RFC 6455, 5.2), masked with zeros: these leave it as it is. */
export function masked(message: Uint8Array): Uint8Array {
  const n = message.length;
  const length = n < 126 ? [0x80 | n] : [0x80 | 126, n >> 8, n & 0xff];
  return concat(Uint8Array.of(0x82, ...length, 0, 0, 0, 0), message);
}

/** Bytes of a message of `length` bytes on its way from a server. */
export const fromServer = (length: number): number => length + (length < 126 ? 2 : 4);

/** An Operation frame around a payload of random bytes: sealed ones look like it. */
export function operation(payloadBytes: number): Uint8Array {
  const payload = crypto.getRandomValues(new Uint8Array(payloadBytes));
  return encodeFrame({ type: FrameType.operation, encrypted: true, payload });
}

function handshakeOf(database: string): Uint8Array {
  const payload = encodeHandshake({
    node: crypto.getRandomValues(new Uint8Array(16)),
    database,
    publicKey: new Uint8Array(65).fill(4),
    capabilities: Capability.encryption | Capability.shortHeaders | Capability.group,
    timestamp: BigInt(Date.now()),
    tlvs: [],
  });
  return masked(encodeFrame({ type: FrameType.handshake, payload }));
}

/** Joins all, some at a time, and waits until the servers have nothing more to say of it. */
export async function joinAll(places: readonly Place[]): Promise<Client[]> {
  const clients: Client[] = [];
  for (let i = 0; i < places.length; i += 50) {
    clients.push(...await Promise.all(places.slice(i, i + 50).map(Client.join)));
  }
  await quiet(clients);
  return clients;
}

/** Waits until nothing has arrived for `ms` milliseconds. */
export async function quiet(clients: readonly Client[], ms = 150): Promise<void> {
  const sum = () => clients.reduce((total, { received }) => total + received, 0);
  let before: number;
  do {
    before = sum();
    await new Promise((resolve) => setTimeout(resolve, ms));
  } while (before !== sum());
}
