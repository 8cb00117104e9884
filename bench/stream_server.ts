/**
 * A relay without rate limits, as a process of its own for `bench/stream.ts`.
 *
 * @module
 */
import { startRelay } from "../main.ts";

const relay = await startRelay(
  { host: "127.0.0.1", port: 0, token: "" },
  { limits: { messagesPerSecond: 0, bytesPerSecond: 0 } },
);
console.log(`url ${relay.url}`);
