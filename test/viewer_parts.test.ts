import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { EcgDateTime, NdArray, type Payload } from "../src/client/mod.ts";
import { place, readAlarm, readBeats, readHeartRate } from "../web/viewer/marks.ts";
import { Playhead } from "../web/viewer/playhead.ts";
import { Layout } from "../web/viewer/paper_scale.ts";
import { readChunk, type SampleChunk, SignalError, unixMs } from "../web/viewer/lead_samples.ts";
import { Trace } from "../web/viewer/trace.ts";
import { fc, holds } from "./kit/random.ts";

const rows = ({ samples }: SampleChunk) => samples.map((row) => [...row]);
const names = ({ leads }: SampleChunk) => leads.map(({ name }) => name);

/** Name, payload, leads, samples. */
const shapes: readonly [string, Payload, string[], number[][]][] = [
  ["the protocol's own", { signal: [0.5, -1], sampling_rate: 250 }, ["lead 1"], [[0.5, -1]]],
  ["the protocol's, from TypeScript", { signal: [1], samplingRate: 250 }, ["lead 1"], [[1]]],
  ["a lead with a name", { signal: [1], sampling_rate: 1, lead: "II" }, ["II"], [[1]]],
  ["lists in a list", { signal: [[1, 2], [3, 4]], sampling_rate: 1, leads: ["I", "II"] }, [
    "I",
    "II",
  ], [[1, 2], [3, 4]]],
  ["a map of leads", { signals: { MLII: [1, 2], V5: [3, 4] }, sampling_rate: 1 }, ["MLII", "V5"], [[
    1,
    2,
  ], [3, 4]]],
  [
    "an array of one dimension",
    { signal: new NdArray("float32", new Float32Array([1, 2])), sampling_rate: 1 },
    ["lead 1"],
    [[1, 2]],
  ],
  [
    "an array, leads first",
    {
      signal: new NdArray("int16", new Int16Array([1, 2, 3, 4, 5, 6]), [2, 3]),
      sampling_rate: 1,
      leads: ["a", "b"],
    },
    ["a", "b"],
    [[1, 2, 3], [4, 5, 6]],
  ],
  [
    "an array, samples first",
    {
      signal: new NdArray("int16", new Int16Array([1, 2, 3, 4, 5, 6]), [3, 2]),
      sampling_rate: 1,
      leads: ["a", "b"],
    },
    ["a", "b"],
    [[1, 3, 5], [2, 4, 6]],
  ],
  [
    "stored numbers with gain and baseline",
    { signal: [1024, 1224], sampling_rate: 1, gain: 200, baseline: 1024 },
    ["lead 1"],
    [[0, 1]],
  ],
  [
    "gain and baseline of each lead",
    {
      signal: [[10], [30]],
      sampling_rate: 1,
      leads: ["a", "b"],
      gain: [10, 20],
      baseline: [0, 10],
    },
    ["a", "b"],
    [[1], [1]],
  ],
  ["microvolts", { signal: [1500], sampling_rate: 1, units: "uV" }, ["lead 1"], [[1.5]]],
  ["something missing", { signal: [1, null, NaN], sampling_rate: 1 }, ["lead 1"], [[1, NaN, NaN]]],
  ["integers of 64 bits", { signal: [2n ** 60n], sampling_rate: 1 }, ["lead 1"], [[2 ** 60]]],
];

for (const [name, payload, leads, samples] of shapes) {
  test(`readChunk reads ${name}`, () => {
    const chunk = readChunk(payload);
    assertEquals(names(chunk), leads);
    assertEquals(rows(chunk), samples);
    assert(chunk.leads.every(({ units }) => units === "mV"));
  });
}

/** Name, payload, what the error says. */
const refused: readonly [string, Payload, string][] = [
  ["nil", null, "not a map"],
  ["a list", [1, 2], "not a map"],
  ["no rate", { signal: [1] }, "sampling_rate"],
  ["a rate of 0", { signal: [1], sampling_rate: 0 }, "sampling_rate"],
  ["a rate of NaN", { signal: [1], sampling_rate: NaN }, "sampling_rate"],
  ["a rate with a toString", { signal: [1], sampling_rate: { toString: 1, valueOf: 1 } }, "rate"],
  ["a rate beyond reason", { signal: [1], sampling_rate: 1e9 }, "sampling_rate"],
  ["no signal", { sampling_rate: 1 }, "signal"],
  ["a signal of text", { signal: "1, 2", sampling_rate: 1 }, "signal"],
  ["a signal of bytes", { signal: new Uint8Array(4), sampling_rate: 1 }, "signal"],
  ["a list of texts", { signal: ["1"], sampling_rate: 1 }, "signal"],
  ["leads of different lengths", { signal: [[1], [1, 2]], sampling_rate: 1 }, "different numbers"],
  ["no leads at all", { signals: {}, sampling_rate: 1 }, "0 leads"],
  [
    "too many leads",
    { signal: Array.from({ length: 33 }, () => [1]), sampling_rate: 1 },
    "33 leads",
  ],
  ["a gain of 0", { signal: [1], sampling_rate: 1, gain: 0 }, "gain"],
];

