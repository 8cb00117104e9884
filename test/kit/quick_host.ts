/**
 * Time that runs faster: a network that is slow is tested in less time than it takes.
 *
 * @module
 */
import { type Host, host } from "../../src/host.ts";

/** The real host, on which `times` as much time passes. */
export const quickHost = (times: number): Host => ({
  now: () => host.now() * times,
  unixMicros: () => host.unixMicros(),
  after: (ms, run) => host.after(ms / times, run),
  afterTurn: (run) => host.afterTurn(run),
  random: (length) => host.random(length),
});
