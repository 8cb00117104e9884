/**
 * Sender keys: each connection of a device seals with a key of its own, so that nonces can be counted
 * and never meet those of another device, another tab or a restored backup.
 *
 * Key and hint: 36 bytes derived of the epoch (see `epoch.ts`), key 32 ‖ hint 4.
 * Nonce: hint 4 ‖ counter u64, which begins at 0 and never repeats for an instance.
 * Sealed payload: nonce 12 ‖ ciphertext ‖ tag 16, as in the seed.
 *
 * Additional data, canonical values, so that the relay may rewrite headers:
 *
 * | bytes | field                                                     |
 * | ----- | --------------------------------------------------------- |
 * | 4     | `BX2` 00                                                  |
 * | 1     | frame type                                                |
 * | 1     | subtype of an Extension, else 0                           |
 * | 1     | 1 if compressed, else 0                                   |
 * | 8     | epoch id                                                  |
 * | 16    | node id of the sender                                     |
 * | 8     | instance                                                  |
 * | 16    | node id of the one receiver, zeros if it is for everybody |
 * | 2 + n | length and name of the database                           |
 * | m     | what else the purpose binds: nothing in frames            |
 *
 * @module
 */
import {
  type Bytes,
  concat,
  hex,
  Reader,
  utf8Bytes,
  WireError,
  Writer,
} from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import { ClientError } from "../../client_error.ts";
import { aesKey, derive, random } from "./derive.ts";
import type { Epoch } from "./epoch.ts";
import { NONCE_LENGTH, TAG_LENGTH } from "../../pair/pair_keys.ts";
import { ReplayWindow } from "./replay.ts";

export const INSTANCE_LENGTH = 8;
const HINT_LENGTH = 4;
/** Frames of one instance; then it is time for another one (NIST SP 800-38D wants a bound). */
const MAX_FRAMES = 2n ** 32n;
const LABEL = Uint8Array.of(0x42, 0x58, 0x32, 0x00);
const EVERYBODY = new Uint8Array(NODE_ID_LENGTH);
const NOTHING = new Uint8Array();

/** What a payload is, beside its bytes: all of it is authenticated. */
export interface Purpose {
  readonly type: number;
  readonly subtype?: number;
  readonly compressed: boolean;
  /** The one device that it is for. */
  readonly target?: Uint8Array | undefined;
  /** What else is bound to it. */
  readonly bound?: Uint8Array;
}

/** One instance of a device in one epoch: its key, and everything that is bound to it. */
export class Sender {
  private constructor(
    readonly epoch: Epoch,
    readonly node: Bytes,
    readonly instance: Bytes,
    readonly hint: Bytes,
    private readonly key: CryptoKey,
    private readonly database: Bytes,
  ) {}

  /** `label`: of the key, another one for each kind of protocol. */
  static async of(
    epoch: Epoch,
    node: Uint8Array,
    instance: Uint8Array,
    database: string,
    label = "BX2 sender",
  ): Promise<Sender> {
    const length = 32 + HINT_LENGTH;
    const context = [epoch.group, node, instance];
    const bits = await derive(epoch.secret, length, label, ...context);
    const key = await aesKey(bits.subarray(0, 32));
    const hint = bits.slice(32);
    bits.fill(0);
    return new Sender(epoch, node.slice(), instance.slice(), hint, key, utf8Bytes(database));
  }

  /** Draws an instance for a new connection, again if its hint is taken. */
  static async draw(
    epoch: Epoch,
    node: Uint8Array,
    database: string,
    taken: (hint: string) => boolean = () => false,
  ): Promise<Sender> {
    for (;;) {
      const sender = await Sender.of(epoch, node, random(INSTANCE_LENGTH), database);
      if (!taken(hex(sender.hint))) return sender;
    }
  }

  aad({ type, subtype = 0, compressed, target = EVERYBODY, bound = NOTHING }: Purpose): Bytes {
    const w = new Writer(128).bytes(LABEL).u8(type).u8(subtype).u8(compressed ? 1 : 0);
    w.bytes(this.epoch.id).bytes(this.node).bytes(this.instance).bytes(target);
    return w.u16(this.database.length).bytes(this.database).bytes(bound).finish();
  }

  async encrypt(nonce: Bytes, purpose: Purpose, plaintext: Uint8Array): Promise<Bytes> {
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: this.aad(purpose) };
    return concat(
      nonce,
      new Uint8Array(await crypto.subtle.encrypt(algorithm, this.key, plaintext.slice())),
    );
  }

  /** Throws `AUTH_FAILED` unless exactly this was sealed by this instance for this purpose. */
  async decrypt(payload: Uint8Array, purpose: Purpose): Promise<Bytes> {
    const additionalData = this.aad(purpose);
    const iv = payload.slice(0, NONCE_LENGTH);
    const sealed = payload.slice(NONCE_LENGTH);
    try {
      const algorithm = { name: "AES-GCM", iv, additionalData };
      return new Uint8Array(await crypto.subtle.decrypt(algorithm, this.key, sealed));
    } catch {
      throw new ClientError("AUTH_FAILED", "not sealed for this by its sender");
    }
  }
}

/** The hint and the counter of a sealed payload. Throws `CIPHERTEXT_TOO_SHORT`. */
export function readNonce(payload: Uint8Array): { hint: string; counter: bigint } {
  if (payload.length < NONCE_LENGTH + TAG_LENGTH) {
    throw new WireError("CIPHERTEXT_TOO_SHORT", payload.length);
  }
  const r = new Reader(payload);
  return { hint: hex(r.bytes(HINT_LENGTH)), counter: r.u64() };
}

/** The device's own instance: issues nonces. Never kept, so never restored. */
export class Sealer {
  #counter: bigint;

  /** `counter`: where to begin, for tests of what happens at the end. */
  constructor(readonly sender: Sender, counter = 0n) {
    this.#counter = counter;
  }

  /** Whether 2^32 nonces were issued. */
  get worn(): boolean {
    return this.#counter >= MAX_FRAMES;
  }

  /** The next nonce. Throws `KEY_WORN_OUT` after 2^32 of them. */
  nonce(): Bytes {
    if (this.worn) throw new ClientError("KEY_WORN_OUT", "draw a new instance");
    const nonce = new Uint8Array(NONCE_LENGTH);
    nonce.set(this.sender.hint);
    new DataView(nonce.buffer).setBigUint64(HINT_LENGTH, this.#counter++);
    return nonce;
  }

  seal(purpose: Purpose, plaintext: Uint8Array): Promise<Bytes> {
    return this.sender.encrypt(this.nonce(), purpose, plaintext);
  }
}

/** Another device's instance, as announced: opens each of its payloads once. */
export class Opener {
  readonly window: ReplayWindow;

  /** As for {@linkcode ReplayWindow}. */
  constructor(readonly sender: Sender, mark = 0n, behind?: bigint) {
    this.window = new ReplayWindow(mark, behind);
  }

  /** Throws `REPLAY` and `AUTH_FAILED`. */
  async open(payload: Uint8Array, purpose: Purpose): Promise<Bytes> {
    const { counter } = readNonce(payload);
    if (counter >= MAX_FRAMES) throw new WireError("REPLAY", 4, "no instance has as many frames");
    if (!this.window.fresh(counter)) throw new WireError("REPLAY", 4, "seen before, or too old");
    const plaintext = await this.sender.decrypt(payload, purpose);
    // Again: another copy may have been opened meanwhile.
    if (!this.window.fresh(counter)) throw new WireError("REPLAY", 4, "seen before");
    this.window.note(counter);
    return plaintext;
  }
}
