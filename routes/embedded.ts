/**
 * A relay inside a desktop program, for the pages of its webviews. It opens no port.
 *
 * ```ts
 * const relay = embedRelay();
 * const page = relay.page({ origin: "app://bugs" });   // for each window
 * scheme("wsock", (url) => page.fetch(url));           // status, headers, and a body that goes on
 * port((message) => page.message(message));
 * ```
 *
 * @module
 */
import { openAdmission } from "../src/admission.ts";
import { host } from "../src/host.ts";
import { type Limits, limits } from "../src/limits.ts";
import { WebviewHost } from "../src/link/webview_host.ts";
import { acceptAt } from "./accept.ts";
import { assemble } from "./assemble.ts";

export interface EmbedOptions {
  /** Limits other than the defaults of `src/limits.ts`. */
  readonly limits?: Partial<Limits>;
}

export interface PageOptions {
  /** Where the page comes from, such as `app://bugs`: only it may read what the scheme answers. */
  readonly origin: string;
}

/** A relay that is reached through its program alone. */
export interface EmbeddedRelay {
  /** One page. No token travels: a program that hands its port to a page has let it in. */
  page(options: PageOptions): EmbeddedPage;
}

/** The relay as one page reaches it. */
export interface EmbeddedPage {
  /**
   * Answers a request of the scheme, `wsock://localhost/connect?to=…&stream=n`, as
   * docs/protocol/stream.md has it. Without `to` it leads to `/echo`. The body is for the page as long
   * as that reads it; when the webview says that it does not any more, cancel it.
   */
  fetch(url: string): Promise<Response>;
  /** What the message port has delivered. Answers false when it belongs to no connection. */
  message(message: unknown): boolean;
  /** The page is gone. */
  lost(): void;
}

/** Paths at the relay are resolved against it; nobody asks there. */
const HERE = "http://localhost";

/** Embeds a relay with limits of its own. */
export function embedRelay(options: EmbedOptions = {}): EmbeddedRelay {
  const chosen = limits(options.limits);
  const { app } = assemble({ runtime: "a webview", admission: openAdmission(), limits: chosen });
  const dispatch = app.fetch.bind(app);
  return {
    page({ origin }) {
      const webviewHost = new WebviewHost(host, {
        maxMessage: chosen.httpMessageBytes,
        maxFragments: chosen.httpFragments,
        idleMs: 2_000 * chosen.idleSeconds,
        maxUnread: chosen.httpKeptBytes,
      });
      const connect = async (url: string): Promise<Response> => {
        const to = new URL(url).searchParams.get("to") ?? "/echo";
        if (!to.startsWith("/") || !URL.canParse(to, HERE)) {
          return Response.json({ error: "Say where to: ?to=/sync/bugs" }, { status: 400 });
        }
        const accepted = await acceptAt(dispatch, {
          url: new URL(to, HERE),
          headers: new Headers(),
          address: "webview",
          protocols: [],
        });
        if (accepted instanceof Response) return accepted;
        try {
          const { body } = webviewHost.connect(url, accepted.accept);
          return new Response(body, { headers: { "content-type": "application/octet-stream" } });
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          return Response.json({ error: error.message }, { status: 429 });
        }
      };
      return {
        async fetch(url) {
          const answer = await connect(url);
          answer.headers.set("cache-control", "no-store");
          answer.headers.set("access-control-allow-origin", origin);
          return answer;
        },
        message: (message) => webviewHost.message(message),
        lost: () => webviewHost.lost(),
      };
    },
  };
}