for (const [name, payload, says] of refused) {
  test(`readChunk refuses ${name}`, () => {
    assertThrows(() => readChunk(payload), SignalError, says);
  });
}

test("readChunk takes any payload as a chunk or a SignalError", () =>
  holds(
    fc.property(
      fc.dictionary(
        fc.constantFrom(
          "signal",
          "signals",
          "sampling_rate",
          "leads",
          "gain",
          "timestamp",
          "sample",
        ),
        fc.anything(),
      ),
      (payload) => {
        try {
          const { samples, leads } = readChunk(payload as Payload);
          assert(samples.length === leads.length && leads.length > 0);
        } catch (error) {
          assert(error instanceof SignalError, String(error));
        }
      },
    ),
  ));

test("unixMs tells seconds, milliseconds, microseconds and dates apart", () => {
  assertEquals(unixMs(1_700_000_000.5), 1_700_000_000_500);
  assertEquals(unixMs(1_700_000_000_500), 1_700_000_000_500);
  assertEquals(unixMs(1_700_000_000_500_000), 1_700_000_000_500);
  assertEquals(unixMs(1_700_000_000_500_000n), 1_700_000_000_500);
  assertEquals(unixMs(new EcgDateTime("2023-11-14T22:13:20.500000")), 1_700_000_000_500);
  assertEquals(unixMs(12.5), undefined);
  assertEquals(unixMs("now"), undefined);
});

const chunk = (values: number[], more: { sample?: number; timestamp?: number } = {}): SampleChunk =>
  readChunk({ signal: values, sampling_rate: 10, ...more });

const trace = (...chunks: SampleChunk[]): Trace => {
  const made = new Trace(10, [{ name: "lead 1", units: "mV" }]);
  for (const one of chunks) made.append(one);
  return made;
};

const values = (made: Trace) => Array.from({ length: made.end }, (_, i) => made.value(0, i));

test("Trace finds what is missing by the numbers of samples", () => {
  const made = trace(chunk([1, 2], { sample: 100 }), chunk([3, 4], { sample: 105 }));
  assertEquals(values(made), [1, 2, NaN, NaN, NaN, 3, 4]);
  assertEquals(made.gaps, [{ from: 2, to: 5 }]);
  assertEquals(made.numbered(106), 6);
});

test("Trace finds what is missing by the time of samples, and bears jitter", () => {
  const at = (seconds: number) => ({ timestamp: 1_700_000_000 + seconds });
  const even = trace(chunk([1, 2], at(0)), chunk([3, 4], at(0.35)), chunk([5, 6], at(0.4)));
  assertEquals(even.gaps, []);
  const holed = trace(chunk([1, 2], at(0)), chunk([3, 4], at(1.2)));
  assertEquals(holed.gaps, [{ from: 2, to: 12 }]);
  assertEquals(holed.timeOf(12), 1_700_000_001_200);
  assertEquals(holed.at(1_700_000_001_300), 13);
});

test("Trace counts a loss once, whether the relay or the numbers tell", () => {
  const made = trace(chunk([1, 2], { sample: 0 }));
  made.gap(3);
  made.append(chunk([3], { sample: 5 }));
  assertEquals(made.gaps, [{ from: 2, to: 5 }]);
  assertEquals(values(made), [1, 2, NaN, NaN, NaN, 3]);
});

test("Trace takes the relay's word for a loss where nothing is numbered", () => {
  const made = trace(chunk([1, 2]));
  made.append(chunk([3]), 4);
  assertEquals(made.gaps, [{ from: 2, to: 6 }]);
  const numbered = trace(chunk([1, 2], { sample: 0 }));
  numbered.append(chunk([3], { sample: 5 }), 999);
  assertEquals(numbered.gaps, [{ from: 2, to: 5 }]);
});

test("Trace marks a monitor that counts anew, without making samples up", () => {
  const made = trace(chunk([1, 2], { sample: 500 }), chunk([3, 4], { sample: 0 }));
  assertEquals(made.gaps, [{ from: 2, to: 2 }]);
  assertEquals(values(made), [1, 2, 3, 4]);
  assertEquals(made.numbered(1), 3);
});

