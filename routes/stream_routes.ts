/**
 * WebSocket where WebSocket is blocked: `POST /stream` opens, `GET /stream/:id` carries frames down,
 * `POST /stream/:id` carries them up. The bytes are those of RFC 6455; see docs/protocol/stream.md.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import * as v from "valibot";
import type { Grant } from "../src/admission.ts";
import type { LimitName, Limits } from "../src/limits.ts";
import type { HttpLink } from "../src/link/http/http_link.ts";
import type { HttpLinks } from "../src/link/http/http_links.ts";
import { acceptAt, type Dispatch } from "./accept.ts";
import { tryRoutes } from "./page_routes.ts";
import { bodyOf } from "./request_body.ts";
import { allowOrigin, preflight } from "./cors.ts";
import type { Door, Env } from "./upgrade.ts";

const BAD_TO = "want JSON with a path of this relay in `to`";
const BAD_PROTOCOLS = "want a list of at most 16 subprotocols in `protocols`";

/** What opens a stream. */
const opening = v.object({
  /** Path and query, as a WebSocket would ask for. */
  to: v.pipe(
    v.string(BAD_TO),
    v.regex(/^\/(?![\\/]|stream\b)/, BAD_TO),
    v.check((to) => URL.canParse(to, "http://localhost"), BAD_TO),
  ),
  protocols: v.optional(
    v.pipe(
      v.array(
        v.pipe(v.string(BAD_PROTOCOLS), v.regex(/^[!#$%&'*+.^_`|~\w-]+$/, BAD_PROTOCOLS)),
        BAD_PROTOCOLS,
      ),
      v.maxLength(16, BAD_PROTOCOLS),
    ),
    [],
  ),
}, BAD_TO);
/** The most bytes of an opening. */
const OPENING_BYTES = 8_192;

const HEADERS = [
  "authorization",
  "content-type",
  "stream-number",
  "stream-received",
  "stream-poll",
  "stream-leave",
];

const BAD_COUNT = "Stream-Number and Stream-Received are counts in decimal digits.";

/** What keeps proxies from holding a response back, from changing it and from keeping it. */
const UNBUFFERED = {
  "content-type": "application/octet-stream",
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
};

export interface StreamParts extends Door {
  readonly streams: HttpLinks;
}

export function streamRoutes(parts: StreamParts, dispatch: Dispatch): Hono<Env> {
  const { admission, limits, streams } = parts;
  const app = new Hono<Env>();

  app.route("/", tryRoutes());

  app.options("*", (c) => preflight(c, admission, HEADERS));

  app.post("/", async (c) => {
    const grant = await admit(c, parts);
    if (grant instanceof Response) return grant;
    if (streams.size >= limits.links) {
      return c.json({ error: "The relay is full; try again later. See /limits." }, 503);
    }
    const body = await bodyOf(c.req.raw, OPENING_BYTES);
    if (!body) return c.json({ error: `An opening has at most ${OPENING_BYTES} bytes.` }, 413);
    const wanted = v.safeParse(opening, openingIn(body, c.req.query("to")));
    if (!wanted.success) {
      return c.json({
        error: `Say where to: {"to": "/sync/bugs"}; ${wanted.issues[0].message}.`,
      }, 400);
    }
    const { to, protocols } = wanted.output;
    const accepted = await acceptAt(dispatch, {
      url: new URL(to, c.req.url),
      headers: brought(c.req.raw),
      address: c.env.peer.address,
      protocols,
    });
    if (accepted instanceof Response) {
      for (const [name, value] of c.res.headers) accepted.headers.set(name, value);
      return accepted;
    }
    const { accept, protocol } = accepted;
    const id = streams.open(owner(grant), c.env.peer.address, accept);
    c.header("cache-control", "no-store");
    return c.json({ id, protocol, ...saidOf(limits) }, 201);
  });

  app.get("/:id", (c) => {
    // A HEAD comes here, too, and would hold the stream with a body that nobody reads.
    if (c.req.method !== "GET") {
      return c.json({ error: "Ask with GET or POST." }, 405, { allow: "GET, POST" });
    }
    return withStream(c, parts, (stream) => {
      const received = countIn(c, "stream-received");
      if (received === null) return c.json({ error: BAD_COUNT }, 400);
      const body = stream.attach(received ?? 0, c.req.header("stream-poll") !== undefined);
      if (!body) return c.json({ error: "Nothing can follow there; open a new stream." }, 410);
      return c.body(body, 200, UNBUFFERED);
    });
  });

  app.post("/:id", (c) =>
    withStream(c, parts, async (stream) => {
      if (c.req.header("stream-leave") !== undefined) {
        stream.leave();
        return c.body(null, 204);
      }
      const received = countIn(c, "stream-received");
      const number = countIn(c, "stream-number");
      if (received === null || number === null) return c.json({ error: BAD_COUNT }, 400);
      if (received !== undefined && !stream.acknowledge(received)) {
        return c.json({ error: "So many bytes were never sent; open a new stream." }, 410);
      }
      if (number !== undefined) {
        if (stream.posting >= limits.httpPostsAtOnce) {
          return c.json(
            { error: "Too many requests at once; see /limits.", next: stream.next },
            429,
          );
        }
        stream.posting++;
        const body = await bodyOf(c.req.raw, limits.httpPostBytes).finally(() => stream.posting--);
        if (!body) return c.json({ error: "Too large a piece; see /limits." }, 413);
        // It may have been lost while the piece was on its way.
        if (stream.lost) return gone(c);
        if (!stream.admits(number)) {
          return c.json({ error: "Too far ahead; see /limits.", next: stream.next }, 409);
        }
        stream.post(number, body);
      }
      return c.json({ next: stream.next });
    }));

  return app;
}

/** The grant; who may not come in, or asks from the wrong page, gets an answer instead. */
async function admit(c: Context<Env>, { admission }: Door): Promise<Grant | Response> {
  const grant = await admission(c.req.raw);
  if (!("status" in grant) || grant.status !== 403) allowOrigin(c);
  return "status" in grant ? c.json({ error: grant.message }, grant.status) : grant;
}

/** Finds the stream that a request is about. Nothing tells a stream of somebody else's from none. */
async function withStream(
  c: Context<Env>,
  parts: StreamParts,
  use: (stream: HttpLink) => Response | Promise<Response>,
): Promise<Response> {
  const grant = await admit(c, parts);
  if (grant instanceof Response) return grant;
  c.header("cache-control", "no-store");
  const stream = parts.streams.find(c.req.param("id") ?? "", owner(grant));
  if (stream === "elsewhere") {
    return c.json({ error: "This stream lives in another instance; open a new one." }, 421);
  }
  return stream ? use(stream) : gone(c);
}

const gone = (c: Context<Env>): Response =>
  c.json({ error: "No such stream here; open a new one." }, 410);

/** The numbers that a client of any stream has to keep to, whatever address it goes to. */
const SAID = [
  "idleSeconds",
  "httpGraceMs",
  "httpPostBytes",
  "httpPostsAhead",
  "httpPostsAtOnce",
  "httpMessageBytes",
  "httpFragments",
  "httpKeptBytes",
] as const satisfies readonly LimitName[];

const saidOf = (limits: Limits) => Object.fromEntries(SAID.map((name) => [name, limits[name]]));

/** A tenant holds no slash. */
const owner = ({ tenant, subject }: Grant): string => `${tenant}/${subject}`;

/** A count in a header; `undefined` without the header, `null` for something else in it. */
function countIn(c: Context<Env>, name: string): number | undefined | null {
  const text = c.req.header(name);
  if (text === undefined) return undefined;
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** The opening as JSON, or the query's target for those who have no body to send. */
function openingIn(body: Uint8Array, to: string | undefined): unknown {
  if (body.length === 0) return { to };
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

/** What admission looks at. */
function brought(request: Request): Headers {
  const headers = new Headers();
  for (const name of ["authorization", "origin"]) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  return headers;
}
