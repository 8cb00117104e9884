/**
 * The SDK: runs in browsers, Bun and Deno.
 *
 * @module
 */
export {
  BlazePair,
  type PairCollection,
  type PairIncoming,
  type PairOptions,
  type PairStatus,
  type Sent,
} from "./pair/pair_client.ts";
export { BlazeGroup } from "./group/group_client.ts";
export {
  type Counts,
  type GroupCollection,
  type GroupDevice,
  type GroupIncoming,
  type GroupOptions,
  type GroupStatus,
  type Invited,
  type InviteOptions,
  type NewGroupOptions,
  type Safety,
  type Standing,
  type Stored,
  type StoredRecord,
  type Whereabouts,
} from "./group/group_types.ts";
export { type ClientRequest, type Sponsor } from "./group/sponsor.ts";
export { type JoinOptions } from "./group/introduction.ts";
export { type Changes, type DeviceStorage, memoryStorage } from "./blaze/storage.ts";
export { indexedDbStorage } from "./blaze/storage_indexeddb.ts";
export { type Confirm, type Partner } from "./pair/partner.ts";
export { type Compress } from "./blaze/compression.ts";
export { type Zstd } from "./blaze/zstd.ts";
export { EcgClient, type EcgOptions, type EcgStatus, type WatchOptions } from "./ecg/ecg_client.ts";
export {
  type EcgGap,
  type EcgMessage,
  type EcgPeer,
  EcgRefused,
  type EcgSeal,
  type PublishOptions,
  type SealedHeader,
} from "./ecg/messages.ts";
export { type ClockOffset } from "./ecg/clock_offset.ts";
export { type Lead, type Scale } from "../wire/ecg/scale.ts";
export { type Signal, type SignalLead } from "../wire/ecg/signal.ts";
export { Flag, MessageType, Version } from "../wire/ecg/codes.ts";
export { EcgDateTime, EcgUuid, type Payload } from "../wire/ecg/payload.ts";
export { NdArray } from "../wire/ecg/ndarray.ts";
export { type Backoff } from "./backoff.ts";
export { BmpConnection, type BmpOptions } from "./bmp/bmp_connection.ts";
export { BmpClosed, type Dial } from "./bmp/dial.ts";
export { BmpStream, BmpStreamError } from "./bmp/bmp_stream.ts";
export { ConnectionClosed, type ConnectOptions, type OfflineStatus } from "./connection.ts";
export { QueueOverflow } from "./queue.ts";
export {
  BlazeDate,
  Double,
  type Fields,
  type FieldsInput,
  Uuid,
} from "../wire/blaze/blaze_record.ts";
export { type Operation, type OperationKind } from "../wire/blaze/operation.ts";
export { WireError } from "../wire/bytes.ts";
export { ClientError, type ClientErrorCode, type ClientFault } from "./client_error.ts";
export { Socket, type SocketOptions } from "./socket.ts";
export { type TransportMemory, type TransportName } from "./transport/transport_memory.ts";
export {
  webview,
  type WebviewMessage,
  type WebviewOptions,
} from "./transport/webview_transport.ts";
