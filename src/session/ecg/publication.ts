/**
 * One message of a stream on its way to watchers who want it differently: in their version, and
 * with its signal packed or not.
 *
 * @module
 */
import type { Delivery, Extent } from "../../channel/channels.ts";
import type { Message } from "../../link/link.ts";
import type { Bytes } from "../../wire/bytes.ts";
import { ErrorCode, isAlert, MessageType, type Version } from "../../wire/ecg/codes.ts";
import { type OpenMessage, refill, reframe } from "../../wire/ecg/ecg_message.ts";
import { mapOf } from "../../wire/ecg/msgpack_encode.ts";
import { fieldsIn } from "../../wire/ecg/msgpack_scan.ts";
import { NdArray } from "../../wire/ecg/ndarray.ts";
import { type Payload, readPayload, writePayload } from "../../wire/ecg/payload.ts";
import { chunkData, readChunkHeader, unpackSamples } from "../../wire/ecg/samples.ts";
import { readScale, type Scale } from "../../wire/ecg/scale.ts";
import { unpackedFields } from "../../wire/ecg/signal.ts";
import { EcgFault, field, isMap } from "./fault.ts";

export class Publication {
  readonly delivery: Delivery;
  readonly extent: Extent;

  /**
   * `message`: as it came, if it came. `scale`: of its packed signal, if it has one. `now`:
   * microseconds since 1970.
   */
  constructor(
    private readonly message: Message | undefined,
    private readonly opened: OpenMessage,
    private readonly scale: Scale | undefined,
    private readonly now: bigint,
    { source, count, explains }: Omit<Extent, "time">,
  ) {
    this.delivery = isAlert(opened) ? "alert" : "live";
    this.extent = { source, count, time: opened.timestamp ?? now, explains: explains ?? false };
  }

  get sealed(): boolean {
    return this.opened.msgpack === null;
  }

  /** Has a packed signal, so that it goes out in two forms. */
  get packed(): boolean {
    return this.scale !== undefined;
  }

  /** Bytes that keeping it costs. */
  get bytes(): number {
    const { msgpack, body } = this.opened;
    return (this.message?.length ?? 0) +
      (msgpack === null || msgpack === body ? 0 : msgpack.length);
  }

  /** For a version, as it came. Nothing where that cannot carry it. */
  as(version: Version): Message | undefined {
    if (this.message && version === this.opened.version) return this.message;
    return this.sealed ? undefined : reframe(this.opened, version, this.now);
  }

  /** The same with its packed signal as floats, which is framed for every version that wants it. */
  unpacked(limit: number, compress: boolean): Publication {
    const { opened, scale } = this;
    if (!scale || opened.msgpack === null) return this;
    const unpacked = unpack(opened.msgpack, scale);
    return new Publication(
      undefined,
      refill(opened, unpacked, { limit, compress }),
      undefined,
      this.now,
      this.extent,
    );
  }
}

/** What the relay has to know of a payload with data. */
export interface Contents {
  /** Samples of each lead. */
  readonly samples: number;
  /** Samples of all leads that are packed. */
  readonly packedSamples: number;
  /** The scale it brings. */
  readonly scale?: Scale;
  /** The scale that its packed signal names. */
  readonly scaleId?: number;
  readonly leads?: number;
}

/** Looks into ECG_DATA; a packed signal is read to its end. Throws `EcgFault` and `WireError`. */
export function contentsOf(type: MessageType, payload: Payload): Contents {
  if (type !== MessageType.ECG_DATA) return { samples: 0, packedSamples: 0 };
  if (!isMap(payload)) throw new EcgFault(ErrorCode.INVALID_DATA, "the payload is not a map");
  const signal = field(payload, "signal");
  if (signal === undefined) throw new EcgFault(ErrorCode.MISSING_FIELDS, "signal");
  const data = chunkData(signal);
  if (!data) return { samples: samplesIn(signal), packedSamples: 0 };
  const { scale: scaleId, samples, leads } = readChunkHeader(data);
  unpackSamples(data);
  const brought = field(payload, "scale");
  return {
    samples,
    packedSamples: leads * samples,
    scaleId,
    leads,
    ...(brought === undefined ? {} : { scale: readScale(brought) }),
  };
}

/** Samples of each lead in a signal that is not packed. */
function samplesIn(signal: Payload): number {
  if (signal instanceof NdArray) return signal.shape.at(-1) ?? 1;
  if (!Array.isArray(signal)) return 0;
  const [first] = signal;
  return Array.isArray(first) ? first.length : signal.length;
}

/** The payload with its signal as the seed has it; what is not about that stays byte for byte. */
function unpack(msgpack: Uint8Array, scale: Scale): Bytes {
  const fields = fieldsIn(msgpack);
  const signal = fields.find(({ name }) => name === "signal")!;
  const chunk = unpackSamples(chunkData(readPayload(msgpack.subarray(signal.value, signal.end)))!);
  const told = unpackedFields(chunk, scale);
  const stays = fields.filter(({ name }) =>
    name === undefined || name !== "scale" && !Object.hasOwn(told, name)
  );
  return mapOf(
    stays.length + Object.keys(told).length,
    stays.map(({ start, end }) => msgpack.subarray(start, end)),
    writePayload(told),
  );
}
