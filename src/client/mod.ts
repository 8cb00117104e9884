/**
 * The SDK: runs in browsers, Bun and Deno.
 *
 * @module
 */
export {
  BlazeClient,
  type BlazeOptions,
  type BlazeStatus,
  type Collection,
  type Incoming,
  type Sent,
} from "./blaze/client.ts";
export { type Compress, type PairFault, type Partner } from "./blaze/pairing.ts";
export { type Backoff } from "./backoff.ts";
export { ConnectionClosed, type ConnectOptions } from "./connection.ts";
export { QueueOverflow } from "./queue.ts";
export { BlazeDate, Double, type Fields, type FieldsInput, Uuid } from "../wire/blaze/record.ts";
export { type Operation, type OperationKind } from "../wire/blaze/operation.ts";
export { WireError } from "../wire/bytes.ts";
