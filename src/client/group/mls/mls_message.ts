/**
 * MLSMessages of the three kinds that travel here. Each has exactly one form: bytes that the
 * library would write otherwise (longer lengths, something behind the end) are no message.
 *
 * @module
 */
import type { KeyPackage } from "ts-mls/keyPackage.js";
import { decodeMlsMessage, encodeMlsMessage, type MLSMessage } from "ts-mls/message.js";
import type { PublicMessage } from "ts-mls/publicMessage.js";
import type { Welcome } from "ts-mls/welcome.js";
import { type Bytes, sameBytes } from "../../../wire/bytes.ts";

/** No commit and no welcome is longer: bytes. */
export const MAX_MLS_MESSAGE = 1 << 20;
/** No key package is longer: bytes. */
export const MAX_KEY_PACKAGE = 16 * 1024;

/** The message, or `undefined` for what is none, whatever it is. Keeps no view of `bytes`. */
function readMessage(bytes: Uint8Array, most: number): MLSMessage | undefined {
  if (bytes.length > most) return undefined;
  try {
    const own = bytes.slice();
    const [message, length] = decodeMlsMessage(own, 0) ?? [];
    if (!message || length !== own.length) return undefined;
    return sameBytes(encodeMlsMessage(message), own) ? message : undefined;
  } catch {
    return undefined;
  }
}

export function readPublicMessage(bytes: Uint8Array): PublicMessage | undefined {
  const message = readMessage(bytes, MAX_MLS_MESSAGE);
  return message?.wireformat === "mls_public_message" ? message.publicMessage : undefined;
}

export function readWelcome(bytes: Uint8Array): Welcome | undefined {
  const message = readMessage(bytes, MAX_MLS_MESSAGE);
  return message?.wireformat === "mls_welcome" ? message.welcome : undefined;
}

export function readKeyPackage(bytes: Uint8Array): KeyPackage | undefined {
  const message = readMessage(bytes, MAX_KEY_PACKAGE);
  return message?.wireformat === "mls_key_package" ? message.keyPackage : undefined;
}

export const writeMessage = (message: MLSMessage): Bytes => encodeMlsMessage(message).slice();

export const writeKeyPackage = (keyPackage: KeyPackage): Bytes =>
  writeMessage({ version: "mls10", wireformat: "mls_key_package", keyPackage });

export const writeWelcome = (welcome: Welcome): Bytes =>
  writeMessage({ version: "mls10", wireformat: "mls_welcome", welcome });
