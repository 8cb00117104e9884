/**
 * What counting costs: a link with and without a meter, in this process.
 *
 * @module
 */
import type { Accept } from "../src/link/link.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { ecgDialect } from "../src/metrics/dialects.ts";
import { Meter } from "../src/metrics/meter.ts";
import { MessageType } from "../src/wire/ecg/codes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { median, print, title } from "./table.ts";

const ROUNDS = 9;
const MESSAGES = 100_000;

/** A session that sends on what it gets. */
const pass: Accept = (link) => ({
  message: (message) => link.send(message),
  text() {},
  drained() {},
  closed() {},
});

/** Nanoseconds for a message in and a message out. */
function nanos(accept: Accept): number {
  const peer = new MemoryPeer(accept);
  const message = encode({
    version: 1,
    type: MessageType.ECG_DATA,
    payload: { signal: [1, 2, 3] },
  });
  const rounds: number[] = [];
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const since = performance.now();
    for (let i = 0; i < MESSAGES; i++) peer.send(message);
    rounds.push((performance.now() - since) / MESSAGES * 1e6);
    peer.received.length = 0;
  }
  return median(rounds.slice(ROUNDS));
}

// deno-lint-ignore require-await
export async function meter(): Promise<void> {
  const counting = new Meter(ecgDialect, () => performance.now());
  const [bare, counted] = [nanos(pass), nanos(counting.metered(pass))];
  title("Meter, nanoseconds for a message in and a message out");
  print(["", "ns"], [
    ["bare", bare.toFixed(0)],
    ["counted", counted.toFixed(0)],
    ["difference", (counted - bare).toFixed(0)],
  ]);
}
