/**
 * What a request must be before the app sees it. The runtimes differ in what they let through: a Host
 * that is none makes an address that nobody can read, or a path that nobody asked for, and an upgrade
 * without its headers throws on one of them.
 *
 * @module
 */
import { log } from "../log.ts";
import type { Handler, Peer } from "./runtime.ts";

/** RFC 9110, 7.2: a host as in an address (RFC 3986, 3.2.2), and a port; no more. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[\w.~%!$&'()*+;=-]+)(?::\d*)?$/;
/** RFC 6455, 4.1: 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const VERSION = "13";

/** The same handler, which gets no request but a good one. Others are answered here, with 4xx. */
export const screened = (handler: Handler): Handler => (request, peer) => {
  const read = readable(request);
  const answer = read instanceof Response ? read : handler(read, screenedPeer(read, peer));
  const shown = read instanceof Response ? request : read;
  return log.isEnabledFor("debug") ? told(shown, peer, answer) : answer;
};

/** A path or a reason in the log; both may have been made by a stranger. */
const MOST_SHOWN = 256;

/** The same answer; where it is a refusal, the log says so. A query may hold a token and is left out. */
async function told(
  { method, url }: Request,
  { address }: Peer,
  answer: Response | Promise<Response>,
): Promise<Response> {
  const response = await answer;
  const { status } = response;
  if (status < 400) return response;
  log.debug("{method} {path} from {remote} refused {status}: {reason}", {
    method,
    path: (URL.parse(url)?.pathname ?? "?").slice(0, MOST_SHOWN),
    remote: address,
    status,
    reason: (await reasonOf(response)).slice(0, MOST_SHOWN),
  });
  return response;
}

/** What a refusal of the relay's says. */
async function reasonOf(response: Response): Promise<string> {
  if (!/^application\/json\b/.test(response.headers.get("content-type") ?? "")) return "-";
  const { error } = await response.clone().json().catch(() => ({}));
  return typeof error === "string" ? error : "-";
}

const screenedPeer = (request: Request, peer: Peer): Peer => ({
  address: peer.address,
  upgrade: (accept, protocol) => upgradeRefusal(request) ?? peer.upgrade(accept, protocol),
});

/**
 * RFC 9112, 3.2 and 3.3: an address that can be read, and a Host that is one. HTTP/2 has none and names
 * the host otherwise; HTTP/1.0 may have none, and then one runtime answers with the path alone.
 */
function readable(request: Request): Request | Response {
  const { url, headers } = request;
  const host = headers.get("host");
  if (host !== null && !(HOST.test(host) && URL.canParse(`http://${host}`))) {
    return refuse(400, "The Host header names no host.");
  }
  if (URL.canParse(url)) return request;
  const whole = `http://localhost${url}`;
  return host === null && url.startsWith("/") && URL.canParse(whole)
    ? new Request(whole, request)
    : refuse(400, "The request's target is no address.");
}

/**
 * RFC 6455, 4.2.1, but for the version of HTTP, which no runtime tells. What speaks 1.0 is known by its
 * missing Host at the most.
 */
function upgradeRefusal({ method, headers }: Request): Response | undefined {
  const has = (name: string, word: string) =>
    (headers.get(name) ?? "").toLowerCase().split(",").some((one) => one.trim() === word);
  if (headers.get("host") === null) return refuse(400, "An upgrade names its Host.");
  if (method !== "GET") return refuse(405, "An upgrade is a GET.", { allow: "GET" });
  if (!has("upgrade", "websocket") || !has("connection", "upgrade")) {
    return refuse(400, "An upgrade says `Connection: Upgrade` and `Upgrade: websocket`.");
  }
  if (!KEY.test(headers.get("sec-websocket-key") ?? "")) {
    return refuse(400, "Sec-WebSocket-Key has 16 bytes in base64.");
  }
  if (headers.get("sec-websocket-version") !== VERSION) {
    return refuse(426, `Only version ${VERSION} of WebSocket is spoken here.`, {
      "sec-websocket-version": VERSION,
    });
  }
}

const refuse = (status: number, error: string, headers: HeadersInit = {}): Response =>
  Response.json({ error }, { status, headers });
