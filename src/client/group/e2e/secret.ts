/**
 * The text that lets a device into a group: shown as a QR code, or copied. The first device makes one;
 * it works until a device is removed. An invitation has the same form and works once.
 *
 * `bugs.4vK…`: the database's name as in a URL, a dot, and base64url of
 *
 * | bytes | field                                                                          |
 * | ----- | ------------------------------------------------------------------------------ |
 * | 16    | channel constant: the same for all texts of a group; names its room            |
 * | 16    | admission key: proves to members that one was invited, and to the device that  |
 * |       | it meets members                                                               |
 * | 4     | first bytes of SHA-256(`BX1 text` ‖ name ‖ the 32 bytes above), against typing errors |
 *
 * Whoever holds the text can join: it is a secret.
 *
 * @module
 */
import { type Bytes, concat, sameBytes, utf8Bytes } from "../../../wire/bytes.ts";
import { checkDatabase } from "../../../wire/blaze/handshake.ts";
import { ClientError } from "../../client_error.ts";
import { derive, digest, random } from "./derive.ts";

const PART = 16;
const CHECK = 4;

export interface GroupSecret {
  readonly database: string;
  /** 16 bytes. */
  readonly constant: Bytes;
  /** 16 bytes. */
  readonly admission: Bytes;
}

/** A new admission, for a new group or for a group that is there. */
export function drawGroupSecret(database: string, constant = random(PART)): GroupSecret {
  checkDatabase(database);
  return { database, constant, admission: random(PART) };
}

const check = async ({ database, constant, admission }: GroupSecret): Promise<Bytes> =>
  (await digest("BX1 text", utf8Bytes(database), constant, admission)).slice(0, CHECK);

export async function formatSecret(secret: GroupSecret): Promise<string> {
  const bytes = concat(secret.constant, secret.admission, await check(secret));
  const base64 = btoa(String.fromCharCode(...bytes));
  const text = base64.replaceAll("+", "-").replaceAll("/", "_");
  return `${encodeURIComponent(secret.database)}.${text}`;
}

/** Throws `BAD_SECRET` for what is no such text, or one with a typing error. */
export async function parseSecret(text: string): Promise<GroupSecret> {
  try {
    const dot = text.lastIndexOf(".");
    const database = decodeURIComponent(text.slice(0, dot).trim());
    const base64 = text.slice(dot + 1).trim().replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    checkDatabase(database);
    const constant = bytes.slice(0, PART);
    const secret = { database, constant, admission: bytes.slice(PART, 2 * PART) };
    if (sameBytes(bytes.subarray(2 * PART), await check(secret))) return secret;
  } catch {
    // Said below, whatever it was.
  }
  throw new ClientError("BAD_SECRET", "not the text of a group or an invitation");
}

/** The room's name at the relay: 32 hexadecimal digits that say nothing about the database. */
export async function blindName({ constant, database }: GroupSecret): Promise<string> {
  const bytes = await derive(constant, 16, "BX1 channel", utf8Bytes(database));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Named in every change: 16 bytes. */
export const groupId = ({ constant, database }: GroupSecret): Promise<Bytes> =>
  derive(constant, 16, "BX1 group", utf8Bytes(database));
