/**
 * The primitives that the group profile is made of. WebCrypto only.
 *
 * Every derived value has a label of its own, so that no two purposes can ever share a key.
 *
 * @module
 */
import { type Bytes, concat, utf8Bytes } from "../../../wire/bytes.ts";

const SALT = utf8Bytes("blazedb-sync-v1");

/** HKDF-SHA256 with salt `blazedb-sync-v1` and info label ‖ context. */
export async function derive(
  secret: Uint8Array,
  length: number,
  label: string,
  ...context: readonly Uint8Array[]
): Promise<Bytes> {
  const material = await crypto.subtle.importKey("raw", secret.slice(), "HKDF", false, [
    "deriveBits",
  ]);
  const info = concat(utf8Bytes(label), ...context);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: SALT, info },
    material,
    8 * length,
  );
  return new Uint8Array(bits);
}

/** SHA-256 of label ‖ parts. The chain of a log and the name of a commit have no label: it is empty. */
export async function digest(label: string, ...parts: readonly Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(
    await crypto.subtle.digest("SHA-256", concat(utf8Bytes(label), ...parts)),
  );
}

export const aesKey = (key: Uint8Array): Promise<CryptoKey> =>
  crypto.subtle.importKey("raw", key.slice(), "AES-GCM", false, ["encrypt", "decrypt"]);

export const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));
