/**
 * ECG sessions over memory links, with time that stands still.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { Channels } from "../../src/channel/channels.ts";
import { type Limits, limits } from "../../src/limits.ts";
import type { Accept, Link } from "../../src/link/link.ts";
import { MemoryPeer } from "../../src/link/memory_link.ts";
import { EcgSessions, type EcgTerms } from "../../src/session/ecg/ecg_session.ts";
import { MessageType, Version } from "../../src/wire/ecg/codes.ts";
import { decode, type DecodedMessage, encode } from "../../src/wire/ecg/ecg_message.ts";
import { everything } from "./blaze.ts";
import { FakeHost } from "./fake_host.ts";

export const VERSIONS = [Version.V1, Version.V2, Version.V3] as const;

export class Lab {
  readonly host = new FakeHost();
  readonly channels = new Channels();
  readonly sessions: EcgSessions;

  constructor(changes: Partial<Limits> = {}) {
    this.sessions = new EcgSessions(this.channels, limits(changes), this.host);
  }

  /** A link that has heard the hello and said nothing. */
  connect(terms: Partial<EcgTerms> = {}): Peer {
    const peer = new Peer(this.sessions.accept({ grant: everything, ...terms }));
    peer.next();
    return peer;
  }

  /** A link that follows a stream. */
  watcher(version: Version, stream = "bed-3", terms: Partial<EcgTerms> = {}): Peer {
    const peer = this.connect(terms);
    peer.say(version, MessageType.SUBSCRIBE, { stream });
    assertEquals(peer.next().payload, { stream, status: "subscribed" });
    return peer;
  }
}

/** A device. It answers PINGs by itself, and they are not among what it received. */
export class Peer extends MemoryPeer {
  constructor(accept: Accept) {
    let answer: () => void = () => {};
    super((link) => {
      const answering: Link = Object.create(link, {
        send: {
          value: (message: Uint8Array<ArrayBuffer>) => {
            if (message[1] === MessageType.PING) answer();
            else link.send(message);
          },
        },
      });
      return accept(answering);
    });
    answer = () => this.say(Version.V1, MessageType.PONG, null);
  }

  say(
    version: Version,
    type: MessageType,
    payload: unknown,
    flags = 0,
    timestamp = 1_705_314_645_123_456n,
  ): Uint8Array<ArrayBuffer> {
    const message = encode({
      version,
      type,
      payload,
      flags,
      timestamp: version === Version.V3 ? timestamp : null,
    });
    this.send(message);
    return message;
  }

  next(): DecodedMessage {
    const message = this.take();
    if (!message) throw new Error("nothing came");
    return decode(message);
  }

  /** Takes the oldest message, which must be an ERROR, and answers its code. */
  nextError(): number {
    const { type, payload } = this.next();
    assertEquals(type, MessageType.ERROR);
    return (payload as { code: number }).code;
  }
}
