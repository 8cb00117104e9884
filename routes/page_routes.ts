/**
 * The pages of the relay: everything they load comes from here, and nothing of theirs may run that
 * does not.
 *
 * @module
 */
import { Hono } from "hono";
import { dashboardPage, type Page, tryPage, viewerPage } from "../web/pages.ts";
import type { Env } from "./upgrade.ts";

const HEADERS = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  // A new version of the relay brings new pages.
  "cache-control": "no-cache",
} as const;

function page(name: string, { html, css, js }: Page): Hono<Env> {
  const app = new Hono<Env>();
  const serve = (path: string, type: string, text: string) =>
    app.get(path, (c) => c.body(text, 200, { ...HEADERS, "content-type": type }));
  serve(`/${name}`, "text/html; charset=utf-8", html);
  serve(`/${name}/${name}.css`, "text/css; charset=utf-8", css);
  serve(`/${name}/${name}.js`, "text/javascript; charset=utf-8", js);
  return app;
}

/** `/viewer`: live ECG. `/dashboard`: what this relay does. */
export const pages = (): Hono<Env> =>
  new Hono<Env>()
    .route("/", page("viewer", viewerPage))
    .route("/", page("dashboard", dashboardPage));

/** `/try`, below `/stream`: a page that tries whether an HTTP stream passes. */
export const tryRoutes = (): Hono<Env> => page("try", tryPage);
