/**
 * The text that lets a device into a group: shown as a QR code, or copied.
 *
 * `bugs.4vK…`: the database's name as in a URL, a dot, and base64url of
 *
 * | bytes | field                                                                              |
 * | ----- | ---------------------------------------------------------------------------------- |
 * | 16    | constant: the same for all texts of a group; names its room and the group          |
 * | 16    | invitation key: opens the invitation's door                                        |
 * | 1     | flags: 1 the suite with X-Wing, 2 lets in any number of devices                    |
 * | 16    | anchor: the log id of the first epoch that it stands in; not with flag 2           |
 * | 4     | first bytes of SHA-256(`BX2 text` ‖ name ‖ all bytes above), against typing errors |
 *
 * By the anchor its holder sees that it is let into the group that the text was made in.
 *
 * Whoever holds the text can join: it is a secret.
 *
 * @module
 */
import { type Bytes, concat, hex, utf8Bytes } from "../../../wire/bytes.ts";
import { checkDatabase } from "../../../wire/blaze/handshake.ts";
import { ClientError } from "../../client_error.ts";
import { derive, digest, random } from "../e2e/derive.ts";

const PART = 16;
const CHECK = 4;

export interface InvitationText {
  readonly database: string;
  /** 16 bytes. */
  readonly constant: Bytes;
  /** 16 bytes. */
  readonly key: Bytes;
  /** The group's suite is the one with X-Wing. */
  readonly postQuantum: boolean;
  /** It lets in any number of devices; others let in one. */
  readonly permanent: boolean;
  /** 16 bytes; of those that let in one device, and of no others. */
  readonly anchor?: Bytes | undefined;
}

/**
 * A new invitation, for a new group or for a group that is there. Where it is to let in one device, it is
 * still without its anchor. Throws for a name that is none.
 */
export function drawInvitation(
  database: string,
  constant: Bytes = random(PART),
  { postQuantum = false, permanent = false } = {},
): InvitationText {
  checkDatabase(database);
  return { database, constant, key: random(PART), postQuantum, permanent };
}

/** The bits that are known: a text with others is of a later version, or none. */
const flagsOf = ({ postQuantum, permanent }: InvitationText): Bytes =>
  Uint8Array.of((postQuantum ? 1 : 0) | (permanent ? 2 : 0));

/** Throws `TypeError` for an invitation whose anchor is missing, or is one too many. */
export async function formatInvitation(text: InvitationText): Promise<string> {
  const { constant, key, permanent, anchor = new Uint8Array() } = text;
  if (anchor.length !== (permanent ? 0 : PART)) throw new TypeError("not the anchor of a text");
  const all = concat(constant, key, flagsOf(text), anchor);
  const check = await digest("BX2 text", utf8Bytes(text.database), all);
  const bytes = concat(all, check.slice(0, CHECK));
  const base64 = btoa(String.fromCharCode(...bytes)).replace(/=+$/, "");
  const url = base64.replaceAll("+", "-").replaceAll("/", "_");
  return `${encodeURIComponent(text.database)}.${url}`;
}

/** Throws `BAD_INVITATION` for what is no such text, or one with a typing error. */
export async function parseInvitation(text: string): Promise<InvitationText> {
  try {
    const dot = text.lastIndexOf(".");
    const database = decodeURIComponent(text.slice(0, dot).trim());
    const code = text.slice(dot + 1).trim();
    const base64 = code.replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    checkDatabase(database);
    const constant = bytes.slice(0, PART);
    const flags = bytes[2 * PART] ?? 0;
    const [postQuantum, permanent] = [(flags & 1) !== 0, (flags & 2) !== 0];
    const key = bytes.slice(PART, 2 * PART);
    const anchor = permanent ? undefined : bytes.slice(2 * PART + 1, 3 * PART + 1);
    const parsed = { database, constant, key, postQuantum, permanent, anchor };
    // Written once more: bits that base64 leaves open are checked so, and unknown flags.
    if (dot > 0 && (await formatInvitation(parsed)).endsWith(`.${code}`)) return parsed;
  } catch {
    // Said below, whatever it was.
  }
  throw new ClientError("BAD_INVITATION", "not the text of an invitation");
}

/** The room's name at the relay: 32 hexadecimal digits that say nothing about the database. */
export const channelName = async (constant: Uint8Array, database: string): Promise<string> =>
  hex(await derive(constant, 16, "BX2 channel", utf8Bytes(database)));

/** 16 bytes: the group's name inside MLS, and in everything that is derived. */
export const groupIdOf = (constant: Uint8Array, database: string): Promise<Bytes> =>
  derive(constant, 16, "BX2 group", utf8Bytes(database));
