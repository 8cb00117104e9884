/**
 * `/metrics` for Prometheus and `/metrics.json` for the dashboard, for whoever may use the relay.
 *
 * @module
 */
import { Hono } from "hono";
import type { Admission } from "../src/admission.ts";
import type { Metrics } from "../src/metrics/metrics.ts";
import type { Env } from "./upgrade.ts";

const PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8";

export function metricsRoutes(metrics: Metrics, admission: Admission): Hono<Env> {
  const app = new Hono<Env>();
  app.on("GET", ["/metrics", "/metrics.json"], (c) => {
    const grant = admission(c.req.raw);
    if ("status" in grant) return c.json({ error: grant.message }, grant.status);
    c.header("cache-control", "no-store");
    return c.req.path === "/metrics"
      ? c.body(metrics.text(), 200, { "content-type": PROMETHEUS })
      : c.json(metrics.snapshot());
  });
  return app;
}
