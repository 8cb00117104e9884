import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClockEstimate } from "../src/client/ecg/clock_offset.ts";
import { readGap } from "../src/client/ecg/messages.ts";
import { SamplePacker } from "../src/client/ecg/packer.ts";
import { WireError } from "../src/wire/bytes.ts";
import { Ext } from "../src/wire/ecg/msgpack.ts";
import { NdArray } from "../src/wire/ecg/ndarray.ts";
import type { Payload } from "../src/wire/ecg/payload.ts";
import { packSamples } from "../src/wire/ecg/samples.ts";
import { readSignal, unpackedPayload } from "../src/wire/ecg/signal.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { fc, holds } from "./kit/random.ts";

// -- Clock

test("ClockEstimate is never further off than it says, however uneven the way is", () => {
  const trip = fc.record({
    wait: fc.nat(30_000_000),
    there: fc.nat(400_000),
    back: fc.nat(400_000),
  });
  holds(
    fc.property(
      fc.bigInt({ min: -(1n << 60n), max: 1n << 60n }),
      fc.integer({ min: -200, max: 200 }),
      fc.array(trip, { minLength: 1, maxLength: 20 }),
      (offset, drift, trips) => {
        const clock = new ClockEstimate();
        let now = 1_700_000_000_000_000n;
        const start = now;
        const remote = (at: bigint) => at + offset + (at - start) * BigInt(drift) / 1_000_000n;
        for (const { wait, there, back } of trips) {
          now += BigInt(wait);
          const sent = now;
          const said = remote(now + BigInt(there));
          now += BigInt(there + back);
          clock.add(sent, now, said);
          const read = clock.read(now)!;
          const off = remote(now) - now - read.offset;
          // Two microseconds for what dividing cuts off.
          assert((off < 0n ? -off : off) <= read.error + 2n, `${off} with ${read.error}`);
        }
      },
    ),
    500,
  );
});

test("ClockEstimate takes the shortest way among the last, and forgets what happened before a set", () => {
  const clock = new ClockEstimate();
  assertEquals(clock.read(0n), undefined);
  clock.add(0n, 1000n, 5_500n);
  clock.add(2000n, 2100n, 7_050n);
  clock.add(3000n, 5000n, 9_999n);
  assertEquals(clock.read(5_000n), { offset: 5_000n, error: 50n });
  // An hour later that is not worth as much.
  assert(clock.read(3_600_000_000n)!.error > 700_000n);
  clock.add(9_000n, 8_000n, 1n);
  assertEquals(clock.read(5_000n)!.offset, 5_000n);
});

// -- Signal

const scale = {
  id: 7,
  sampling_rate: 360,
  leads: [{ name: "MLII", unit: "mV", gain: 200, baseline: 1024 }],
};
const chunk = packSamples(7, 720, [Int32Array.of(1024, 995)]);
const values = Float64Array.of(0.5, 1);
const nameless = { name: "", unit: "", values };

const signals: readonly (readonly [string, Payload, unknown])[] = [
  ["a list", { signal: [0.5, 1], sampling_rate: 250 }, { rate: 250, leads: [nameless] }],
  ["another spelling", { signal: [0.5, 1], samplingRate: 250 }, { rate: 250, leads: [nameless] }],
  ["no rate", { signal: [0.5, 1] }, { rate: 0, leads: [nameless] }],
  ["a rate that is none", { signal: [0.5, 1], sampling_rate: -1 }, { rate: 0, leads: [nameless] }],
  ["a map with other keys", new Map<number | string, Payload>([[1, 2], ["signal", [0.5, 1]]]), {
    rate: 0,
    leads: [nameless],
  }],
  ["lists of leads", { signal: [[0.5, 1], [0.5, 1]], leads: ["I", 2], units: ["mV", "V"] }, {
    rate: 0,
    leads: [{ name: "I", unit: "mV", values }, { name: "", unit: "V", values }],
  }],
  ["an ndarray", { signal: new NdArray("float64", values) }, { rate: 0, leads: [nameless] }],
  ["two dimensions", { signal: new NdArray("int64", BigInt64Array.of(1n, 2n, 3n, 4n), [2, 2]) }, {
    rate: 0,
    leads: [
      { name: "", unit: "", values: Float64Array.of(1, 2) },
      { name: "", unit: "", values: Float64Array.of(3, 4) },
    ],
  }],
  ["a chunk", { signal: chunk }, {
    rate: 360,
    position: 720,
    leads: [{
      name: "MLII",
      unit: "mV",
      values: Float64Array.of(0, -0.145),
      raw: Int32Array.of(1024, 995),
    }],
  }],
];
for (const [name, payload, expected] of signals) {
  test(`readSignal reads ${name}`, () => {
    assertEquals(readSignal(payload, (id) => id === 7 ? scale : undefined), expected);
  });
}

