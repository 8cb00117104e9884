import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat, fromHex, hex, WireError } from "../src/wire/bytes.ts";
import { ecgCode } from "../src/wire/ecg/codes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { Ext } from "../src/wire/ecg/msgpack.ts";
import { chunkData, MAX_SAMPLES, packSamples, unpackSamples } from "../src/wire/ecg/samples.ts";
import { physical, readScale, type Scale } from "../src/wire/ecg/scale.ts";
import { naiveUnpack } from "./kit/naive_packed.ts";
import { fc, holds } from "./kit/random.ts";
import { chunkOf, recording, RECORDINGS } from "./kit/recordings.ts";
import { vectors } from "./kit/vectors.ts";

interface Vectors {
  readonly good: readonly {
    name: string;
    scale: number;
    position: number;
    leads: number[][];
    data: string;
    exact: boolean;
  }[];
  readonly refused: readonly { name: string; data: string; code: string }[];
}
const packed = vectors<Vectors>("packed/chunks.json");

const refusal = (data: Uint8Array): string =>
  assertThrows(() => unpackSamples(data), WireError).code;

for (const { name, scale, position, leads, data, exact } of packed.good) {
  test(`unpackSamples reads vector ${name}`, () => {
    const chunk = unpackSamples(fromHex(data));
    assertEquals(chunk.scale, scale);
    assertEquals(chunk.position, position);
    assertEquals(chunk.leads.map((lead) => Array.from(lead)), leads);
    assertEquals(naiveUnpack(fromHex(data)), { scale, position, leads });
    if (!exact) return;
    const ours = packSamples(scale, position, leads.map((lead) => Int32Array.from(lead)));
    assertEquals(hex(ours.data), data);
  });
}

for (const { name, data, code } of packed.refused) {
  test(`unpackSamples refuses vector ${name}`, () => assertEquals(refusal(fromHex(data)), code));
}

test("unpackSamples refuses a chunk cut at any byte, and one with a byte more", () => {
  for (const { data } of packed.good) {
    const whole = fromHex(data);
    for (let length = 0; length < whole.length; length++) {
      assertEquals(refusal(whole.subarray(0, length)), "TRUNCATED");
    }
    assertEquals(refusal(concat(whole, Uint8Array.of(0))), "TRAILING_BYTES");
  }
});

test("unpackSamples allocates nothing for samples that are announced and not there", () => {
  // 1 lead of 65,535 samples in three bytes, and 64 leads of 65,535 samples.
  assertEquals(refusal(fromHex("01000100000000" + "01ffff" + "000000")), "TRUNCATED");
  assertEquals(refusal(fromHex("01000100000000" + "40ffff" + "00".repeat(4000))), "TOO_LARGE");
});

test("unpackSamples is refused with the codes of the protocol", () => {
  const code = (data: string) =>
    ecgCode(assertThrows(() => unpackSamples(fromHex(data)), WireError));
  assertEquals(code("0100010000000040ffff"), 0x102);
  assertEquals(code("02000100000000010001"), 0x200);
});

const anySample = fc.oneof(
  fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
  fc.integer({ min: -2048, max: 2047 }),
  fc.constantFrom(-0x8000_0000, 0x7fff_ffff, 0),
);
const anyLeads = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 120 }))
  .chain(([leads, samples]) =>
    fc.array(fc.array(anySample, { minLength: samples, maxLength: samples }), {
      minLength: leads,
      maxLength: leads,
    })
  );

test("packSamples then unpackSamples keeps any 32-bit samples, and the naive reader agrees", () => {
  holds(
    fc.property(anyLeads, fc.nat(0xffff), fc.nat(0xffff_ffff), (leads, scale, position) => {
      const { data } = packSamples(scale, position, leads.map((lead) => Int32Array.from(lead)));
      const chunk = unpackSamples(data);
      assertEquals(chunk.leads.map((lead) => Array.from(lead)), leads);
      assertEquals([chunk.scale, chunk.position], [scale, position]);
      assertEquals(naiveUnpack(data), { scale, position, leads });
    }),
    300,
  );
});

test("unpackSamples of any bytes gives samples or a WireError, and the naive reader agrees", () => {
  const header = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 80 }))
    .map(([leads, samples]) => Uint8Array.of(1, 0, 1, 0, 0, 0, 0, leads, 0, samples));
  holds(
    fc.property(header, fc.uint8Array({ maxLength: 80 }), (head, body) => {
      const data = concat(head, body);
      let leads: number[][] | undefined;
      try {
        leads = unpackSamples(data).leads.map((lead) => Array.from(lead));
      } catch (error) {
        assert(error instanceof WireError, String(error));
      }
      assertEquals(naiveUnpack(data)?.leads, leads);
    }),
    3000,
  );
});

