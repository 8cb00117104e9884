/**
 * Lets a device into a group by a code: both devices meet as a pair, people compare six digits on both
 * screens, and only then an invitation passes, sealed with the key of the pair.
 *
 * Inside the pair's seal: Query `{confirmed: true}` from each side once its people said yes; then from the
 * device of the group QueryResult `{invitation: text}`.
 *
 * @module
 */
import { host as systemHost } from "../../host.ts";
import type { Link } from "../../link/link.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { decodeRecord, encodeRecord, type FieldsInput } from "../../wire/blaze/blaze_record.ts";
import { ClientError, type ClientErrorCode } from "../client_error.ts";
import { Connection, type ConnectOptions, type Conversation } from "../connection.ts";
import { random } from "./e2e/derive.ts";
import { Pairing } from "../pair/pairing.ts";

/** Whether the other screen shows the same six digits. */
export type Confirm = (code: string) => boolean | Promise<boolean>;

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
  const url = new URL(options.url);
  if (url.pathname === "/") url.pathname = `/sync/${encodeURIComponent(room)}`;
  const done = Promise.withResolvers<string>();
  let meeting: Meeting | undefined;
  const connection = new Connection(
    { ...options, url },
    (link) => (meeting = new Meeting(link, room, options.confirm, invite, done)).listen(),
    {
      offline: () => meeting?.left(),
      ended: (why) => done.reject(why),
      // Each meeting draws its own.
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

class Meeting {
  readonly #pairing: Pairing;
  #introduced = false;
  #weSaid = false;
  #theySaid = false;

  constructor(
    link: Link,
    room: string,
    private readonly confirm: Confirm,
    private readonly invite: (() => Promise<string>) | undefined,
    private readonly done: PromiseWithResolvers<string>,
  ) {
    this.#pairing = new Pairing(link, { node: random(16), database: room, compress: "never" }, {
      paired: ({ code, verified }) => void this.#try(() => this.#compare(code, verified)),
      frame: (type, plaintext) => void this.#try(() => this.#take(type, plaintext)),
      fault: () => {},
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

  /** The link is gone. Who had a partner does not begin anew by itself: that one may have said no. */
  left(): void {
    if (this.#introduced) this.#fail("PARTNER_LEFT", "the other device has left");
  }

  async #compare(code: string, verified: boolean): Promise<void> {
    if (!verified || code.length !== 6) {
      return this.#fail("NOT_COMMITTED", "the other side cannot show six digits");
    }
    if (!await this.confirm(code)) return this.#fail("CODE_REFUSED", "the codes are not the same");
    this.#weSaid = true;
    await this.#send(FrameType.query, { confirmed: true });
    await this.#proceed();
  }

  async #take(type: FrameType, plaintext: Uint8Array): Promise<void> {
    const { confirmed, invitation } = decodeRecord(plaintext);
    if (type === FrameType.query && confirmed === true) {
      this.#theySaid = true;
      await this.#proceed();
    } else if (type === FrameType.queryResult && this.#weSaid && !this.invite) {
      // Nothing is taken from a device whose code our people did not confirm.
      if (typeof invitation === "string") this.done.resolve(invitation);
    }
  }

  async #proceed(): Promise<void> {
    if (!this.invite || !this.#weSaid || !this.#theySaid) return;
    const invitation = await this.invite();
    await this.#send(FrameType.queryResult, { invitation });
    this.done.resolve(invitation);
  }

  async #send(type: FrameType, fields: FieldsInput): Promise<void> {
    await this.#pairing.send(type, encodeRecord(fields));
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
