/**
 * A million frames through random cuts: how fast they are read, and whether any differs.
 *
 * @module
 */
import { dice } from "../test/kit/random.ts";
import { type Bytes, concat, sameBytes } from "../src/wire/bytes.ts";
import { FrameDecoder } from "../src/wire/websocket/frame_decoder.ts";
import { encodeFrame } from "../src/wire/websocket/frame_encoder.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";

/** Frames of random sizes through chunks that are cut anywhere, compared one by one. */
export function frames(count: number): boolean {
  const below = dice(1);
  const limits = { maxFrame: 1 << 20, maxMessage: 1 << 20, maxFragments: 9 };
  const decoder = new FrameDecoder("server", limits);
  /** Frames that have not come out yet. */
  let due: Bytes[] = [];
  let [seen, different, bytes, busy] = [0, 0, 0, 0];
  for (let sent = 0; sent < count;) {
    const parts: Bytes[] = [];
    for (let i = 0; i < 1000 && sent < count; i++, sent++) {
      const payload = new Uint8Array(below(below(50) === 0 ? 70_000 : 300)).fill(sent);
      const mask = Uint8Array.of(below(256), below(256), below(256), below(256));
      due.push(payload);
      parts.push(encodeFrame(Opcode.binary, payload, { mask }));
    }
    const wire = concat(...parts);
    let next = 0;
    for (let at = 0; at < wire.length;) {
      const chunk = wire.slice(at, at += 1 + below(below(4) === 0 ? 8 : 4000));
      bytes += chunk.length;
      const since = performance.now();
      const events = [...decoder.push(chunk)];
      busy += performance.now() - since;
      for (const event of events) {
        const wanted = due[next++]!;
        if (event.type !== "message" || !sameBytes(event.data as Bytes, wanted)) different++;
      }
    }
    seen += next;
    due = due.slice(next);
  }
  const rate = Math.round(seen / busy * 1000).toLocaleString("en");
  console.log(
    `\n${count.toLocaleString("en")} masked frames, ${
      Math.round(bytes / 1e6)
    } MB in random cuts: ` +
      `${seen.toLocaleString("en")} read, ${different} different; ` +
      `${rate} frames/s, ${Math.round(bytes / busy / 1000)} MB/s`,
  );
  return seen === count && different === 0;
}
