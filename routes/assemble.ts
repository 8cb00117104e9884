/**
 * Puts the parts of a relay together. Who brings it links, a server or the program that embeds it, is
 * its caller's affair.
 *
 * @module
 */
import type { Hono } from "hono";
import type { Admission } from "../src/admission.ts";
import { Channels } from "../src/channel/channels.ts";
import { host } from "../src/host.ts";
import type { Limits } from "../src/limits.ts";
import { HttpLinks } from "../src/link/http/http_links.ts";
import type { Accept } from "../src/link/link.ts";
import { LinkRegistry } from "../src/link/registry.ts";
import { log } from "../src/log.ts";
import { Metrics } from "../src/metrics/metrics.ts";
import { BlazeSessions } from "../src/session/blaze/blaze_session.ts";
import { echo } from "../src/session/echo.ts";
import { EcgSessions } from "../src/session/ecg/ecg_session.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { durabilityName, type LogStore } from "../src/store/store.ts";
import { createApp } from "./app.ts";
import type { Env } from "./upgrade.ts";

export interface AssemblyOptions {
  /** What it runs on, for people. */
  readonly runtime: string;
  readonly admission: Admission;
  readonly limits: Limits;
  /** Stands between every link and its session, and so sees what the relay sees. */
  readonly wrap?: ((accept: Accept) => Accept) | undefined;
  /** BMP: a link that carries many streams. */
  readonly bmp?: Accept;
  /** False once the relay is going away. */
  readonly ready?: () => boolean;
  /** What keeps the logs of groups: in memory unless given; null keeps none. */
  readonly store?: LogStore | null;
  /** Bytes that the process holds, where that can be told. */
  readonly memory?: () => number | undefined;
}

/** A relay without a server. */
export interface Assembly {
  readonly app: Hono<Env>;
  readonly links: LinkRegistry;
  readonly streams: HttpLinks;
  /** Of the caller's from here on, who sweeps and closes it. */
  readonly store: LogStore | null;
}

export function assemble(options: AssemblyOptions): Assembly {
  const { limits, wrap, memory = () => undefined, ready = () => true } = options;
  const { store = new MemoryStore(host, limits) as LogStore } = options;
  const channels = new Channels();
  const streams = new HttpLinks(limits, host);
  const metrics = new Metrics(
    () => host.now(),
    { channels: () => channels.size, memory },
    limits.slowMessageMs,
  );
  const links = new LinkRegistry(wrap, (error, remote) => {
    metrics.sessionFailed();
    log.error("a session of {remote} failed: {error}", { error, remote });
  });
  const ecg = new EcgSessions(channels, limits, host);
  ecg.meter = metrics.ecg;
  const blaze = new BlazeSessions(channels, limits, host, store ?? undefined);
  if (blaze.logs) blaze.logs.meter = metrics;
  const app = createApp({
    runtime: options.runtime,
    admission: options.admission,
    limits,
    links,
    streams,
    blaze,
    ecg,
    ...(options.bmp && { bmp: options.bmp }),
    echo: echo(limits, host),
    metrics,
    logs: store ? durabilityName(store.durability) : "off",
    trouble: () => store?.trouble,
    ready,
  });
  return { app, links, streams, store };
}
