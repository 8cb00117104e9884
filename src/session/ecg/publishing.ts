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
import { EcgFault } from "./fault.ts";
import { type Contents, contentsOf, Publication } from "./publication.ts";
import type { EcgStream } from "./ecg_stream.ts";
import type { EcgStreams } from "./ecg_streams.ts";
import type { EcgTerms, StreamNames } from "./terms.ts";

/** Bytes of a float in a list, which is what a packed sample counts as. */
const FLOAT_BYTES = 9;

const NO_CONTENTS: Contents = { samples: 0, packedSamples: 0 };

export class Publishing {
  /** EcgStreams whose scale it brought, the latest last. */
  readonly #explained = new Set<EcgStream>();

  /** `bytes`: what the link may bring. */
  constructor(
    private readonly terms: EcgTerms,
    private readonly names: StreamNames,
    private readonly streams: EcgStreams,
    private readonly bytes: Bucket,
  ) {}

  /** Hands a message to its watchers. Throws `EcgFault` and `WireError`. */
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
    if (broadcast) streams.broadcast(grant.tenant, publication, from);
    else streams.publish(grant.tenant, stream, publication, from);
  }

  /** The link is gone. */
  leave(): void {
    for (const ecgStream of this.#explained) this.streams.release(ecgStream);
    this.#explained.clear();
  }

  /** What a packed signal means; what a message brings is learnt on the way. */
  #scaleOf(stream: string, { scale, scaleId, leads }: Contents): Scale | undefined {
    if (scaleId === undefined) return undefined;
    const { streams } = this;
    const { tenant } = this.terms.grant;
    if (scale) {
      const ecgStream = streams.enter(tenant, stream);
      ecgStream.learn(scale);
      if (this.#explained.has(ecgStream)) streams.release(ecgStream);
      // Again, so that it comes last.
      this.#explained.delete(ecgStream);
      this.#explained.add(ecgStream);
      const [oldest] = this.#explained;
      if (this.#explained.size > streams.limits.streamsPerLink) {
        this.#explained.delete(oldest!);
        streams.release(oldest!);
      }
    }
    const known = streams.find(tenant, stream)?.scale(scaleId);
    if (!known) throw new EcgFault(ErrorCode.MISSING_FIELDS, `scale ${scaleId}`);
    if (known.leads.length !== leads) {
      throw new EcgFault(ErrorCode.INVALID_DATA, `scale ${scaleId} has other leads`);
    }
    return known;
  }
}
