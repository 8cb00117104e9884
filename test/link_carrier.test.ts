import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { Link } from "../src/link/link.ts";
import { linkCarrier } from "../src/link/mux/link_carrier.ts";
import type { Mux, MuxCarrier } from "../src/link/mux/mux.ts";

test("a link that was closed with bytes unsent is not asked for room any more", async () => {
  const link: Link = {
    remote: "peer",
    buffered: 1,
    send() {},
    close: () => events.closed(4431, ""),
  };
  let carrier!: MuxCarrier;
  let asked = 0;
  const events = linkCarrier(link, (made) => {
    carrier = made;
    const drained = () => {
      asked++;
      carrier.end({ code: "NOT_READING", message: "" });
    };
    return { drained, closed() {} } as unknown as Mux;
  });
  carrier.write(new Uint8Array(1));
  await new Promise((resolve) => setTimeout(resolve, 100));
  carrier.write(new Uint8Array(1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(asked, 1);
});