const noSignals: readonly (readonly [string, Payload])[] = [
  ["nothing", null],
  ["text", { signal: "0.1" }],
  ["no samples", { signal: [] }],
  ["text among numbers", { signal: [1, "2"] }],
  ["leads of different lengths", { signal: [[1], [1, 2]] }],
  ["leads and numbers", { signal: [[1], 2] }],
  ["three dimensions", { signal: new NdArray("int8", Int8Array.of(1), [1, 1, 1]) }],
  ["a single number", { signal: new NdArray("int8", Int8Array.of(1), []) }],
  ["an empty ndarray", { signal: new NdArray("float64", new Float64Array(0), [0, 9]) }],
  ["another extension", { signal: new Ext(1, chunk.data) }],
];
for (const [name, payload] of noSignals) {
  test(`readSignal finds no signal in ${name}`, () => {
    assertEquals(readSignal(payload, () => scale), undefined);
  });
}

test("readSignal refuses a chunk with an unknown scale, and one with other leads", () => {
  const code = (leads: number) =>
    assertThrows(
      () =>
        readSignal({ signal: chunk }, () =>
          leads === 0 ? undefined : { ...scale, leads: [...scale.leads, ...scale.leads] }),
      WireError,
    ).code;
  assertEquals([code(0), code(2)], ["UNKNOWN_SCALE", "UNKNOWN_SCALE"]);
});

test("unpackedPayload keeps all other fields and drops the scale", () => {
  const payload = { n: 1, signal: chunk, scale, stream: "a" } as unknown as Payload;
  const signal = readSignal(payload, () => scale)!;
  assertEquals(unpackedPayload(payload, signal), {
    n: 1,
    stream: "a",
    signal: [0, -0.145],
    sampling_rate: 360,
    sample: 720,
    leads: ["MLII"],
    units: ["mV"],
  });
});

// -- Packer and gaps

test("SamplePacker sends the scale at first, every ten seconds, and to every new relay", () => {
  const host = new FakeHost();
  const packer = new SamplePacker(scale, host);
  const [one, two] = [{}, {}];
  const told = (to: unknown, always = false) =>
    "scale" in packer.packed([Int32Array.of(1, 2)], to, always);
  assertEquals([told(one), told(one), told(one, true)], [true, false, true]);
  host.pass(9_999);
  assertEquals([told(one), told(two), told(two)], [false, true, false]);
  host.pass(10_000);
  assertEquals([told(two), told(two)], [true, false]);
  const position = (packer.unpacked([Int32Array.of(1)]) as { sample: number }).sample;
  assertEquals(position, 16);
  assertThrows(() => packer.packed([], one, false), TypeError);
});

test("SamplePacker refuses a scale that no relay would take", () => {
  assertThrows(() => new SamplePacker({ ...scale, leads: [] }, new FakeHost()), WireError);
});

test("readGap reads what there is", () => {
  const gap = { messages: 2, samples: 720, from: 1n << 60n, to: 5 };
  assertEquals(readGap(gap), { messages: 2, samples: 720, from: 1n << 60n, to: 5n });
  assertEquals(readGap({ from: "x", to: 0.5 }), { messages: 0, samples: 0, from: 0n, to: 0n });
  assertEquals(readGap(null), { messages: 0, samples: 0, from: 0n, to: 0n });
});
