/**
 * A literal client on a socket: it reads strictly, and keeps what it gets.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { subprotocols } from "../../src/link/subprotocol.ts";
import { comparisonCode } from "../../src/client/pair/pair_keys.ts";
import { decodeFrame } from "../../src/wire/blaze/blaze_frame.ts";
import { decodeHandshake, decodeHandshakeAck } from "../../src/wire/blaze/handshake.ts";
import {
  decodeOperation,
  encodeOperation,
  type Operation,
} from "../../src/wire/blaze/operation.ts";
import { type FieldsInput, Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { LiteralClient } from "./literal.ts";

export class LiteralSocket {
  readonly text: LiteralClient;
  readonly operations: Operation[] = [];
  /** Types of the frames that came; `read` refuses whatever the text does not announce. */
  readonly types: number[] = [];
  readonly refused: unknown[] = [];
  /** 30 digits. */
  code = "";
  closedWith: number | undefined;
  readonly #socket: WebSocket;
  readonly #ready = Promise.withResolvers<void>();
  #counter = 0n;
  #inbound: Promise<void> = Promise.resolve();

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
      const message = new Uint8Array(data as ArrayBuffer);
      this.#inbound = this.#inbound.then(() => this.#take(message, handshake))
        .catch((error) => void this.refused.push(error));
    };
    this.#socket.onclose = ({ code }) => this.closedWith = code;
  }

  /** Resolves once there is a key. */
  get ready(): Promise<void> {
    return this.#ready.promise;
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

  async #take(message: Uint8Array, handshake: Uint8Array): Promise<void> {
    const { type, encrypted, payload } = this.text.read(message);
    this.types.push(type);
    if (type === 0x1) {
      const ack = decodeHandshakeAck(Uint8Array.from(payload));
      const own = decodeHandshake(decodeFrame(handshake).payload.slice());
      this.code = await comparisonCode({ handshake: own }, { handshake: ack });
      this.send(this.text.acknowledge(payload));
      this.#ready.resolve();
    } else if (type === 0x2 && encrypted) {
      this.operations.push(decodeOperation(Uint8Array.from(this.text.open(Buffer.from(payload)))));
    }
  }
}