for (const name of RECORDINGS) {
  test(`packSamples keeps every sample of ${name}, each way of cutting it`, () => {
    const whole = recording(name);
    const { sampling_rate } = whole.scale;
    for (const samples of [1, 7, sampling_rate, 4 * sampling_rate]) {
      for (let at = 0; at + samples <= whole.leads[0]!.length; at += 997 + samples) {
        const leads = chunkOf(whole, at, samples);
        assertEquals(unpackSamples(packSamples(1, at, leads).data).leads, leads);
      }
    }
  });
}

test("a second of MIT-BIH 100 MLII is a message of at most 300 bytes", () => {
  const [mlii] = recording("mitdb100_20s").leads;
  for (let at = 0; at < mlii!.length; at += 360) {
    const signal = packSamples(1, at, [mlii!.slice(at, at + 360)]);
    const message = encode({ version: 3, type: 1, timestamp: 0n, payload: { signal } });
    assert(message.length <= 300, `${message.length} bytes at ${at}`);
  }
});

for (const name of RECORDINGS) {
  test(`four seconds of ${name} take at most a tenth of their shortest JSON`, () => {
    const whole = recording(name);
    const samples = 4 * whole.scale.sampling_rate;
    let packedBytes = 0, json = 0;
    for (let at = 0; at + samples <= whole.leads[0]!.length; at += samples) {
      const leads = chunkOf(whole, at, samples);
      packedBytes += packSamples(1, at, leads).data.length;
      const values = leads.map((lead, i) => Array.from(physical(lead, whole.scale.leads[i]!)));
      json += JSON.stringify(values).length;
    }
    assert(packedBytes <= 0.1 * json, `${packedBytes} of ${json} bytes`);
  });
}

test("packSamples refuses what no chunk can hold", () => {
  const code = (leads: Int32Array[]) =>
    assertThrows(() => packSamples(1, 0, leads), WireError).code;
  assertEquals(code([]), "INVALID_SAMPLES");
  assertEquals(code([new Int32Array(0)]), "INVALID_SAMPLES");
  assertEquals(code([new Int32Array(2), new Int32Array(3)]), "INVALID_SAMPLES");
  assertEquals(code(Array<Int32Array>(65).fill(new Int32Array(1))), "INVALID_SAMPLES");
  assertEquals(code([new Int32Array(MAX_SAMPLES)]), "TOO_LARGE");
  assertEquals(code([new Int32Array(40_000), new Int32Array(40_000)]), "TOO_LARGE");
});

test("chunkData knows a packed signal from other extensions", () => {
  const signal = packSamples(1, 0, [Int32Array.of(1)]);
  assertEquals(chunkData(signal), signal.data);
  assertEquals(chunkData(new Ext(1, signal.data)), undefined);
  assertEquals(chunkData([1, 2]), undefined);
});

const good: Scale = {
  id: 7,
  sampling_rate: 360,
  leads: [{ name: "MLII", unit: "mV", gain: 200, baseline: 1024 }],
};

test("readScale reads a scale and leaves out what it does not know", () => {
  assertEquals(readScale(good), good);
  assertEquals(readScale({ ...good, colour: "red" }), good);
});

const lead = good.leads[0]!;
const badScales: readonly (readonly [string, unknown])[] = [
  ["nothing", null],
  ["a list", []],
  ["a map with other keys than text", new Map([[1, 2]])],
  ["no id", { ...good, id: undefined }],
  ["an id of 17 bits", { ...good, id: 65_536 }],
  ["half an id", { ...good, id: 0.5 }],
  ["a rate of 0", { ...good, sampling_rate: 0 }],
  ["a rate without end", { ...good, sampling_rate: Infinity }],
  ["a rate that is no number", { ...good, sampling_rate: 360n }],
  ["no leads", { ...good, leads: [] }],
  ["65 leads", { ...good, leads: Array(65).fill(lead) }],
  ["a lead without a name", { ...good, leads: [{ ...lead, name: "" }] }],
  ["a long name", { ...good, leads: [{ ...lead, name: "a".repeat(33) }] }],
  ["a long unit", { ...good, leads: [{ ...lead, unit: "a".repeat(17) }] }],
  ["a gain of 0", { ...good, leads: [{ ...lead, gain: 0 }] }],
  ["a gain of NaN", { ...good, leads: [{ ...lead, gain: NaN }] }],
  ["a baseline that is text", { ...good, leads: [{ ...lead, baseline: "0" }] }],
];
for (const [fault, value] of badScales) {
  test(`readScale refuses ${fault}`, () => {
    assertEquals(assertThrows(() => readScale(value), WireError).code, "INVALID_SCALE");
  });
}

test("physical is (raw - baseline) / gain", () => {
  assertEquals(physical(Int32Array.of(1024, 1224, 995), lead), Float64Array.of(0, 1, -0.145));
});
