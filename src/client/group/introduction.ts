/**
 * Lets a device into a group by a code: both devices meet as a pair, people compare six digits on both
 * screens, and only then an invitation passes, sealed with the key of the pair.
 *
 * Inside the pair's seal, once both sides said yes: from the device of the group QueryResult
 * `{invitation: text}`.
 *
 * @module
 */
import { host as systemHost } from "../../host.ts";
import type { Link } from "../../link/link.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { decodeRecord, encodeRecord } from "../../wire/blaze/blaze_record.ts";
import { ClientError, type ClientErrorCode } from "../client_error.ts";
import { addressOf } from "../address.ts";
import { Compression } from "../blaze/compression.ts";
import { Connection, type ConnectOptions, type Conversation } from "../connection.ts";
import { random } from "./e2e/derive.ts";
import { Pairing } from "../pair/pairing.ts";
import type { Confirm, Partner, Trust } from "../pair/partner.ts";

/** How two devices meet to compare a code. */
export interface JoinOptions {
  /** Whether the other screen shows the same six digits. */
  readonly confirm: Confirm;
  /** Where they meet, the same on both: any name, seen by the relay. `pairing` when not given. */
  readonly room?: string;
  /** How long to wait for the other device and for both people, in milliseconds: five minutes. */
  readonly waitMs?: number;
}

const ROOM = "pairing";
const WAIT_MS = 300_000;

/**
 * Meets the other device and answers the invitation: the one given away, or the one received.
 * Throws `CODE_REFUSED` when either side said no, `NOT_COMMITTED` for a partner that cannot show six
 * digits, `PARTNER_LEFT`, `NO_ANSWER` after `waitMs`.
 */
export async function introduce(
  options: ConnectOptions & JoinOptions,
  invite?: () => Promise<string>,
): Promise<string> {
  const { room = ROOM, waitMs = WAIT_MS, host = systemHost } = options;
  const url = addressOf(options.url, ["sync", room]);
  const done = Promise.withResolvers<string>();
  const connection = new Connection(
    { ...options, url },
    (link) => new Encounter(link, room, options.confirm, invite, done).listen(),
    {
      offline: () => {},
      ended: (why) => done.reject(why),
      // Each encounter draws its own.
      renamed: () => {},
    },
  );
  const stopWaiting = host.after(waitMs, () => {
    done.reject(
      new ClientError("NO_ANSWER", "the two devices and their people did not agree in time"),
    );
  });
  try {
    return await done.promise;
  } finally {
    stopWaiting();
    connection.close();
  }
}

/** Nobody is known again here: the invitation that passes makes a partner a device of the group. */
const forgetful = (judge: Trust["judge"]): Trust => ({
  judge,
  takes: () => false,
  bonds: () => [],
  keep: () => Promise.resolve(),
  settle: () => Promise.resolve(),
  met: () => {},
  withheld: () => false,
  declined: () => Promise.resolve(),
});

class Encounter {
  readonly #pairing: Pairing;
  #introduced = false;

  constructor(
    link: Link,
    room: string,
    private readonly confirm: Confirm,
    private readonly invite: (() => Promise<string>) | undefined,
    private readonly done: PromiseWithResolvers<string>,
  ) {
    const trust = forgetful((partner) => this.#judge(partner));
    const compression = new Compression({ mode: "never", fault: () => {} });
    const options = { node: random(16), database: room, compression, trust };
    this.#pairing = new Pairing(link, options, {
      waiting: () => {},
      met: () => {},
      paired: () => void this.#try(() => this.#give()),
      refused: () => this.#fail("CODE_REFUSED", "somebody said that the codes are not the same"),
      frame: (type, plaintext) => void this.#try(() => this.#take(type, plaintext)),
      fault: ({ code }) => {
        if (code === "COMMITMENT_MISSING") this.#uncommitted();
      },
      ended: () => this.#left(),
    });
  }

  /** What the link tells. The relay's first Ack says that somebody is there, long before the code. */
  listen(): Conversation {
    const pairing = this.#pairing;
    return {
      message: (message) => {
        if ((message[2]! & 0x0f) === FrameType.handshakeAck) this.#introduced = true;
        pairing.message(message);
      },
      text: () => pairing.text(),
      drained: () => pairing.drained(),
      closed: () => pairing.closed(),
      probe: () => pairing.probe(),
    };
  }

  /** Who had a partner does not begin anew by itself: that one may have said no. */
  #left(): void {
    if (this.#introduced) this.#fail("PARTNER_LEFT", "the other device has left");
  }

  #judge(partner: Partner): boolean | Promise<boolean> {
    const { code, verified, remembers } = partner;
    if (verified && remembers) return this.confirm(code, partner);
    this.#uncommitted();
    return false;
  }

  #uncommitted(): void {
    this.#fail("NOT_COMMITTED", "the other side cannot show six digits");
  }

  /** Both sides said yes. */
  async #give(): Promise<void> {
    if (!this.invite) return;
    const invitation = await this.invite();
    await this.#pairing.send(FrameType.queryResult, encodeRecord({ invitation }));
    this.done.resolve(invitation);
  }

  #take(type: FrameType, plaintext: Uint8Array): Promise<void> {
    const { invitation } = decodeRecord(plaintext);
    const given = type === FrameType.queryResult && !this.invite;
    if (given && typeof invitation === "string") this.done.resolve(invitation);
    return Promise.resolve();
  }

  async #try(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.done.reject(error);
    }
  }

  #fail(code: ClientErrorCode, message: string): void {
    this.done.reject(new ClientError(code, message));
  }
}
