import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { BlazeGroup, BlazePair, EcgClient } from "../src/client/mod.ts";
import { peerDecode, peerEncode } from "./kit/ecg_peer.ts";
import { MessageType } from "../src/wire/ecg/codes.ts";
import { refusal, refusalNow } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

/** What a client's first call throws; a client that is there all the same is closed again. */
const refusedAt = (open: () => { close(): unknown }): string => refusalNow(() => open().close());

const CLIENTS: Record<string, (url: string) => { close(): unknown }> = {
  "BlazePair.open": (url) => BlazePair.open({ url, database: "bugs", trust: "first" }),
  "BlazeGroup.create": (url) => BlazeGroup.create({ url, database: "bugs" }),
  "BlazeGroup.open": (url) => BlazeGroup.open({ url, invitation: "" }),
  "EcgClient.open": (url) => EcgClient.open({ url, stream: "bed-3" }),
};

for (const [name, open] of Object.entries(CLIENTS)) {
  test(`${name} refuses at once what is no address of a relay`, () => {
    for (
      const url of ["", "foo", "/sync", "127.0.0.1:8080", "ftp://relay", "wss:", "ws://relay/#x"]
    ) {
      assertEquals(refusedAt(() => open(url)), "BAD_ADDRESS", url);
    }
  });
}

test("BlazeGroup.join refuses what is no address of a relay", async () => {
  const join = () => BlazeGroup.join({ url: "foo", confirm: () => true });
  assertEquals(await refusal(join), "BAD_ADDRESS");
});

test("EcgClient refuses a stream's name that has no place in a path, before it connects", () => {
  const url = "ws://127.0.0.1:9";
  for (
    const stream of [
      ...["", ".", "..", "../sync", "x/../y", "x/.", "./x", "a/..", "x".repeat(128), "\u{d800}"],
      "é".repeat(64),
    ]
  ) {
    assertEquals(refusedAt(() => EcgClient.open({ url, stream })), "BAD_NAME", stream);
  }
});

test("BlazePair refuses a database's name that has no place in a path, before it connects", () => {
  for (const database of [".", ".."]) {
    const open = () => BlazePair.open({ url: "ws://127.0.0.1:9", database, trust: "first" });
    assertEquals(refusedAt(open), "BAD_NAME", database);
  }
});

test("every other name arrives as itself", () =>
  withRelay(async (relay) => {
    const names = [
      ...["bed-3", "ward 1/bed-3", "a//b", "/a", "a/", "/", "//x", "...", ".a", "a.", "x/.../y"],
      ...[
        "%",
        "%2e%2e",
        "%2F",
        "%252e",
        "a%2e./b",
        "100 %",
        "?q=1",
        "#x",
        "a\\..\\b",
        ":",
        "@",
        "+",
      ],
      ...["*", "a;b=1", "\u0000", "\t\n\r", "\u007f", " ", "é", "日本", "🫀", "\u202e", "\ufeff"],
      ...["{.+}", "x".repeat(127), "é".repeat(63) + "x", "ws", "ecg/ws", "\ufffd", "\u2028x"],
    ];
    await Promise.all(names.map(async (stream) => {
      // Names its stream in a payload, where nothing is changed.
      const watcher = await TestSocket.connect(relay, "/ws");
      await watcher.next();
      watcher.send(peerEncode(1, MessageType.SUBSCRIBE, { stream }));
      await watcher.next();
      const monitor = EcgClient.open({ url: relay.url, stream });
      await monitor.publish({ signal: [1], sampling_rate: 1, stream: "no" }, {
        acknowledged: true,
      });
      let got = peerDecode(await watcher.next());
      while (got.type !== MessageType.ECG_DATA) got = peerDecode(await watcher.next());
      monitor.close();
      watcher.close();
    }));
  }));
