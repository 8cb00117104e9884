/**
 * Who a device is: two long-term P-256 key pairs, one to sign with and one that secrets are wrapped
 * for. Its node id is made of both public keys, so nobody can carry another's.
 *
 * Card, what others know of a device:
 *
 * | bytes | field                                        |
 * | ----- | -------------------------------------------- |
 * | 65    | signing key (ECDSA P-256), `04`, x, y        |
 * | 65    | wrapping key (ECDH P-256), `04`, x, y        |
 * | 1 + n | length and name for people, at most 63 bytes |
 *
 * Node id: first 16 bytes of SHA-256(`BX1 node` ‖ signing key ‖ wrapping key).
 *
 * @module
 */
import { type Bytes, concat, Reader, utf8Bytes, WireError, Writer } from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { digest } from "./derive.ts";

const SIGN = { name: "ECDSA", namedCurve: "P-256" } as const;
const WRAP = { name: "ECDH", namedCurve: "P-256" } as const;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;

export const KEY_LENGTH = 65;
export const SIGNATURE_LENGTH = 64;
const MAX_DEVICE_NAME = 63;

/** What others know of a device. */
export interface Card {
  /** 16 bytes, made of the keys. */
  readonly node: Bytes;
  readonly signKey: Bytes;
  readonly wrapKey: Bytes;
  /** For people. */
  readonly name: string;
}

/** A device, with its private keys. */
export interface Identity {
  readonly card: Card;
  readonly sign: CryptoKey;
  readonly wrap: CryptoKeyPair;
}

/** Draws the keys of a new device. A longer name than 63 bytes is refused with `NAME_LENGTH`. */
export async function drawIdentity(name: string): Promise<Identity> {
  const sign = await crypto.subtle.generateKey(SIGN, true, ["sign", "verify"]);
  const wrap = await crypto.subtle.generateKey(WRAP, true, ["deriveBits"]);
  return { card: await cardOf(sign.publicKey, wrap.publicKey, name), sign: sign.privateKey, wrap };
}

async function cardOf(sign: CryptoKey, wrap: CryptoKey, name: string): Promise<Card> {
  if (utf8Bytes(name).length > MAX_DEVICE_NAME) {
    throw new ClientError("NAME_LENGTH", `a device's name has at most ${MAX_DEVICE_NAME} bytes`);
  }
  const [signKey, wrapKey] = await Promise.all([exportRaw(sign), exportRaw(wrap)]);
  return { node: await nodeOf(signKey, wrapKey), signKey, wrapKey, name };
}

const exportRaw = async (key: CryptoKey): Promise<Bytes> =>
  new Uint8Array(await crypto.subtle.exportKey("raw", key));

const nodeOf = async (signKey: Uint8Array, wrapKey: Uint8Array): Promise<Bytes> =>
  (await digest("BX1 node", signKey, wrapKey)).slice(0, 16);

export function encodeCard({ signKey, wrapKey, name }: Card): Bytes {
  const text = utf8Bytes(name);
  return new Writer(256).bytes(signKey).bytes(wrapKey).u8(text.length).bytes(text).finish();
}

/**
 * Reads a card, checks that both keys are on the curve, and computes its node id. Throws `TRUNCATED`,
 * `INVALID_UTF8`, `NAME_LENGTH`, `INVALID_POINT`.
 */
export async function readCard(r: Reader): Promise<Card> {
  const signKey = r.bytes(KEY_LENGTH).slice();
  const wrapKey = r.bytes(KEY_LENGTH).slice();
  const at = r.offset;
  const length = r.u8();
  if (length > MAX_DEVICE_NAME) throw new WireError("NAME_LENGTH", at);
  const name = r.text(length);
  try {
    await crypto.subtle.importKey("raw", signKey, SIGN, false, ["verify"]);
    await crypto.subtle.importKey("raw", wrapKey, WRAP, false, []);
  } catch {
    throw new ClientError("INVALID_POINT", "a key of a device is not on the curve");
  }
  return { node: await nodeOf(signKey, wrapKey), signKey, wrapKey, name };
}

/** 64 bytes: r, s. */
export async function sign(key: CryptoKey, message: Uint8Array): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign(SIGNATURE, key, message.slice()));
}

/** Whether a device signed this. A key that is not on the curve signs nothing. */
export async function signed(
  signKey: Uint8Array,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey("raw", signKey.slice(), SIGN, false, ["verify"]);
    return await crypto.subtle.verify(SIGNATURE, key, signature.slice(), message.slice());
  } catch {
    return false;
  }
}

/** Both private keys and the card, for the device's own storage and nobody else. */
export async function exportIdentity({ card, sign, wrap }: Identity): Promise<Bytes> {
  const keys = await Promise.all(
    [sign, wrap.privateKey].map((key) => crypto.subtle.exportKey("pkcs8", key)),
  );
  const w = new Writer(512);
  for (const key of keys) w.u16(key.byteLength).bytes(new Uint8Array(key));
  return concat(w.finish(), encodeCard(card));
}

export async function importIdentity(bytes: Uint8Array): Promise<Identity> {
  const r = new Reader(bytes);
  const [signKey, wrapKey] = [r.bytes(r.u16()).slice(), r.bytes(r.u16()).slice()];
  const card = await readCard(r);
  const [sign, privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey("pkcs8", signKey, SIGN, true, ["sign"]),
    crypto.subtle.importKey("pkcs8", wrapKey, WRAP, true, ["deriveBits"]),
    crypto.subtle.importKey("raw", card.wrapKey, WRAP, true, []),
  ]);
  return { card, sign, wrap: { privateKey, publicKey } };
}
