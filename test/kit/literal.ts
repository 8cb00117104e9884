/**
 * A literal client: the seed's text turned into code and nothing else. It shares no line with
 * `src/`, so what it can talk to follows the text. Frames are put together by hand, keys come from
 * `node:crypto`.
 *
 * @module
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  hkdfSync,
  randomBytes,
} from "node:crypto";
import { Buffer } from "node:buffer";

/** Which of the seed's two readings of the flags byte this client was written from. */
export type LiteralFlags = "legend" | "examples";

const flagsByte = (type: number, encrypted: boolean, style: LiteralFlags): number =>
  style === "legend" ? (encrypted ? 0x40 : 0) | type : 0x40 | (encrypted ? 0x10 : 0) | type;

/** A frame as the text draws it: magic, flags, 4-byte length, payload. */
export function literalFrame(
  type: number,
  payload: Uint8Array,
  encrypted = false,
  style: LiteralFlags = "legend",
): Uint8Array<ArrayBuffer> {
  const head = Buffer.alloc(7);
  head.writeUInt16BE(0xbf01, 0);
  head.writeUInt8(flagsByte(type, encrypted, style), 2);
  head.writeUInt32BE(payload.length, 3);
  return new Uint8Array(Buffer.concat([head, payload]));
}

export interface LiteralFrame {
  readonly type: number;
  readonly encrypted: boolean;
  readonly payload: Buffer;
}

/** One device that speaks the text. The transport is the caller's: bytes in, bytes out. */
export class LiteralClient {
  readonly node: Uint8Array;
  readonly #ecdh = createECDH("prime256v1");
  #secret: Buffer | undefined;
  #key: Uint8Array | undefined;
  /** What its Handshake says that it can. */
  capabilities = 0x0f;
  challenge: Buffer | undefined;
  partnerNode: Buffer | undefined;

  constructor(
    readonly database: string,
    readonly style: LiteralFlags = "legend",
    node: Uint8Array = randomBytes(16),
  ) {
    this.node = node;
    this.#ecdh.generateKeys();
  }

  handshake(timestamp = BigInt(Date.now())): Uint8Array<ArrayBuffer> {
    const name = Buffer.from(this.database, "utf8");
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(timestamp);
    const payload = Buffer.concat([
      Buffer.from([11]),
      Buffer.from("blazedb/1.0"),
      this.node,
      Buffer.from([name.length]),
      name,
      this.#ecdh.getPublicKey(),
      Buffer.from([this.capabilities]),
      time,
    ]);
    return literalFrame(0x0, payload, false, this.style);
  }

  /** Reads a frame; refuses whatever the text does not announce. */
  read(message: Uint8Array): LiteralFrame {
    const bytes = Buffer.from(message);
    if (bytes.readUInt16BE(0) !== 0xbf01) throw new Error("magic");
    if (bytes.readUInt32BE(3) !== bytes.length - 7) throw new Error("length");
    const flags = bytes[2]!;
    const type = flags & 0x0f;
    if (type > 0xd) throw new Error(`the text does not announce type ${type}`);
    const encrypted = this.style === "legend" ? (flags & 0x40) !== 0 : (flags & 0x10) !== 0;
    if (flags !== flagsByte(type, encrypted, this.style)) throw new Error(`flags ${flags}`);
    return { type, encrypted, payload: bytes.subarray(7) };
  }

  /** Takes a HandshakeAck as drawn, exactly, and derives the key. Answers the Verify frame. */
  acknowledge(payload: Buffer): Uint8Array<ArrayBuffer> {
    let at = 0;
    const take = (length: number) => payload.subarray(at, at += length);
    this.partnerNode = take(16);
    const database = take(take(1)[0]!).toString("utf8");
    const publicKey = take(65);
    const capabilities = take(1)[0]!;
    take(8);
    this.challenge = take(16);
    if (at !== payload.length || this.challenge.length !== 16) throw new Error("ack length");
    if ((capabilities & 0x01) === 0) throw new Error("no E2E");
    this.#secret = this.#ecdh.computeSecret(publicKey);
    const info = [this.database, database].sort().join(":");
    this.#key = new Uint8Array(hkdfSync("sha256", this.#secret, "blazedb-sync-v1", info, 32));
    return literalFrame(0x1, this.proof(), false, this.style);
  }

  /** The derived key: what nobody in between may ever hold. */
  get key(): Uint8Array {
    return this.#key!;
  }

  /** HMAC-SHA256 of the challenge under the shared secret. */
  proof(): Buffer {
    return createHmac("sha256", this.#secret!).update(this.challenge!).digest();
  }

  /** An encrypted Operation. */
  operation(plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key!, nonce);
    const sealed = Buffer.concat([
      nonce,
      cipher.update(plaintext),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
    return literalFrame(0x2, sealed, true, this.style);
  }

  open(payload: Buffer): Buffer {
    const decipher = createDecipheriv("aes-256-gcm", this.#key!, payload.subarray(0, 12));
    decipher.setAuthTag(payload.subarray(-16));
    return Buffer.concat([decipher.update(payload.subarray(12, -16)), decipher.final()]);
  }
}

/** Plaintext of an operation as the text lays it out, with an empty record as its changes. */
export function literalOperation(kind: number, collection: string, counter: bigint): Buffer {
  const name = Buffer.from(collection, "utf8");
  const rest = Buffer.alloc(16 + 8 + 4);
  randomBytes(16).copy(rest, 0);
  rest.writeBigUInt64BE(counter, 16);
  return Buffer.concat([
    Buffer.from([kind, name.length]),
    name,
    rest,
    Buffer.from("424c415a45010000", "hex"),
  ]);
}
