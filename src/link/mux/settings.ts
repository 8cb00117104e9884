/**
 * How a multiplexed connection behaves, and how much its peer may make it keep. The relay fills this
 * from its limits; what stands here is what a client gets.
 *
 * @module
 */

export interface MuxSettings {
  /** Payload bytes of one frame sent: 8192 (BMP 1.0 section 7), or {@linkcode JUMBO}. */
  readonly chunkBytes: number;
  /** Frames of one stream that a peer of ours may send before the first of them is acked. */
  readonly window: number;
  /** Streams open at once. One more is refused. */
  readonly streams: number;
  /** Bytes of one stream that nobody has read. Beyond it the stream is closed. */
  readonly streamBytes: number;
  /** The same, for all streams together: the stream that goes over is closed. */
  readonly unreadBytes: number;
  /** Bytes waiting in the carrier at which data waits too. */
  readonly carrierBytes: number;
  /** Bytes waiting in the carrier at which a peer that does not read is given up. */
  readonly backlogBytes: number;
  /** Silence after which a stream that owes an ack, or does nothing, is closed; in milliseconds. */
  readonly idleMs: number;
  /** A connection without a stream is ended after so long; in milliseconds. */
  readonly vacantMs: number;
  /** Streams a second that the peer may open and drop unanswered, or open beyond `streams`. */
  readonly resetsPerSecond: number;
  /** So many of them may come at once. */
  readonly resetsBurst: number;
}

/** Chunks of the document's "jumbo frames" (BMP 1.0 section 11). */
export const JUMBO = 16_384;

export const MUX: MuxSettings = {
  chunkBytes: 8_192,
  window: 128,
  streams: 16_384,
  streamBytes: 2_097_152,
  unreadBytes: 33_554_432,
  carrierBytes: 262_144,
  backlogBytes: 4_194_304,
  idleMs: 30_000,
  vacantMs: 300_000,
  resetsPerSecond: 100,
  resetsBurst: 1_000,
};

/** Towards peers that are not ours: what the real Blazeio does, one frame and then its ack. */
export const STOP_AND_WAIT = 1;

/** A window towards a peer of ours starts here and grows with every ack, so that a stream whose
 * reader stands still never gets the whole of it. */
export const FIRST_WINDOW = 8;

/**
 * What is written first goes into one frame up to this length, whatever the chunk: the real server
 * wants a whole request head in it, and takes frames of any length.
 */
export const FIRST_FRAME = 65_536;

/** What a piece that waits costs beside its bytes: many empty-handed pieces are an attack too. */
export const PIECE_COST = 64;
