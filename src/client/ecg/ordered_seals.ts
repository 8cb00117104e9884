/**
 * Sealing and opening take time, and change no order: what is published leaves as it was published,
 * what comes is handed on as it came.
 *
 * @module
 */
import { type Bytes } from "../../wire/bytes.ts";
import { Flag } from "../../wire/ecg/codes.ts";
import type { DecodedMessage } from "../../wire/ecg/ecg_message.ts";
import { readPayload } from "../../wire/ecg/payload.ts";
import { ClientError } from "../client_error.ts";
import type { EcgSeal, SealedHeader } from "./messages.ts";

export class OrderedSeals {
  #sealing: Promise<void> = Promise.resolve();
  #opening: Promise<void> | undefined;

  constructor(private readonly stream: string, private readonly seal: EcgSeal) {}

  /** OrderedSeals after everything that was given before, and hands it to `send`. */
  send(
    plain: Bytes,
    header: Omit<SealedHeader, "stream">,
    send: (sealed: Bytes) => void,
  ): Promise<void> {
    const done = this.#sealing.then(async () => {
      send(await this.seal.seal(plain, { stream: this.stream, ...header }));
    });
    this.#sealing = done.catch(() => {});
    return done;
  }

  /** Opens after everything that came before; what is not sealed waits for its turn too. */
  receive(
    message: DecodedMessage,
    deliver: (message: DecodedMessage) => void,
    refuse: (error: unknown) => void,
  ): void {
    const sealed = (message.flags & Flag.ENCRYPTED) !== 0;
    if (!sealed && this.seal.required) {
      return refuse(new ClientError("NOT_SEALED", "it came in the clear"));
    }
    if (!sealed && !this.#opening) return deliver(message);
    const turn = (this.#opening ?? Promise.resolve()).then(async () => {
      if (!sealed) return deliver(message);
      let payload: DecodedMessage["payload"];
      try {
        const { type, flags, timestamp } = message;
        const header = { stream: this.stream, type, flags, timestamp: timestamp ?? 0n };
        payload = readPayload(await this.seal.open(message.payload as Bytes, header));
      } catch (error) {
        return refuse(error);
      }
      deliver({ ...message, payload });
    }).catch(refuse).finally(() => {
      if (this.#opening === turn) this.#opening = undefined;
    });
    this.#opening = turn;
  }
}
