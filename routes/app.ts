/**
 * The Hono app: it wires requests to sessions and has nothing to say itself.
 *
 * @module
 */
import { Hono } from "hono";
import { type LimitName, LIMITS } from "../src/limits.ts";
import type { Accept } from "../src/link/link.ts";
import type { Metrics } from "../src/metrics/metrics.ts";
import type { BlazeSessions } from "../src/session/blaze/blaze_session.ts";
import type { EcgSessions } from "../src/session/ecg/ecg_session.ts";
import { metricsRoutes } from "./metrics_routes.ts";
import { pages } from "./page_routes.ts";
import { type StreamParts, streamRoutes } from "./stream_routes.ts";
import { type Env, upgrade } from "./upgrade.ts";

export interface Parts extends StreamParts {
  readonly blaze: BlazeSessions;
  readonly ecg: EcgSessions;
  /** BMP: a link that carries many streams. */
  readonly bmp?: Accept;
  readonly echo: Accept;
  /** Counts what passes, and shows it; without, nothing is counted. */
  readonly metrics?: Metrics;
  /** Runtime and version, for people. */
  readonly runtime: string;
}

export function createApp(parts: Parts): Hono<Env> {
  const { blaze, ecg, limits, metrics } = parts;
  const counted = {
    blaze: (accept: Accept) => metrics?.blaze.metered(accept) ?? accept,
    ecg: (accept: Accept) => metrics?.ecg.metered(accept) ?? accept,
  };
  const app = new Hono<Env>();

  app.get("/", (c) => c.text(about(parts.runtime)));
  app.get("/health", (c) => c.json({ status: "ok" }));
  app.get("/ready", (c) => {
    const ready = parts.ready();
    const status = ready ? "ready" : "stopping";
    return c.json({ status, runtime: parts.runtime, links: parts.links.size }, ready ? 200 : 503);
  });
  app.get("/limits", (c) =>
    c.json(
      Object.fromEntries(
        Object.entries(LIMITS).map((
          [name, limit],
        ) => [name, { ...limit, value: limits[name as LimitName] }]),
      ),
    ));

  app.get("/sync/:database?", (c) => {
    const database = c.req.param("database");
    const layout = c.req.query("ack") === "sample" ? "sample" : "drawing";
    return upgrade(
      c,
      parts,
      (grant) =>
        counted.blaze(
          blaze.accept(database === undefined ? { grant, layout } : { grant, layout, database }),
        ),
    );
  });

  const watch = app.get("/ecg/:stream{[^]+}?", (c) => {
    const stream = c.req.param("stream");
    return upgrade(
      c,
      parts,
      (grant) => counted.ecg(ecg.accept(stream === undefined ? { grant } : { grant, stream })),
    );
  });
  watch.get("/ws", (c) => upgrade(c, parts, (grant) => counted.ecg(ecg.accept({ grant }))));

  const { bmp } = parts;
  if (bmp) app.get("/bmp", (c) => upgrade(c, parts, () => bmp));

  app.get("/echo", (c) => upgrade(c, parts, () => parts.echo));

  app.route("/stream", streamRoutes(parts, (request, env) => app.fetch(request, env)));
  app.route("/", pages());
  if (metrics) app.route("/", metricsRoutes(metrics, parts.admission));

  app.notFound((c) =>
    c.json({ error: `Nothing at ${c.req.path}; GET / lists what there is.` }, 404)
  );
  return app;
}

const about = (runtime: string): string =>
  [
    `Blaze Relay on ${runtime}`,
    "",
    "  /sync, /sync/:database   WebSocket: BlazeBinary frames between a person's devices",
    "  /ecg, /ecg/:stream, /ws  WebSocket: ECG streams, protocol versions 1 to 3",
    "  /bmp                     WebSocket: BMP, hundreds of streams in one connection",
    "  /echo                    WebSocket: sends binary messages back",
    "  /stream                  the same over HTTP, where WebSocket is blocked; try it at /stream/try",
    "  /viewer                  page: a live ECG, /viewer#stream=NAME&token=TOKEN",
    "  /dashboard               page: what this relay does",
    "  /metrics, /metrics.json  the same for Prometheus, and as JSON",
    "  /health, /ready          is it alive, does it take links",
    "  /limits                  every limit, with what happens beyond it",
    "",
  ].join("\n");
