/**
 * Devices with fixed keys that write into a log with the SDK's codecs: what they write is the same every
 * time, but for signatures, which WebCrypto draws.
 *
 * @module
 */
import { Compression } from "../../src/client/blaze/compression.ts";
import { memoryStorage, Saver } from "../../src/client/blaze/storage.ts";
import { loadZstd } from "../../src/client/blaze/zstd.ts";
import { checkpointParts } from "../../src/client/group/data/checkpoint.ts";
import { EpochLog } from "../../src/client/group/log/epoch_log.ts";
import { Ledger } from "../../src/client/group/data/ledger.ts";
import { decodeLinked } from "../../src/client/group/data/linked_body.ts";
import { encodeAnnounce, openEntry, Voice } from "../../src/client/group/log/log_entries.ts";
import { nodeOfKey } from "../../src/client/group/mls/credential.ts";
import type { OperationKind } from "../../src/wire/blaze/operation.ts";
import { type FieldsInput, Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { type Bytes, concat, fromHex, hex, utf8Bytes } from "../../src/wire/bytes.ts";

/** A P-256 key: private number, and both coordinates of the public point, in hex. */
export interface FixedKey {
  readonly d: string;
  readonly x: string;
  readonly y: string;
}

/** Signs for a device: `message` is all that is signed. */
export type SignFixed = (key: FixedKey, message: Bytes) => Promise<Bytes>;

const base64url = (text: string): string =>
  btoa(String.fromCharCode(...fromHex(text))).replaceAll("+", "-").replaceAll("/", "_")
    .replace(/=+$/, "");

/** Signs with WebCrypto, another signature each time. */
export async function signFresh({ d, x, y }: FixedKey, message: Bytes): Promise<Bytes> {
  const jwk = { kty: "EC", crv: "P-256", d: base64url(d), x: base64url(x), y: base64url(y) };
  const how = { name: "ECDSA", namedCurve: "P-256" };
  const key = await crypto.subtle.importKey("jwk", jwk, how, false, ["sign"]);
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, message);
  return new Uint8Array(signature);
}

export const publicKey = ({ x, y }: FixedKey): Bytes => fromHex(`04${x}${y}`);

/** Runs with random values that count up from `first`: the first one of n bytes is n times `first`. */
export async function withCounted<T>(first: number, run: () => Promise<T>): Promise<T> {
  const own = Object.getOwnPropertyDescriptor(crypto, "getRandomValues");
  let next = first;
  const value = (into: Uint8Array) => into.fill(next++);
  Object.defineProperty(crypto, "getRandomValues", { value, configurable: true });
  try {
    return await run();
  } finally {
    if (own) Object.defineProperty(crypto, "getRandomValues", own);
    else delete (crypto as { getRandomValues?: unknown }).getRandomValues;
  }
}

/** A zstd frame that holds its content as it is, which every version writes alike. */
export function rawZstd(bytes: Uint8Array): Bytes {
  const { length } = bytes;
  const size = length < 256 ? [0x20, length] : [0x60, (length - 256) & 0xff, (length - 256) >> 8];
  const block = (length << 3) | 1;
  const header = [0x28, 0xb5, 0x2f, 0xfd, ...size, block & 0xff, (block >> 8) & 0xff, block >> 16];
  return concat(Uint8Array.from(header), bytes);
}

/** A log that several devices share. */
export interface SharedLog {
  readonly ring: Bytes;
  readonly frames: Bytes[];
}

export class Scribe {
  #log!: EpochLog;
  #shared!: SharedLog;
  #voice!: Voice;

  private constructor(
    readonly node: Bytes,
    readonly ledger: Ledger,
    private readonly key: FixedKey,
    private readonly database: string,
    private readonly compression: Compression,
    private readonly signing: SignFixed,
  ) {}

