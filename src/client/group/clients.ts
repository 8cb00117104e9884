/**
 * What a session hands to whoever serves clients that speak the seed's text.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import type { Handshake } from "../../wire/blaze/handshake.ts";
import type { Operation } from "../../wire/blaze/operation.ts";
import type { KeyPair } from "../pair/pair_keys.ts";

export interface Clients {
  /** The device is in the group now. */
  entered(): Promise<void>;
  introduced(ack: Bytes, pair: KeyPair, handshake: Handshake): Promise<void>;
  /** A frame of a client, whose node id is in hex. False: no client of ours. */
  frame(node: string, frame: Bytes): Promise<boolean>;
  left(node: string): void;
  operation(operation: Operation): void;
}
