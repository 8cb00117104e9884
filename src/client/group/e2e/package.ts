/**
 * Epoch packages: the secret of the newest epoch and the changes that led to it, wrapped for one device
 * (HPKE, RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM).
 *
 * | bytes | field                                                                      |
 * | ----- | -------------------------------------------------------------------------- |
 * | 1     | mode: 0 for a device of the roster (base), 1 for one that joins (PSK)        |
 * | 32    | mode 1 only: salt of the join request that this answers                    |
 * | 65    | encapsulated key                                                           |
 * | n     | ciphertext and tag                                                         |
 *
 * HPKE info: `BX1 package` ‖ group id 16 ‖ node id 16 of the receiver ‖ salt (mode 1). No further data.
 * PSK: see `admission.ts`; its id is the admission id.
 *
 * Plaintext: secret 32, then each change as u16 length and bytes, from the one after the newest that the
 * receiver is known to have. What makes it genuine is inside: the changes are signed, and the last one
 * commits to the secret. So whoever has an epoch may send it again.
 *
 * @module
 */
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import {
  type Bytes,
  concat,
  Reader,
  sameBytes,
  utf8Bytes,
  WireError,
  Writer,
} from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { type AdmissionKey, SALT_LENGTH } from "./admission_key.ts";
import { decodeChange, type SignedChange } from "./change.ts";
import { SECRET_LENGTH } from "./epoch.ts";
import { type Card, type Identity, KEY_LENGTH } from "./identity.ts";
import { MAX_CHANGES } from "./roster.ts";

const suite = new CipherSuite({
  kem: new DhkemP256HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

export interface EpochPackage {
  readonly secret: Bytes;
  readonly changes: readonly SignedChange[];
}

/** What ties a package to the request that it answers. */
export interface Joining {
  readonly admission: AdmissionKey;
  readonly salt: Bytes;
}

const NOTHING = new Uint8Array();
const LABEL = utf8Bytes("BX1 package");

const infoOf = (group: Uint8Array, node: Uint8Array, salt: Uint8Array): Bytes =>
  concat(LABEL, group, node, salt);

const pskOf = (joining: Joining | undefined) =>
  joining ? { psk: { id: joining.admission.id, key: joining.admission.psk } } : {};

/** Wraps a package for the device of this card. */
export async function wrapPackage(
  { secret, changes }: EpochPackage,
  group: Uint8Array,
  { node, wrapKey }: Card,
  joining?: Joining,
): Promise<Bytes> {
  const w = new Writer(1024).bytes(secret);
  for (const { bytes } of changes) w.u16(bytes.length).bytes(bytes);
  const recipientPublicKey = await suite.kem.deserializePublicKey(wrapKey);
  const info = infoOf(group, node, joining?.salt ?? NOTHING);
  const { enc, ct } = await suite.seal(
    { recipientPublicKey, info, ...pskOf(joining) },
    w.finish().slice(),
  );
  const head = joining ? concat(Uint8Array.of(1), joining.salt) : Uint8Array.of(0);
  return concat(head, new Uint8Array(enc), new Uint8Array(ct));
}

/**
 * Opens a package. One in PSK mode is taken only as the answer to the latest request, `joining`. Throws `NOT_FOR_US`, `TRUNCATED`, and the codes of changes.
 */
export async function unwrapPackage(
  body: Uint8Array,
  group: Uint8Array,
  { card, wrap }: Identity,
  joining?: Joining,
): Promise<EpochPackage> {
  const r = new Reader(body);
  const mode = r.u8();
  const answered = mode === 1 ? joining : undefined;
  if (mode > 1 || (mode === 1 && !answered)) throw new ClientError("NOT_FOR_US", "another mode");
  const salt = mode === 1 ? r.bytes(SALT_LENGTH).slice() : NOTHING;
  if (answered && !sameBytes(salt, answered.salt)) {
    throw new WireError("NOT_FOR_US", 1, "the answer to another request");
  }
  const enc = r.bytes(KEY_LENGTH).slice();
  const info = infoOf(group, card.node, salt);
  let plaintext: Uint8Array;
  try {
    plaintext = new Uint8Array(
      await suite.open({ recipientKey: wrap, enc, info, ...pskOf(answered) }, r.rest().slice()),
    );
  } catch {
    throw new ClientError("NOT_FOR_US", "wrapped for another device, or by nobody we know");
  }
  return await readPackage(new Reader(plaintext));
}

async function readPackage(r: Reader): Promise<EpochPackage> {
  const secret = r.bytes(SECRET_LENGTH).slice();
  const changes: SignedChange[] = [];
  while (r.left > 0) {
    if (changes.length >= MAX_CHANGES) throw new WireError("CHAIN_FULL", r.offset);
    changes.push(await decodeChange(r.bytes(r.u16())));
  }
  return { secret, changes };
}
