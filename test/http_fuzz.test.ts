/** The app against requests of every kind: it answers, and never with a fault of its own. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { assemble } from "../routes/assemble.ts";
import { openAdmission, tokenAdmission } from "../src/admission.ts";
import { limits } from "../src/limits.ts";
import type { Peer } from "../src/runtime/runtime.ts";
import { dice, seed, times } from "./kit/random.ts";
import { Chance, NAMES } from "./kit/stranger_talk.ts";

const REQUESTS = 1_000;
const METHODS = ["GET", "GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"];
const PATHS = [
  ...["/", "/health", "/ready", "/limits", "/sync", "/ecg", "/ws", "/bmp", "/echo", "/viewer"],
  ...["/dashboard", "/metrics", "/metrics.json", "/stream", "/stream/try", "/stream/", "//", "/%"],
];
const COUNTS = ["0", "1", "-1", "1e9", "9007199254740993", "99999999999999999999", "x", "", " 7"];
const HEADERS: Record<string, readonly string[]> = {
  "authorization": ["Bearer 0123456789abcdef", "Bearer", "Basic eA==", "bearer \u00ff"],
  "origin": ["null", "http://localhost", "http://[", "https://evil.example"],
  "upgrade": ["websocket", "h2c", ""],
  "connection": ["Upgrade", "keep-alive", ""],
  "sec-websocket-protocol": ["blaze-relay", ",", "bearer.0123456789abcdef", "a b"],
  "stream-number": COUNTS,
  "stream-received": COUNTS,
  "stream-poll": ["1", ""],
  "stream-leave": ["1"],
  "content-type": ["application/json", "text/plain", "multipart/form-data; boundary=x", "?"],
  "accept": ["text/html", "*/*", "\u00ff"],
  "access-control-request-method": ["POST", ""],
};

/** One that opens a stream, so that there are some. */
const opening = (chance: Chance): Request =>
  new Request("http://relay/stream", {
    method: "POST",
    headers: { authorization: "Bearer 0123456789abcdef" },
    body: JSON.stringify({ to: chance.one(["/echo", "/sync/bugs", "/ecg/bed", "/bmp"]) }),
  });

function request(chance: Chance, ids: readonly string[]): Request {
  if (chance.often(5)) return opening(chance);
  const method = chance.one(METHODS);
  const name = encodeURIComponent(chance.one(NAMES));
  const path = chance.one([
    ...PATHS,
    `/sync/${name}`,
    `/ecg/${name}/${name}`,
    `/stream/${chance.one([...ids, name, "0".repeat(12) + "-" + "0".repeat(32)])}`,
    `/${name}`,
    ...ids.map((id) => `/stream/${id}`),
    "/sync/%ff",
    "/ecg/%zz",
  ]);
  const query = chance.one([
    "",
    "",
    "?ack=sample",
    "?to=/echo",
    "?to=//a",
    `?to=${name}`,
    "?%",
    "?=",
  ]);
  const headers = new Headers();
  for (const [name, values] of Object.entries(HEADERS)) {
    if (chance.often(25)) headers.set(name, chance.one(values));
  }
  const bare = method === "GET" || method === "HEAD";
  const body = chance.one<BodyInit>([
    JSON.stringify({ to: chance.one(["/echo", "/sync/bugs", "/stream", "/nothing", "x", "/\\a"]) }),
    JSON.stringify({ to: "/echo", protocols: chance.value() }, plain),
    JSON.stringify(chance.value(), plain) ?? "",
    "{",
    chance.bytes(300),
    new Uint8Array(300_000),
    "",
  ]);
  return new Request(`http://relay${path}${query}`, { method, headers, ...(bare ? {} : { body }) });
}

const plain = (_: string, value: unknown) => typeof value === "bigint" ? String(value) : value;

for (
  const [who, admission] of [
    ["anybody", openAdmission()],
    ["whoever has the token", tokenAdmission("0123456789abcdef")],
  ] as const
) {
  test(`an app that is open to ${who} answers every request, and never with a 500`, async () => {
    const chance = new Chance(dice(seed));
    const { app, streams, links } = assemble({
      runtime: "test",
      admission,
      limits: limits({ links: 50, httpGraceMs: 50 }),
    });
    const peer: Peer = {
      address: "10.0.0.1",
      upgrade: () => new Response(null, { status: 204 }),
    };
    const ids: string[] = [];
    for (let n = 0; n < REQUESTS * times; n++) {
      const one = request(chance, ids.slice(-3));
      const what = `${one.method} ${one.url} ${JSON.stringify([...one.headers])}, SEED=${seed}`;
      const answer = await app.fetch(one, { peer });
      assert(answer.status < 500 || answer.status === 503, `${answer.status} for ${what}`);
      if (answer.status === 201) ids.push((await answer.json()).id);
      else await answer.body?.cancel();
    }
    assert(ids.length > 0);
    streams.cutAll();
    assertEquals(links.size, 0);
  });
}
