/**
 * The publishing half of a session: what may go out, to whom, and what its packed signals mean.
 *
 * @module
 */
import { covers } from "../../admission.ts";
import type { Member } from "../../channel/channels.ts";
import type { Message } from "../../link/link.ts";
import { ErrorCode, Flag } from "../../wire/ecg/codes.ts";
import type { OpenMessage } from "../../wire/ecg/ecg_message.ts";
import type { Payload } from "../../wire/ecg/payload.ts";
import type { Scale } from "../../wire/ecg/scale.ts";
import type { Bucket } from "../rate.ts";
import { EcgFault, UnknownScale } from "./fault.ts";
import { type Contents, contentsOf, Publication } from "./publication.ts";
import type { EcgStream } from "./ecg_stream.ts";
import type { EcgStreams } from "./ecg_streams.ts";
import { Scales } from "./scales.ts";
import type { EcgTerms, StreamNames } from "./terms.ts";

/** Bytes of a float in a list, which is what a packed sample counts as. */
const FLOAT_BYTES = 9;

/** Scales of one link in one stream: a gateway may speak for several monitors. */
const MAX_SCALES = 4;

const NO_CONTENTS: Contents = { samples: 0, packedSamples: 0 };

export class Publishing {
  /**
   * What its signals mean, by stream; the stream explained last comes last. Kept for each link, so
   * that publishers of one stream cannot push out what others said.
   */
  readonly #explained = new Map<EcgStream, Scales>();

  /** `bytes`: what the link may bring. */
  constructor(
    private readonly terms: EcgTerms,
    private readonly names: StreamNames,
    private readonly streams: EcgStreams,
    private readonly bytes: Bucket,
  ) {}

  /**
   * Hands a message to its watchers, in every form that they watch. Throws `EcgFault` and `WireError`;
   * nobody has got it by then, and what it would have explained is not known.
   */
  publish(message: Message, opened: OpenMessage, payload: Payload, from: Member): void {
    const sealed = opened.msgpack === null;
    const contents = sealed ? NO_CONTENTS : contentsOf(opened.type, payload);
    const { grant } = this.terms;
    const stream = this.names.ofData(payload, sealed);
    const broadcast = (opened.flags & Flag.BROADCAST) !== 0;
    if (!covers(grant.publish, stream) || (broadcast && !grant.broadcast)) {
      throw new EcgFault(ErrorCode.PERMISSION_DENIED, broadcast ? "BROADCAST" : stream);
    }
    if (!this.bytes.take(FLOAT_BYTES * contents.packedSamples)) {
      throw new EcgFault(ErrorCode.RATE_LIMITED);
    }
    const scale = this.#scaleOf(stream, contents);
    const { streams } = this;
    const publication = new Publication(message, opened, scale, streams.host.unixMicros(), {
      source: broadcast ? null : stream,
      count: contents.samples,
      explains: contents.scale !== undefined,
    });
    const send = broadcast
      ? streams.readyForAll(grant.tenant, publication, from)
      : streams.ready(grant.tenant, stream, publication, from);
    if (contents.scale) this.#learn(stream, contents.scale);
    send();
  }

  /** The link is gone. */
  leave(): void {
    for (const ecgStream of [...this.#explained.keys()]) this.#forget(ecgStream);
  }

  /** What a packed signal means: as its message says, else as was said before. */
  #scaleOf(stream: string, { scale, scaleId, leads, samples }: Contents): Scale | undefined {
    if (scaleId === undefined) return undefined;
    const ecgStream = this.streams.find(this.terms.grant.tenant, stream);
    const own = ecgStream && this.#explained.get(ecgStream);
    const brought = scale?.id === scaleId ? scale : undefined;
    const known = brought ?? own?.get(scaleId) ?? ecgStream?.scale(scaleId);
    if (!known) throw new UnknownScale(scaleId, samples);
    if (known.leads.length !== leads) {
      throw new EcgFault(ErrorCode.INVALID_DATA, `scale ${scaleId} has other leads`);
    }
    return known;
  }

  #learn(stream: string, scale: Scale): void {
    const ecgStream = this.streams.enter(this.terms.grant.tenant, stream);
    const before = this.#explained.get(ecgStream);
    if (before) this.streams.release(ecgStream);
    const own = before ?? new Scales(MAX_SCALES);
    own.learn(scale);
    ecgStream.learn(scale, own);
    // Again, so that it comes last.
    this.#explained.delete(ecgStream);
    this.#explained.set(ecgStream, own);
    const [oldest] = this.#explained.keys();
    if (this.#explained.size > this.streams.limits.streamsPerLink) this.#forget(oldest!);
  }

  #forget(ecgStream: EcgStream): void {
    ecgStream.forget(this.#explained.get(ecgStream)!);
    this.#explained.delete(ecgStream);
    this.streams.release(ecgStream);
  }
}
