/**
 * Every number that can be tuned: its default, its unit, and what happens beyond it. `GET /limits`
 * publishes the table, and the SDK obeys it.
 *
 * @module
 */

const limit = (value: number, unit: string, beyond: string) => ({ value, unit, beyond });

export const LIMITS = {
  payloadBytes: limit(1_048_576, "bytes", "Blaze: Error and close 1009. ECG: error 0x102."),
  messageBytes: limit(1_049_600, "bytes", "Blaze: Error and close 1009. ECG: error 0x102."),
  handshakeMs: limit(10_000, "milliseconds", "Blaze: Error and close 4408."),
  idleSeconds: limit(30, "seconds", "The link is pinged; without an answer it counts as gone."),
  messagesPerSecond: limit(2_000, "messages", "Blaze: Error and close 4429. ECG: error 0x204."),
  bytesPerSecond: limit(16_777_216, "bytes", "Blaze: Error and close 4429. ECG: error 0x204."),
  burstSeconds: limit(2, "seconds", "So much of both rates may come at once."),
  faultsPerSecond: limit(10, "faults", "Blaze Errors passed on: dropped. Own faults: close 4429."),
  bufferedBytes: limit(8_388_608, "bytes", "Close 4431; an ECG alert may go as far again."),
  membersShown: limit(64, "members", "Newcomers and members get a count, not each Handshake."),
  apartMs: limit(
    60_000,
    "milliseconds",
    "Blaze: two that parted with 4424 do not meet again before.",
  ),
  logBytes: limit(67_108_864, "bytes", "Blaze: of one log; Error 4507 on an append."),
  tenantLogBytes: limit(1_073_741_824, "bytes", "Blaze: of all logs; Error 4507 on an append."),
  logAheadBytes: limit(
    8_388_608,
    "bytes",
    "Blaze: appends without an answer so far: Error and close 4429.",
  ),
  logGraceMs: limit(86_400_000, "milliseconds", "Blaze: truncated entries go after it."),
  logIdleMs: limit(7_776_000_000, "milliseconds", "Blaze: a log that nobody opened so long goes."),
  logClosedMs: limit(
    2_592_000_000,
    "milliseconds",
    "Blaze: entries before a log's closing one go so long after it.",
  ),
  tagsPerMember: limit(256, "tags", "Blaze: Error 4422, the subscription stays as it was."),
  streamsPerLink: limit(64, "streams", "ECG: error 0x203; the oldest scale is forgotten."),
  streamNameBytes: limit(127, "bytes", "ECG: error 0x200."),
  backlogBytes: limit(
    262_144,
    "bytes",
    "ECG: the oldest stream messages are left out, and counted.",
  ),
  backlogMs: limit(2_000, "milliseconds", "ECG: older stream messages are left out, and counted."),
  historySeconds: limit(10, "seconds", "ECG: older messages are not sent to late watchers."),
  historyBytes: limit(1_048_576, "bytes", "ECG: the oldest messages of the stream are forgotten."),
  historyBytesInAll: limit(
    67_108_864,
    "bytes",
    "ECG: the tenant with most loses its most silent stream's.",
  ),
  slowMessageMs: limit(
    50,
    "milliseconds",
    "The message is passed on; a warning is logged, one a second at most.",
  ),
  bmpChunkBytes: limit(8_192, "bytes", "BMP: longer writes travel in several frames."),
  bmpWindow: limit(128, "frames", "BMP: a stream's sender waits for an ack; a stranger after one."),
  bmpStreams: limit(16_384, "streams", "BMP: of one connection. The next one gets a 503."),
  bmpHttpStreams: limit(
    16_384,
    "streams",
    "BMP: in all, with a request in them; a connection has a share. Others get a 503.",
  ),
  bmpStreamBytes: limit(2_097_152, "bytes", "BMP: unread in a stream. The stream is closed."),
  bmpUnreadBytes: limit(16_777_216, "bytes", "BMP: unread in a connection. The stream is closed."),
  bmpBacklogBytes: limit(4_194_304, "bytes", "BMP: unsent to a peer that reads nothing: its end."),
  bmpIdleMs: limit(30_000, "milliseconds", "BMP: a stream that owes an ack or idles is closed."),
  bmpVacantMs: limit(300_000, "milliseconds", "BMP: a connection without streams is ended."),
  bmpResetsPerSecond: limit(100, "streams", "BMP: opened and dropped unanswered: its end."),
  bmpResetsBurst: limit(1_000, "streams", "BMP: so many of them may come at once."),
  bmpConnections: limit(256, "connections", "BMP: the next one is ended at once."),
  bmpConnectionsPerAddress: limit(64, "connections", "BMP: the next one is ended at once."),
  links: limit(16_384, "links", "HTTP 503 on upgrade."),
  httpMessageBytes: limit(4_194_304, "bytes", "HTTP stream: close 1009, by message and by frame."),
  httpFragments: limit(1_024, "frames", "HTTP stream: a message in more frames brings close 1009."),
  httpPostBytes: limit(262_144, "bytes", "HTTP stream: HTTP 413 on a request that brings more."),
  httpPostsAhead: limit(8, "requests", "HTTP stream: HTTP 409 on a number further ahead."),
  httpPostsAtOnce: limit(16, "requests", "HTTP stream: HTTP 429 while as many are being read."),
  httpGraceMs: limit(
    15_000,
    "milliseconds",
    "HTTP stream: without a response so long, it is lost.",
  ),
  httpKeptBytes: limit(20_971_520, "bytes", "HTTP stream: not acknowledged; the stream is lost."),
  linksPerAddress: limit(4_096, "links", "HTTP 429 on upgrade."),
} as const;

export type LimitName = keyof typeof LIMITS;
/** The numbers alone, as a relay was started with. */
export type Limits = { readonly [Name in LimitName]: number };

/** The defaults, with changes. */
export function limits(changes: Partial<Limits> = {}): Limits {
  const defaults = Object.entries(LIMITS).map(([name, { value }]) => [name, value]);
  return { ...Object.fromEntries(defaults), ...changes };
}
