/**
 * What all members of an epoch agree on beside the tree: a GroupContext extension of MLS, type
 * 0xF0B2.
 *
 * | bytes    | field                                                                         |
 * | -------- | ----------------------------------------------------------------------------- |
 * | 1        | version: 1                                                                    |
 * | 1        | policy: bit 0 set where operations are signed, the others zero                |
 * | 2 + 16 n | nodes that were removed, for good, in that order                              |
 * | 2 + 16 n | members, the longest member first                                             |
 * | 2 + 48 n | invitations: value 32 ‖ expires u64 (milliseconds since 1970; 0: permanent) ‖  |
 * |          | epoch u64: the number of the first epoch that it stands in                    |
 *
 * No node and no value stands there twice; there is a member at least, and at most 1,000 of them;
 * at most 32 invitations. The functions below give the data after a change, and change nothing.
 *
 * @module
 */
import { type Bytes, hex, Reader, sameBytes, WireError, Writer } from "../../../wire/bytes.ts";

const VERSION = 1;
const NODE = 16;
const VALUE = 32;
const SIGNED = 1;

export const MAX_INVITATIONS = 32;
export const MAX_MEMBERS = 1000;
/** What two bytes can count. */
const MAX_REMOVED = 0xffff;

/** An invitation that stands. */
export interface StandingInvitation {
  /** 32 bytes: the value of its door. */
  readonly value: Bytes;
  /** Milliseconds since 1970; 0: until somebody takes it back, or is removed. */
  readonly expires: bigint;
  /** Number of the epoch that its commit began. */
  readonly epoch: bigint;
}

export interface GroupData {
  /** Whether operations are signed. */
  readonly signed: boolean;
  readonly removed: readonly Bytes[];
  /** The longest member first. */
  readonly members: readonly Bytes[];
  readonly invitations: readonly StandingInvitation[];
}

export function encodeGroupData(data: GroupData): Bytes {
  const w = new Writer().u8(VERSION).u8(data.signed ? SIGNED : 0);
  for (const nodes of [data.removed, data.members]) {
    w.u16(nodes.length);
    for (const node of nodes) w.bytes(node);
  }
  w.u16(data.invitations.length);
  for (const { value, expires, epoch } of data.invitations) {
    w.bytes(value).u64(expires).u64(epoch);
  }
  return w.finish().slice();
}

/** Throws `BAD_GROUP_DATA`, `TRUNCATED`, `TRAILING_BYTES`. */
export function decodeGroupData(bytes: Uint8Array): GroupData {
  const r = new Reader(bytes);
  if (r.u8() !== VERSION) throw new WireError("BAD_GROUP_DATA", 0, "another version");
  const policy = r.u8();
  if (policy & ~SIGNED) throw new WireError("BAD_GROUP_DATA", 1, "an unknown policy");
  const seen = new Set<string>();
  const removed = readList(r, MAX_REMOVED, seen, () => r.bytes(NODE).slice());
  const members = readList(r, MAX_MEMBERS, seen, () => r.bytes(NODE).slice());
  if (members.length === 0) throw new WireError("BAD_GROUP_DATA", r.offset, "no members");
  const values = new Set<string>();
  const invitations: StandingInvitation[] = [];
  readList(r, MAX_INVITATIONS, values, () => {
    const value = r.bytes(VALUE).slice();
    invitations.push({ value, expires: r.u64(), epoch: r.u64() });
    return value;
  });
  r.end();
  return { signed: policy === SIGNED, removed, members, invitations };
}

function readList(r: Reader, most: number, seen: Set<string>, read: () => Bytes): Bytes[] {
  const count = r.u16();
  if (count > most) throw new WireError("BAD_GROUP_DATA", r.offset, "too many");
  const list: Bytes[] = [];
  for (let i = 0; i < count; i++) {
    const at = r.offset;
    const entry = read();
    const name = hex(entry);
    if (seen.has(name)) throw new WireError("BAD_GROUP_DATA", at, "the same twice");
    seen.add(name);
    list.push(entry);
  }
  return list;
}

const has = (list: readonly Bytes[], entry: Uint8Array): boolean =>
  list.some((other) => sameBytes(other, entry));

export const isMember = (data: GroupData, node: Uint8Array): boolean => has(data.members, node);

export const wasRemoved = (data: GroupData, node: Uint8Array): boolean => has(data.removed, node);

/** The invitation of this value, if it stands. */
export const invitationOf = (
  data: GroupData,
  value: Uint8Array,
): StandingInvitation | undefined =>
  data.invitations.find((invitation) => sameBytes(invitation.value, value));

/** After an add: the newcomer is last; the invitation is gone unless it is permanent. */
export const afterAdd = (data: GroupData, node: Bytes, value: Uint8Array): GroupData => ({
  ...data,
  members: [...data.members, node],
  invitations: data.invitations.filter((invitation) =>
    invitation.expires === 0n || !sameBytes(invitation.value, value)
  ),
});

/** After a removal: they never come back, and no invitation stays. */
export const afterRemove = (data: GroupData, nodes: readonly Bytes[]): GroupData => ({
  ...data,
  removed: [...data.removed, ...nodes],
  members: data.members.filter((member) => !has(nodes, member)),
  invitations: [],
});

export const afterInvite = (data: GroupData, invitation: StandingInvitation): GroupData => ({
  ...data,
  invitations: [...data.invitations, invitation],
});

export const afterRevoke = (data: GroupData, values: readonly Bytes[]): GroupData => ({
  ...data,
  invitations: data.invitations.filter(({ value }) => !has(values, value)),
});
