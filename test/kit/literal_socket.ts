/**
 * A literal client on a socket: it reads strictly, and keeps what it gets.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, pbkdf2Sync } from "node:crypto";
import { subprotocols } from "../../src/link/subprotocol.ts";
import {
  decodeOperation,
  encodeOperation,
  type Operation,
} from "../../src/wire/blaze/operation.ts";
import { type FieldsInput, Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { LiteralClient } from "./literal.ts";

/** What the text shows to people. The partner's Handshake is its Ack without the challenge. */
function thirtyDigits(own: Buffer, ack: Buffer): string {
  const other = Buffer.concat([Buffer.from("\x0bblazedb/1.0"), ack.subarray(0, -16)]);
  const hash = createHash("sha256").update("BX1 code");
  for (const one of [own, other].sort(Buffer.compare)) hash.update(one);
  const slow = pbkdf2Sync(hash.digest(), "BX1 code", 200_000, 32, "sha256");
  return String(BigInt(`0x${slow.toString("hex")}`) % 10n ** 30n).padStart(30, "0");
}

export class LiteralSocket {
  readonly text: LiteralClient;
  readonly operations: Operation[] = [];
  /** Types of the frames that came; `read` refuses whatever the text does not announce. */
  readonly types: number[] = [];
  readonly refused: unknown[] = [];
  #code: string | undefined;
  #hello: Uint8Array = new Uint8Array();
  #ack: Buffer | undefined;
  closedWith: number | undefined;
  readonly #socket: WebSocket;
  readonly #ready = Promise.withResolvers<void>();
  #counter = 0n;

  constructor(url: string, database: string, text = new LiteralClient(database)) {
    this.text = text;
    const handshake = this.text.handshake();
    this.#socket = new WebSocket(
      `${url.replace("http", "ws")}/sync/${database}`,
      subprotocols(),
    );
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#socket.send(handshake);
    this.#socket.onmessage = ({ data }) => {
      try {
        this.#take(new Uint8Array(data as ArrayBuffer), handshake);
      } catch (error) {
        this.refused.push(error);
      }
    };
    this.#socket.onclose = ({ code }) => this.closedWith = code;
  }

  /** Resolves once there is a key. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** 30 digits; empty while there is no key. Made where somebody asks: it is slow on purpose. */
  get code(): string {
    if (this.#ack === undefined) return "";
    return this.#code ??= thirtyDigits(Buffer.from(this.#hello.subarray(7)), this.#ack);
  }

  /** `counter`: one that was used before, to send something again. */
  insert(
    collection: string,
    changes: FieldsInput,
    id = Uuid.parse(crypto.randomUUID()),
    counter = ++this.#counter,
  ): Uuid {
    const operation = { kind: "insert" as const, collection, id, counter, node: 7, changes };
    this.send(this.text.operation(encodeOperation(operation)));
    return id;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(message);
  }

  close(): void {
    this.#socket.close();
  }

  #take(message: Uint8Array, handshake: Uint8Array): void {
    const { type, encrypted, payload } = this.text.read(message);
    this.types.push(type);
    if (type === 0x1) {
      [this.#hello, this.#ack, this.#code] = [handshake, Buffer.from(payload), undefined];
      this.send(this.text.acknowledge(payload));
      this.#ready.resolve();
    } else if (type === 0x2 && encrypted) {
      this.operations.push(decodeOperation(Uint8Array.from(this.text.open(Buffer.from(payload)))));
    }
  }
}
