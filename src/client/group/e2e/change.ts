/**
 * One change of the group: who made it, what changed, and a commitment to the secret of the epoch
 * that begins with it. Each change names its parent, so the changes are a chain, and the roster is
 * what the chain says (see `roster.ts`).
 *
 * | bytes | field                                                        |
 * | ----- | ------------------------------------------------------------ |
 * | 16    | group id                                                     |
 * | 4     | number: 1 for the first change, the parent's + 1 for others  |
 * | 32    | id of the parent, zeros for the first                        |
 * | 16    | node id of the author                                        |
 * | 1     | kind: 1 create, 2 add, 3 remove, 4 rotate                    |
 * | n     | create: policy u8, card · add: card · remove: node id 16     |
 * | 32    | commitment to the epoch's secret                             |
 * | 64    | the author's signature of `BX1 change` ‖ all of the above    |
 *
 * Id: SHA-256(`BX1 change id` ‖ everything before the signature). On the wire an epoch is named by the
 * first 8 bytes of it.
 *
 * @module
 */
import { type Bytes, concat, Reader, utf8Bytes, WireError, Writer } from "../../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../../wire/blaze/handshake.ts";
import { digest } from "./derive.ts";
import {
  type Card,
  encodeCard,
  type Identity,
  readCard,
  sign,
  SIGNATURE_LENGTH,
  signed,
} from "./identity.ts";

export const HASH_LENGTH = 32;
export const EPOCH_ID_LENGTH = 8;

/** Bits of the policy that a group is created with. */
export const Policy = { signOperations: 1 } as const;

export type Action =
  | { readonly kind: "create"; readonly policy: number; readonly card: Card }
  | { readonly kind: "add"; readonly card: Card }
  | { readonly kind: "remove"; readonly node: Bytes }
  | { readonly kind: "rotate" };

export interface Change {
  readonly group: Bytes;
  readonly number: number;
  readonly parent: Bytes;
  readonly author: Bytes;
  readonly action: Action;
  readonly commitment: Bytes;
}

/** A change as it travels and as it is kept. */
export interface SignedChange extends Change {
  /** 32 bytes. */
  readonly id: Bytes;
  readonly bytes: Bytes;
}

const KINDS = ["create", "add", "remove", "rotate"] as const;
const SIGNING = utf8Bytes("BX1 change");

/** Signs a change as its author. */
export async function signChange(change: Change, author: Identity): Promise<SignedChange> {
  const { action } = change;
  const w = new Writer(512).bytes(change.group).u32(change.number).bytes(change.parent);
  w.bytes(change.author).u8(1 + KINDS.indexOf(action.kind));
  if (action.kind === "create") w.u8(action.policy);
  if ("card" in action) w.bytes(encodeCard(action.card));
  if (action.kind === "remove") w.bytes(action.node);
  const head = w.bytes(change.commitment).finish();
  const signature = await sign(author.sign, concat(SIGNING, head));
  return { ...change, id: await digest("BX1 change id", head), bytes: concat(head, signature) };
}

/**
 * Reads a change. Whether its author may make it, and signed it, is for the chain to say. Throws
 * `TRUNCATED`, `TRAILING_BYTES`, `UNKNOWN_CHANGE`, `INVALID_UTF8`, `NAME_LENGTH`.
 */
export async function decodeChange(bytes: Uint8Array): Promise<SignedChange> {
  const own = bytes.slice();
  const r = new Reader(own);
  const group = r.bytes(16);
  const number = r.u32();
  const parent = r.bytes(HASH_LENGTH);
  const author = r.bytes(NODE_ID_LENGTH);
  const action = await readAction(r);
  const commitment = r.bytes(HASH_LENGTH);
  const head = own.subarray(0, r.offset);
  r.bytes(SIGNATURE_LENGTH);
  r.end();
  return {
    group: group.slice(),
    number,
    parent: parent.slice(),
    author: author.slice(),
    action,
    commitment: commitment.slice(),
    id: await digest("BX1 change id", head),
    bytes: own,
  };
}

async function readAction(r: Reader): Promise<Action> {
  const at = r.offset;
  const kind = KINDS[r.u8() - 1];
  switch (kind) {
    case "create":
      return { kind, policy: r.u8(), card: await readCard(r) };
    case "add":
      return { kind, card: await readCard(r) };
    case "remove":
      return { kind, node: r.bytes(NODE_ID_LENGTH).slice() };
    case "rotate":
      return { kind };
    default:
      throw new WireError("UNKNOWN_CHANGE", at);
  }
}

/** Whether the device of this card signed the change. */
export const signedBy = ({ bytes }: SignedChange, card: Card): Promise<boolean> =>
  signed(
    card.signKey,
    bytes.subarray(-SIGNATURE_LENGTH),
    concat(SIGNING, bytes.subarray(0, -SIGNATURE_LENGTH)),
  );
