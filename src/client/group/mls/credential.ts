/**
 * Who a leaf of the tree is: the identity of its basic credential.
 *
 * | bytes | field                                                               |
 * | ----- | ------------------------------------------------------------------- |
 * | 16    | node id: first bytes of SHA-256(`BX2 node` ‖ signature key)          |
 * | 16    | door seed: of it and the node id is the member's own door            |
 * | 1 + n | length and name for people, at most 63 bytes of UTF-8                |
 *
 * @module
 */
import {
  type Bytes,
  Reader,
  sameBytes,
  utf8Bytes,
  WireError,
  Writer,
} from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { digest } from "../e2e/derive.ts";

const PART = 16;
const MAX_NAME = 63;

export interface LeafIdentity {
  readonly node: Bytes;
  readonly seed: Bytes;
  readonly name: string;
}

/** 16 bytes, made of the signature key: nobody can carry another's. */
export const nodeOfKey = async (signKey: Uint8Array): Promise<Bytes> =>
  (await digest("BX2 node", signKey)).slice(0, PART);

/** Throws `NAME_LENGTH` for a name above 63 bytes. */
export function encodeIdentity({ node, seed, name }: LeafIdentity): Bytes {
  const text = utf8Bytes(name);
  if (text.length > MAX_NAME) {
    throw new ClientError("NAME_LENGTH", `a device's name has at most ${MAX_NAME} bytes`);
  }
  return new Writer(96).bytes(node).bytes(seed).u8(text.length).bytes(text).finish().slice();
}

/** Throws `NAME_LENGTH`, `TRUNCATED`, `INVALID_UTF8`, `TRAILING_BYTES`. */
export function decodeIdentity(bytes: Uint8Array): LeafIdentity {
  const r = new Reader(bytes);
  const node = r.bytes(PART).slice();
  const seed = r.bytes(PART).slice();
  const at = r.offset;
  const length = r.u8();
  if (length > MAX_NAME) throw new WireError("NAME_LENGTH", at);
  const name = r.text(length);
  r.end();
  return { node, seed, name };
}

/** Whether these bytes are an identity whose node id is made of this key. */
export async function identityFits(bytes: Uint8Array, signKey: Uint8Array): Promise<boolean> {
  try {
    return sameBytes(decodeIdentity(bytes).node, await nodeOfKey(signKey));
  } catch {
    return false;
  }
}
