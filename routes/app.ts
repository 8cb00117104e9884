/**
 * The Hono app: it wires requests to sessions and has nothing to say itself.
 *
 * @module
 */
import { Hono, type MiddlewareHandler } from "hono";
import { type LimitName, LIMITS } from "../src/limits.ts";
import type { Accept } from "../src/link/link.ts";
import type { Metrics } from "../src/metrics/metrics.ts";
import type { BlazeSessions } from "../src/session/blaze/blaze_session.ts";
import type { EcgSessions } from "../src/session/ecg/ecg_session.ts";
import { logged } from "./link_log.ts";
import { metricsRoutes } from "./metrics_routes.ts";
import { pages } from "./page_routes.ts";
import { type StreamParts, streamRoutes } from "./stream_routes.ts";
import { type Env, upgrade } from "./upgrade.ts";

/** Said here, since not every runtime says it where the body is left out. */
const TEXT = { "content-type": "text/plain; charset=utf-8" };

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
  /** How safe the logs of groups are, or that there are none. */
  readonly logs: string;
  /** Why logs cannot be kept now, if so. */
  readonly trouble?: () => string | undefined;
}

export function createApp(parts: Parts): Hono<Env> {
  const { blaze, ecg, limits, metrics } = parts;
  const counted = {
    blaze: (accept: Accept) => logged("blaze", metrics?.blaze.metered(accept) ?? accept),
    ecg: (accept: Accept) => logged("ecg", metrics?.ecg.metered(accept) ?? accept),
  };
  const app = new Hono<Env>();
  app.use(headed);

  app.get("/", (c) => c.text(about(parts.runtime), 200, TEXT));
  app.get("/health", (c) => c.json({ status: "ok" }));
  app.get("/ready", (c) => {
    const ready = parts.ready();
    const reason = parts.trouble?.();
    const status = !ready ? "stopping" : reason === undefined ? "ready" : "failing";
    const { runtime, links, logs } = parts;
    const said = { status, runtime, links: links.size, logs, ...(reason && { reason }) };
    return c.json(said, status === "ready" ? 200 : 503);
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
  if (bmp) app.get("/bmp", (c) => upgrade(c, parts, () => bmp, true));

  app.get("/echo", (c) => upgrade(c, parts, () => logged("echo", parts.echo)));

  app.route("/stream", streamRoutes(parts, (request, env) => app.fetch(request, env)));
  app.route("/", pages());
  if (metrics) app.route("/", metricsRoutes(metrics, parts.admission));

  app.notFound((c) => {
    const methods = allowed(app, c.req.path);
    if (methods.length === 0) {
      return c.json({ error: `Nothing at ${c.req.path}; GET / lists what there is.` }, 404);
    }
    c.header("allow", methods.join(", "));
    return c.json({ error: `Ask with ${methods.join(" or ")}.` }, 405);
  });
  return app;
}

/** The methods that somebody answers at a path. */
const allowed = (app: Hono<Env>, path: string): string[] =>
  ["GET", "POST"].filter((method) =>
    app.router.match(method, path)[0].some(([[, route]]) => route.method === method)
  );

/** RFC 9110, 9.3.2: a HEAD is told what a GET is, also how long the answer would be. */
const headed: MiddlewareHandler<Env> = async (c, next) => {
  await next();
  if (c.req.method !== "HEAD" || !c.res.body) return;
  const { byteLength } = await c.res.clone().arrayBuffer();
  c.header("content-length", String(byteLength));
};

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
