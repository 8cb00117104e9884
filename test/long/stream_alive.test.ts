import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { needsPython } from "../kit/python.ts";
import { streamPeer } from "../kit/stream_peer.ts";

test(
  "a client from the stream's text stays alive by its pongs alone",
  needsPython(),
  async () => assertEquals(await streamPeer(["alive"], { idleSeconds: 2 }), { alive: "ok" }),
);
