/**
 * Lets a device into a group by a code: both devices meet as a pair, people compare six digits on both
 * screens, and only then an invitation passes, sealed with the key of the pair.
 *
 * Inside the pair's seal, once both sides said yes: from the device of the group QueryResult
 * `{invitation: text}`.
 *
 * @module
 */
import type { Link } from "../../link/link.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { decodeRecord, encodeRecord } from "../../wire/blaze/blaze_record.ts";
import { ClientError, type ClientErrorCode } from "../client_error.ts";
import { Connection, type ConnectOptions } from "../connection.ts";
import { random } from "./e2e/derive.ts";
import { Pairing } from "../pair/pairing.ts";
import type { Confirm, Partner, Trust } from "../pair/partner.ts";

export interface IntroductionOptions extends ConnectOptions {
  /** Where the two devices meet, the same on both: any name, seen by the relay. */
  readonly room?: string;
  readonly confirm: Confirm;
}

const ROOM = "pairing";

/**
 * Meets the other device and answers the invitation: the one given away, or the one received.
 * Throws `CODE_REFUSED` when either side said no, `NOT_COMMITTED` for a partner that cannot show six
 * digits, `PARTNER_LEFT`.
 */
export async function introduce(
  options: IntroductionOptions,
  invite?: () => Promise<string>,
): Promise<string> {
  const { room = ROOM } = options;
  const url = new URL(options.url);
  if (url.pathname === "/") url.pathname = `/sync/${encodeURIComponent(room)}`;
  const done = Promise.withResolvers<string>();
  let encounter: Encounter | undefined;
  const connection = new Connection(
    { ...options, url },
    (link) => (encounter = new Encounter(link, room, options.confirm, invite, done)).pairing,
    {
      offline: () => encounter?.left(),
      ended: (why) => done.reject(why),
      // Each encounter draws its own.
      renamed: () => {},
    },
  );
  try {
    return await done.promise;
  } finally {
    connection.close();
  }
}

/** Nobody is known again here: the invitation that passes makes a partner a device of the group. */
const forgetful = (judge: Trust["judge"]): Trust => ({
  judge,
  bonds: () => [],
  keep: () => Promise.resolve(),
  settle: () => Promise.resolve(),
});

class Encounter {
  readonly pairing: Pairing;
  #met = false;

  constructor(
    link: Link,
    room: string,
    private readonly confirm: Confirm,
    private readonly invite: (() => Promise<string>) | undefined,
    private readonly done: PromiseWithResolvers<string>,
  ) {
    const trust = forgetful((partner) => this.#judge(partner));
    const options = { node: random(16), database: room, compress: "never", trust } as const;
    this.pairing = new Pairing(link, options, {
      waiting: () => {},
      met: () => this.#met = true,
      paired: () => void this.#try(() => this.#give()),
      refused: () => this.#fail("CODE_REFUSED", "somebody said that the codes are not the same"),
      frame: (type, plaintext) => void this.#try(() => this.#take(type, plaintext)),
      fault: () => {},
    });
  }

  /** The link is gone. Who has seen a code does not begin anew by itself. */
  left(): void {
    if (this.#met) this.#fail("PARTNER_LEFT", "the other device has left");
  }

  #judge(partner: Partner): boolean | Promise<boolean> {
    const { code, verified, remembers } = partner;
    if (verified && remembers) return this.confirm(code, partner);
    this.#fail("NOT_COMMITTED", "the other side cannot show six digits");
    return false;
  }

  /** Both sides said yes. */
  async #give(): Promise<void> {
    if (!this.invite) return;
    const invitation = await this.invite();
    await this.pairing.send(FrameType.queryResult, encodeRecord({ invitation }));
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
