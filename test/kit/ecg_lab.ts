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
import { concat, fromHex } from "../../src/wire/bytes.ts";
import { headerSize, MessageType, Version } from "../../src/wire/ecg/codes.ts";
import { decode, type DecodedMessage, encode } from "../../src/wire/ecg/ecg_message.ts";
import { crc32 } from "../../src/wire/zlib.ts";
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

/** A V2 or V3 message around a payload that no writer of ours would make. */
export function framed(
  version: 2 | 3,
  type: number,
  flags: number,
  body: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const head = new DataView(new ArrayBuffer(headerSize[version]));
  head.setUint8(0, version);
  head.setUint8(1, type);
  head.setUint8(2, flags);
  head.setUint32(3, body.length);
  head.setUint32(7, crc32(body));
  if (version === 3) head.setBigUint64(11, 1_705_314_645_123_456n);
  return concat(new Uint8Array(head.buffer), body);
}

/** Payloads that reading and writing would change, or that cannot be written at all. */
export const oddPayloads = [
  "", // no payload at all, which stands for nil
  "cb3ff0000000000000", // 1.0
  "ca3f800000", // 1.0 in four bytes
  "cb7ff8000000000001", // a NaN with a payload
  "cb8000000000000000", // -0
  "cf0000000000000001", // 1 in nine bytes
  "db0000000161", // "a" in six bytes
  "83a23130c3a139c2a178c0", // keys that are numbers, out of order
  "82cb400000000000000001c002", // keys that are not text
  "d6ff00000001", // a timestamp
  "81a95f5f70726f746f5f5fc0", // __proto__
  // An array in 32 dimensions, which is one level too deep to be written.
  "83ab5f5f6e6461727261795f5f9101a56474797065a7666c6f61743634a57368617065dc0020" +
  "01".repeat(32),
].map(fromHex);

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
