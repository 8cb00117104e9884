/**
 * A link: one device connection after its transport has done the work. Whole messages in, whole
 * messages out, whatever carries them.
 *
 * @module
 */

/** A message as sockets take it. */
export type Message = Uint8Array<ArrayBuffer>;

export interface Link {
  /** Address of the other end, for limits and logs. */
  readonly remote: string;
  /** Bytes accepted by `send` that have not left this process. */
  readonly buffered: number;
  /** Present where the runtime can fan out by itself. */
  readonly topics?: Topics;
  /** Never blocks and never throws; once closed it does nothing. */
  send(message: Message): void;
  /**
   * Starts the closing handshake, and tells the session before it returns: a peer that does not read
   * would keep it waiting. Called while the link is being accepted, it tells right after. The reason is
   * cut to the 123 bytes that a close frame holds.
   */
  close(code: number, reason: string): void;
}

/** Fan-out inside the runtime: one call, no matter how many links joined. */
export interface Topics {
  join(name: string): void;
  leave(name: string): void;
  /**
   * To every link in the topic but this one, or with `self` to this one too. Answers false when some
   * link there could not take all of it at once, so that the caller looks for the slow one.
   */
  publish(name: string, message: Message, self?: boolean): boolean;
}

/** What a session wants to hear of its link. Nothing comes after `closed`. */
export interface LinkEvents {
  message(message: Message): void;
  /** A text message came. None of the protocols has any. */
  text(): void;
  /** What `send` had buffered has left. */
  drained(): void;
  /** Called exactly once, whoever closed first. */
  closed(code: number, reason: string): void;
}

/** A protocol, as a transport sees it: a link comes in, and somebody listens to it. */
export type Accept = (link: Link) => LinkEvents;

const utf8 = new TextEncoder();

/** Cuts a close reason to 123 bytes of UTF-8 (RFC 6455, 5.5), between characters. */
export function closeReason(text: string): string {
  if (text.length <= 41) return text; // 3 bytes a UTF-16 unit at most
  const { read } = utf8.encodeInto(text, new Uint8Array(123));
  return text.slice(0, read);
}
