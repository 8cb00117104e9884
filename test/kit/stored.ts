/**
 * What a relay keeps, seen through a socket.
 *
 * @module
 */
import { decodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { decodeExtension } from "../../src/wire/blaze/extension.ts";
import { hex } from "../../src/wire/bytes.ts";
import { greeting } from "./blaze.ts";
import { about, operation, said } from "./log_lab.ts";
import { TestSocket } from "./socket.ts";

/** What is in a log. */
export interface Stored {
  /** In hexadecimal. */
  readonly ring: string;
  /** `#1`, `#2` … */
  readonly entries: readonly string[];
}

/** Opens log 7 with a new device, appends so many operations, and answers what stands in it then. */
export async function appendTo(relay: { url: string }, count: number): Promise<Stored> {
  const socket = await TestSocket.connect(relay, "/sync/bugs");
  socket.send(greeting(1));
  about(socket).open(7);
  let ring = "";
  let accepted = 0;
  const entries: string[] = [];
  for (let live = false; !live || accepted < count;) {
    const message = await socket.next();
    const { type, payload } = decodeFrame(message);
    const one = type === FrameType.extension ? decodeExtension(payload) : undefined;
    if (one?.subtype === "recovered") ring = hex(one.ring);
    if (one?.subtype === "accepted") accepted += one.count;
    if (one?.subtype === "sequenced") entries.push(said(message));
    if (one?.subtype === "live") {
      live = true;
      for (let n = 0; n < count; n++) about(socket).append(operation(n));
    }
  }
  socket.close();
  await socket.closed();
  return { ring, entries };
}
