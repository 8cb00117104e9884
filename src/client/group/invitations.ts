/**
 * The texts by which a device of the group lets others in: makes them, lists and revokes them.
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../wire/bytes.ts";
import { ClientError } from "../client_error.ts";
import type { Invited, InviteOptions } from "./group_types.ts";
import { Epoch } from "./e2e/epoch.ts";
import type { Device } from "./log/device.ts";
import type { Group } from "./log/group_state.ts";
import { GroupDoor } from "./mls/door.ts";
import { invitationOf, MAX_INVITATIONS, type StandingInvitation } from "./mls/group_data.ts";
import type { Entered } from "./mls/newcomer.ts";
import { drawInvitation, formatInvitation } from "./mls/invitation_text.ts";

const INVITATION_MINUTES = 10;
/** Some 1,900 years. */
const MOST_MINUTES = 1_000_000_000;

/** Throws `RangeError` for minutes that are no time. */
export function checkMinutes({ minutes = INVITATION_MINUTES }: InviteOptions): void {
  if (minutes > 0 && minutes <= MOST_MINUTES) return;
  throw new RangeError(
    `an invitation lives for more than 0 and at most ${MOST_MINUTES} minutes, not ${minutes}; ` +
      "`permanent` has no end",
  );
}

/** Resolves with the text once the group knows of it. Where there are too many, clears expired ones first. */
export async function invite(
  { group, wishes }: Device,
  { minutes = INVITATION_MINUTES, permanent = false }: InviteOptions,
): Promise<string> {
  const { database, constant } = group.names;
  const { postQuantum } = group;
  const invitation = drawInvitation(database, constant, { postQuantum, permanent });
  const { value } = await GroupDoor.ofInvitation(invitation.key, group.id);
  const clearing = wishes.add(({ data: { invitations } }) => {
    if (invitations.length < MAX_INVITATIONS) return undefined;
    const values = invitations.filter(isExpired).map(({ value }) => value);
    return values.length > 0 ? { kind: "revoke", values } : undefined;
  });
  // It begins to live when the group is told, however long that takes.
  const ends = () => permanent ? 0n : BigInt(Date.now() + Math.round(minutes * 60_000));
  const inviting = wishes.add(() => ({ kind: "invite", value, expires: ends() }));
  await Promise.all([clearing, inviting]);
  if (permanent) return await formatInvitation(invitation);
  const anchor = await anchorOf(group, value);
  // Somebody has changed the group at that moment.
  if (!anchor) throw new ClientError("NOT_ADMITTED", "the invitation is void already");
  return await formatInvitation({ ...invitation, anchor });
}

/** The log id of the first epoch in which an invitation stood, of its value; nothing if it is gone. */
async function anchorOf(
  { id, epoch, membership, past }: Group,
  value: Uint8Array,
): Promise<Bytes | undefined> {
  const first = invitationOf(membership!.data, value)?.epoch;
  if (first === membership!.number) return epoch!.log.id;
  const ended = past.all.find(({ number }) => number === first);
  return ended && (await Epoch.of(ended.secret, id)).log.id;
}

/** Those that still let somebody in. */
export function standing({ group }: Device): Invited[] {
  const all = group.membership?.data.invitations ?? [];
  return all.filter((one) => !isExpired(one)).map(({ value, expires }) => ({
    id: idOf(value),
    expires: expires === 0n ? undefined : new Date(Number(expires)),
  }));
}

/**
 * This device follows another branch of the group than it did: what is to be told of those that stood
 * before. Nothing of one by which somebody comes in there.
 */
export function voided(before: readonly Invited[], { group }: Device): ClientError[] {
  const { invitations } = group.membership!.data;
  const doors = [
    ...invitations.map(({ value }) => value),
    ...group.awaited.map(({ door }) => door),
  ];
  const good = new Set(doors.map(idOf));
  return before.map(({ id }) => id).filter((id) => !good.has(id)).map(isVoid);
}

/**
 * The same before this device comes in again, where what became of an invitation is not seen: of those
 * that were made in an epoch which the group that it comes into does not have.
 */
export async function leftBehind(
  { group }: Device,
  { membership, carry }: Entered,
): Promise<ClientError[]> {
  const own = group.membership;
  if (!own) return [];
  const ours = [...group.past.all, { number: own.number, ...await own.witness() }];
  const theirs = [...carry, await membership.witness()];
  const first = membership.number - BigInt(carry.length);
  const isElsewhere = ({ epoch }: StandingInvitation): boolean => {
    if (epoch > membership.number) return true;
    const here = ours.find(({ number }) => number === epoch);
    const there = theirs[Number(epoch - first)];
    return !!here && !!there && !sameBytes(here.interim, there.interim);
  };
  return own.data.invitations.filter((one) => !isExpired(one) && isElsewhere(one))
    .map(({ value }) => isVoid(idOf(value)));
}

const isVoid = (id: string): ClientError =>
  new ClientError("INVITATION_VOID", `invitation ${id} is of a branch that nobody follows`);

/** Resolves once the group knows that the invitation with this id is void. */
export async function revoke({ wishes }: Device, id: string): Promise<void> {
  await wishes.add(({ data }) => {
    const found = data.invitations.find(({ value }) => idOf(value) === id);
    return found && { kind: "revoke", values: [found.value] };
  });
}

/** By this device's clock. */
const isExpired = ({ expires }: StandingInvitation): boolean =>
  expires !== 0n && expires <= BigInt(Date.now());

/** Names an invitation for people: the first bytes of its value, which alone open nothing. */
const idOf = (value: Uint8Array): string => hex(value.subarray(0, 8));