  static async of(
    key: FixedKey,
    database: string,
    signing: SignFixed,
    mode: "always" | "never",
  ): Promise<Scribe> {
    const node = await nodeOfKey(publicKey(key));
    const ledger = await Ledger.of(new Saver(memoryStorage()), new Map(), { node, most: 100 });
    const { decompress } = await loadZstd();
    const load = () => Promise.resolve({ compress: rawZstd, decompress });
    const compression = new Compression({ mode, fault: () => {}, load });
    return new Scribe(node, ledger, key, database, compression, signing);
  }

  /** Begins with a log, as an instance of its own. */
  async begin(log: EpochLog, shared: SharedLog, pad = true): Promise<void> {
    this.#log = log;
    this.#shared = shared;
    this.ledger.unlogged();
    const { ring } = shared;
    const { hash } = log.cursor;
    log.opened({
      subtype: "recovered",
      complete: true,
      durability: 0,
      ring,
      first: 1n,
      last: 0n,
      hash,
    });
    const options = { compression: this.compression, pad };
    this.#voice = await Voice.draw(log, this.node, this.database, options);
  }

  sign(label: string, message: Uint8Array): Promise<Bytes> {
    const { group } = this.#log.epoch;
    return this.signing(this.key, concat(utf8Bytes(label), group, this.node, message));
  }

  /** Reads what others have written. */
  async read(): Promise<void> {
    for (;;) {
      const { sequence } = this.#log.cursor;
      const frame = this.#shared.frames[Number(sequence)];
      if (!frame) return;
      await this.#log.step(sequence + 1n, frame);
      const entry = await openEntry(frame, this.#log, this.compression).catch(() => undefined);
      if (entry?.kind === "announce") {
        this.#log.admit(entry.opener, entry.announce.key);
        this.ledger.covered(hex(entry.opener.sender.node), entry.announce.vector);
      } else if (entry?.kind === "operation") {
        this.ledger.take(hex(entry.node), await decodeLinked(entry.body));
      }
    }
  }

  async announce(): Promise<void> {
    await this.read();
    const what = encodeAnnounce(this.#log.cursor, publicKey(this.key), this.ledger.having);
    const signature = await this.sign("BX2 announce", what);
    this.append(await this.#voice.announce(concat(what, signature)));
  }

  /** Makes an operation, and appends it. Answers its body. */
  async write(
    kind: OperationKind,
    collection: string,
    id: string,
    changes: FieldsInput,
    { signed = false, client }: { signed?: boolean; client?: Uint8Array } = {},
  ): Promise<Bytes> {
    await this.read();
    const sign = signed ? (what: Bytes) => this.sign("BX2 operation", what) : undefined;
    const uuid = Uuid.parse(id);
    const { bytes } = await this.ledger.write(kind, collection, uuid, changes, client, sign);
    await this.body(bytes);
    return bytes;
  }

  /** Appends a body as it is. */
  async body(bytes: Bytes): Promise<void> {
    this.append(await this.#voice.operation(bytes, true));
  }

  async hold(): Promise<void> {
    this.append(await this.#voice.hold());
  }

  /** Uploads what it has. Answers the digest's parts: contents, and each part before it is sealed. */
  async checkpoint(): Promise<Bytes[]> {
    await this.read();
    const instances = this.#log.speakers().map(({ node, instance, next }) => ({
      node: hex(node),
      instance: hex(instance),
      counter: next,
    }));
    const contents = this.ledger.contents();
    const parts = await checkpointParts(
      { ...this.#log.cursor, instances },
      contents,
      (what) => this.sign("BX2 checkpoint", what),
    );
    for (const part of parts) this.append(await this.#voice.checkpoint(part, true));
    return parts;
  }

  async endorse(digest: Uint8Array): Promise<void> {
    const signature = await this.sign("BX2 endorsement", digest);
    this.append(await this.#voice.endorsement(concat(digest, signature)));
  }

  append(frame: Bytes): void {
    this.#shared.frames.push(frame);
  }
}