test("Trace forgets the oldest samples only, and no gap makes it grow", () => {
  const made = new Trace(1, [{ name: "lead 1", units: "mV" }]);
  const one = (value: number, sample: number) =>
    made.append(readChunk({ signal: [value], sampling_rate: 1, sample }));
  for (let i = 0; i < 1000; i++) one(i, i);
  assertEquals([made.start, made.end, made.capacity], [400, 1000, 600]);
  assertEquals([made.value(0, 399), made.value(0, 400), made.value(0, 999)], [NaN, 400, 999]);
  one(7, 2 ** 50);
  assertEquals(made.end, 1601);
  assertEquals([made.value(0, 1600), made.value(0, 1599)], [7, NaN]);
  assertEquals(made.numbered(2 ** 50), 1600);
});

test("Trace keeps exactly what a plain list would, whatever comes and goes", () =>
  holds(fc.property(
    fc.array(fc.tuple(fc.nat(900), fc.nat(1500)), { minLength: 1, maxLength: 12 }),
    (steps) => {
      const made = new Trace(2, [{ name: "lead 1", units: "mV" }]);
      const twin: number[] = [];
      let sample = 0;
      for (const [skip, length] of steps) {
        for (let i = 0; i < Math.min(skip, sample ? made.capacity : 0); i++) twin.push(NaN);
        sample += sample ? skip : 0;
        const list = Array.from({ length: length + 1 }, (_, i) => (sample + i) % 1000);
        made.append(readChunk({ signal: list, sampling_rate: 2, sample }));
        twin.push(...list);
        sample += length + 1;
      }
      assertEquals([made.end, made.start], [twin.length, Math.max(0, twin.length - 1200)]);
      for (let i = made.start; i < made.end; i += 7) assertEquals(made.value(0, i), twin[i]);
    },
  )));

test("Playhead runs evenly behind lumps of samples", () => {
  const playhead = new Playhead();
  const rate = 500;
  let end = 0;
  let [slowest, fastest] = [Infinity, 0];
  for (let frame = 0; frame < 1200; frame++) {
    const now = frame * 1000 / 60;
    if (frame % 12 === 0) {
      end += 100;
      playhead.received(100);
      if (frame === 0) playhead.jump(end, rate);
    }
    const before = playhead.position;
    assert(playhead.move(now, end, rate));
    assert(playhead.position <= end);
    if (frame < 300) continue;
    const speed = (playhead.position - before) / (rate / 60);
    [slowest, fastest] = [Math.min(slowest, speed), Math.max(fastest, speed)];
  }
  assert(slowest > 0.85 && fastest < 1.15, `${slowest} to ${fastest}`);
});

test("Layout: 25 mm/s and 10 mm/mV on CSS millimetres, at every density and calibration", () => {
  const mm = 96 / 25.4;
  for (const density of [1, 1.5, 3]) {
    for (const calibration of [0.8, 1, 1.25]) {
      const layout = new Layout({ speed: 25, gain: 10, calibration }, 900, 600, density, 3);
      assert(Math.abs(layout.pxPerSecond - 25 * mm * calibration * density) < 1e-9);
      const high = layout.y(1, 0) - layout.y(1, 1);
      assert(Math.abs(high - 10 * mm * calibration * density) < 1e-9, `${high}`);
      assert(
        [0, 1, 2].every((row) =>
          layout.zero(row) > row * 200 && layout.zero(row) < row * 200 + 200
        ),
      );
    }
  }
});

test("readBeats and readAlarm read what monitors send, and nothing else", () => {
  const made = trace(chunk([1, 2, 3], { sample: 100, timestamp: 1_700_000_000 }));
  const beats = {
    beats: [{ sample: 101, symbol: "V" }, 102, { timestamp: 1_700_000_000.2 }, {}, "x"],
  };
  assertEquals(readBeats(beats, made), [
    { kind: "beat", sample: 1, text: "V" },
    { kind: "beat", sample: 2, text: "•" },
    { kind: "beat", sample: 2, text: "•" },
  ]);
  assertEquals(readBeats({ beats: 5 }, made), []);
  assertEquals([readHeartRate({ heart_rate: 72 }), readHeartRate({ heart_rate: -1 })], [
    72,
    undefined,
  ]);
  assertEquals(place({ sample: 102 }, made), 2);
  assertEquals(
    readAlarm({ anomaly: "Asystole", severity: "high", timestamp: 1_700_000_000 }, 5),
    { title: "Asystole", detail: "high", ms: 1_700_000_000_000 },
  );
  assertEquals(readAlarm("!", 5), { title: "Alarm", detail: "", ms: 5 });
});
