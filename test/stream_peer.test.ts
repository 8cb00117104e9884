import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { needsPython } from "./kit/python.ts";
import { streamPeer } from "./kit/stream_peer.ts";

test(
  "a client from the stream's text alone, in Python, goes through all that it says",
  needsPython(),
  async () => {
    const results = await streamPeer();
    const names = Object.keys(results);
    assertEquals(results, Object.fromEntries(names.map((name) => [name, "ok"])));
    assertEquals(names.length, 19);
  },
);
