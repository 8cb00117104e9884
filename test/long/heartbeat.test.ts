import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { decodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { decodeExtension } from "../../src/wire/blaze/extension.ts";
import { greeting, nodeId } from "../kit/blaze.ts";
import { withRelay } from "../kit/relay.ts";
import { rawMessage, rawUpgrade, TestSocket } from "../kit/socket.ts";

test("a device that vanishes without a close is noticed by heartbeat", () =>
  withRelay(async (relay) => {
    const good = await TestSocket.connect(relay, "/sync/bugs");
    good.send(greeting(1));
    await good.next();
    const { socket } = await rawUpgrade(relay, "/sync/bugs");
    socket.resume(); // it reads, and never answers a ping
    socket.write(rawMessage(greeting(2)));
    assertEquals(decodeFrame(await good.next()).type, FrameType.handshake);
    for (;;) {
      const frame = decodeFrame(await good.next());
      if (frame.type !== FrameType.extension) continue;
      const extension = decodeExtension(frame.payload);
      if (extension.subtype !== "left") continue;
      assertEquals(extension, { subtype: "left", node: nodeId(2), members: 1 });
      break;
    }
    socket.destroy();
    // The least that Bun's own heartbeat takes.
  }, { limits: { idleSeconds: 8 } }));
