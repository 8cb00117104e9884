/**
 * The real Blazeio spins for ever over a header that comes in two reads: what is sent to it must not be
 * cut there, however fast this side is and however busy that one.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { concat } from "../src/wire/bytes.ts";
import type { Form } from "../src/wire/bmp/bmp_frame.ts";
import type { MuxStream } from "../src/link/mux/mux_stream.ts";
import { BrittleClient, CountedLine } from "./kit/brittle_peer.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { Ears, End } from "./kit/mux.ts";
import { dice, seed } from "./kit/random.ts";

/** Bytes that the real client reads at once: 4.5.2, 2.4.2, and either under uvloop. */
const BUFFERS = { text: 65_536, binary3: 102_400, binary4: 524_288 };
/** Ethernet and the loopback, with a window as it is at first. */
const LINES = [{ segment: 1_460, window: 65_535 }, { segment: 65_483, window: 65_535 }];

/** So many requests at once, at a client that seldom comes to read. Answers how often time had to pass. */
function play(form: Form, requests: number, length: number, which: number): number {
  const roll = dice(seed + which);
  const { segment, window } = LINES[which % LINES.length]!;
  const line = new CountedLine(segment, window, which % 3 ? 65_536 : BUFFERS[form]);
  const host = new FakeHost();
  const answer = new Uint8Array(length).fill(120);
  const end = new End("server", host, {
    carrier: { buffered: 0, write: (bytes) => line.write(bytes), end: () => {} },
    accept: (stream: MuxStream) => {
      const ears = new Ears();
      ears.readable = () => {
        if (!stream.read()) return;
        stream.write(answer);
        stream.end(true);
      };
      return ears;
    },
  });
  const client = new BrittleClient(form, requests, length);
  let up = concat(...client.said.splice(0));
  let waits = 0;
  while (client.done < requests) {
    if (up.length > 0 && roll(3) > 0) {
      const taken = 1 + roll(65_536);
      end.receive(up.subarray(0, taken));
      up = up.slice(taken);
    } else if (line.segments > 0) {
      client.read(line.read(1 + roll(2 * line.segments)));
      up = concat(up, ...client.said.splice(0));
    } else if (up.length === 0) {
      if (++waits > 1_000) throw new Error(`${client.done} of ${requests} answers came`);
      host.pass(50);
    }
  }
  return waits;
}

for (const form of ["text", "binary3", "binary4"] as const) {
  test(`no header is cut at a client that cannot bear it (${form})`, () => {
    for (let which = 0; which < 6; which++) {
      // Behind what is acked nobody waits for time to pass.
      for (const [requests, length] of [[1_500, 100], [100, 30_000], [1, 50_000]] as const) {
        assertEquals(play(form, requests, length, which), 0, `${which}: ${requests} × ${length}`);
      }
    }
  });
}
