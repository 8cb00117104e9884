import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { WireError } from "../src/wire/bytes.ts";
import { readCsv } from "../tools/formats/csv.ts";
import { readEdf, writeEdf } from "../tools/formats/edf.ts";
import { readNative } from "../tools/formats/native.ts";
import { openRecording } from "../tools/formats/open.ts";
import { type FormatErrorCode, physical, type Recording } from "../tools/formats/recording.ts";
import { readWfdb, readWfdbHeader, writeWfdb } from "../tools/formats/wfdb.ts";
import { root } from "../tools/runtimes.ts";
import { needsPython, runPython } from "./kit/python.ts";
import { fc, holds } from "./kit/random.ts";

const file = `${root}data/ecg/mitdb100_60s`;
const real = (): Recording =>
  readNative(readFileSync(`${file}.json`, "utf8"), readFileSync(`${file}.i16`));
const millivolts = ({ samples, leads }: Recording) =>
  samples.map((row, i) => [...row].map((value) => physical(value, leads[i]!)));

function recording(rows: readonly number[][], more: Partial<Recording> = {}): Recording {
  return {
    name: "made",
    rate: 4,
    leads: rows.map((_, i) => ({ name: `L${i}`, units: "mV", gain: 200, baseline: 1024 })),
    samples: rows.map((row) => Float64Array.from(row)),
    annotations: [],
    startMs: Date.UTC(2024, 0, 15, 10, 30, 45),
    notes: [],
    ...more,
  };
}

/** Samples of 12 bits packed as format 212 says, by a twin that thinks in nibbles. */
function pack212(numbers: readonly number[]): Uint8Array {
  const nibbles: number[] = [];
  const digits = (value: number) => (value & 0xfff).toString(16).padStart(3, "0");
  for (let i = 0; i < numbers.length; i += 2) {
    const a = digits(numbers[i]!);
    const b = digits(numbers[i + 1] ?? 0);
    for (const byte of [a[1]! + a[2]!, b[0]! + a[0]!, b[1]! + b[2]!]) {
      nibbles.push(parseInt(byte, 16));
    }
  }
  if (numbers.length % 2 === 1) nibbles.pop();
  return Uint8Array.from(nibbles);
}

test("readWfdb reads format 212 as the packing says, signs and all", () =>
  holds(
    fc.property(
      fc.array(fc.integer({ min: -2047, max: 2047 }), { minLength: 1, maxLength: 50 }),
      (numbers) => {
        const header = `r 1 360 ${numbers.length}\nr.dat 212 200 12 0\n`;
        const { samples } = readWfdb(header, () => pack212(numbers));
        assertEquals([...samples[0]!], numbers);
      },
    ),
  ));

test("readWfdb reads two leads of one file, gains, baselines, names and what is missing", () => {
  const header = [
    "# a comment",
    "100 2 360/1(0) 3 10:30:45.5 15/01/2024",
    "100.dat 212 200(1024)/mV 11 1024 995 0 0 MLII",
    "100.dat 212 1000/uV 12 5 0 0 0 lead V5",
    "#Produced by hand",
  ].join("\r\n");
  const numbers = [995, 7, -2048, 8, 1000, -9];
  const sums = [995 - 2048 + 1000, 7 + 8 - 9];
  const summed = header.replace("995 0 0", `995 ${sums[0]} 0`).replace(
    "5 0 0 0 lead",
    `5 0 ${sums[1]} 0 lead`,
  );
  const found = readWfdb(summed, (name) => name === "100.dat" ? pack212(numbers) : undefined);
  assertEquals(found.samples.map((row) => [...row]), [[995, NaN, 1000], [7, 8, -9]]);
  assertEquals(
    found.leads.map(({ name, units, gain, baseline }) => [name, units, gain, baseline]),
    [
      ["MLII", "mV", 200, 1024],
      ["lead V5", "uV", 1000, 5],
    ],
  );
  assertEquals([found.rate, found.startMs], [360, Date.UTC(2024, 0, 15, 10, 30, 45, 500)]);
});

test("a real recording goes through WFDB and EDF+ and back, every sample equal", () => {
  const from = real();
  const { header, data } = writeWfdb(from);
  const wfdb = readWfdb(header, () => data);
  assertEquals(wfdb.samples, from.samples);
  assertEquals(wfdb.leads.map(({ name, gain, baseline }) => [name, gain, baseline]), [
    ["MLII", 200, 1024],
    ["V5", 200, 1024],
  ]);
  const edf = readEdf(writeEdf(from), "x/made.edf");
  assertEquals([edf.rate, edf.leads.map(({ name }) => name)], [360, ["MLII", "V5"]]);
  const [wanted, found] = [millivolts(from), millivolts(edf)];
  for (let lead = 0; lead < 2; lead++) {
    for (let i = 0; i < wanted[lead]!.length; i++) {
      const off = Math.abs(found[lead]![i]! - wanted[lead]![i]!);
      // A step is 5 µV; EDF has eight characters for the range.
      assert(off < 0.00005, `lead ${lead}, sample ${i}: off by ${off} mV`);
    }
  }
});

test("writeEdf keeps annotations and says where samples are missing", () => {
  const rows = [[1, 2, 3, 4, 5, NaN, NaN, 8], [1, 2, 3, 4, 5, 6, 7, 8]];
  const made = recording(rows, {
    annotations: [{ sample: 2, symbol: "N" }, { sample: 7, symbol: "V \n" }],
  });
  const found = readEdf(writeEdf(made), "made.edf");
  assertEquals(found.annotations, [
    { sample: 2, symbol: "N" },
    { sample: 5, symbol: "2 samples missing" },
    { sample: 7, symbol: "V  " },
  ]);
  assertEquals(found.startMs, made.startMs);
});

test("readCsv reads headings, units, times and gaps, in several dialects", () => {
  const plain = readCsv("time,MLII (mV),V5 [uV]\n0,0.5,100\n0.004,,200\n", "a/b.csv");
  assertEquals([plain.name, plain.rate], ["b", 250]);
  assertEquals(plain.leads.map(({ name, units }) => `${name} ${units}`), ["MLII mV", "V5 uV"]);
  assertEquals(plain.samples.map((row) => [...row]), [[0.5, NaN], [100, 200]]);
  const bare = readCsv("\ufeff1;2\r\n3;4\r\n", "x", 500);
  assertEquals([...bare.samples[1]!], [2, 4]);
  const counted = readCsv("sample\t'II'\n0\t1e-3\n", "x", 100);
  assertEquals([counted.leads[0]!.name, counted.samples[0]![0]], ["II", 0.001]);
  assertEquals(readCsv("time (ms),I\n0,1\n2,1\n", "x").rate, 500);
});

const good = `r 1 360 2\nr.dat 16 200 12 0\n`;
const two = new Uint8Array(4);
const edfGood = writeEdf(recording([[1, 2, 3, 4]]));
const edf = (at: number, text: string): Uint8Array => {
  const bytes = edfGood.slice();
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return bytes;
};
const json = (more: Record<string, unknown>) =>
  JSON.stringify({
    name: "x",
    fs: 360,
    n_samples: 1,
    leads: [{ name: "I", units: "mV", gain: 1, baseline: 0 }],
    ...more,
  });

/** What is refused, how to read it, the code. */
const refused: readonly [string, () => unknown, FormatErrorCode][] = [
  ["a WFDB header without a line", () => readWfdbHeader("# only this"), "BAD_HEADER"],
  ["a record of segments", () => readWfdbHeader("r/3 1 360 2\n"), "UNSUPPORTED"],
  ["a record without a name", () => readWfdbHeader("../r 1 360\n"), "UNSUPPORTED"],
  ["a record with no leads", () => readWfdbHeader("r 0 360 2\n"), "NO_SIGNALS"],
  ["a million leads", () => readWfdbHeader("r 1000000 360 2\n"), "TOO_MANY"],
  ["fewer lines than leads", () => readWfdbHeader("r 2 360 2\nr.dat 16\n"), "BAD_HEADER"],
  ["a rate of 0", () => readWfdbHeader("r 1 0 2\nr.dat 16\n"), "BAD_NUMBER"],
  ["a rate of text", () => readWfdbHeader("r 1 fast 2\nr.dat 16\n"), "BAD_NUMBER"],
  ["format 80", () => readWfdbHeader("r 1 360 2\nr.dat 80\n"), "UNSUPPORTED"],
  ["several samples a frame", () => readWfdbHeader("r 1 360 2\nr.dat 16x4\n"), "UNSUPPORTED"],
  ["a format of text", () => readWfdbHeader("r 1 360 2\nr.dat best\n"), "BAD_HEADER"],
  ["a file elsewhere", () => readWfdbHeader("r 1 360 2\n../../etc/passwd 16\n"), "BAD_HEADER"],
  ["a hidden file", () => readWfdbHeader("r 1 360 2\n.ssh 16\n"), "BAD_HEADER"],
  ["a file that is not there", () => readWfdb(good, () => undefined), "MISSING_FILE"],
  ["samples that are not there", () => readWfdb(good, () => two.subarray(0, 3)), "TRUNCATED"],
  ["an offset beyond the end", () => readWfdb("r 1 360 2\nr.dat 16+99\n", () => two), "TRUNCATED"],
  [
    "a wrong checksum",
    () => readWfdb("r 1 360 2\nr.dat 16 200 12 0 0 5 0 I\n", () => two),
    "CHECKSUM_MISMATCH",
  ],
  ["EDF that is no EDF", () => readEdf(edf(0, "1"), "x"), "BAD_HEADER"],
  ["BDF", () => readEdf(Uint8Array.of(0xff, ...new Uint8Array(300)), "x"), "UNSUPPORTED"],
  ["EDF+D", () => readEdf(edf(192, "EDF+D"), "x"), "UNSUPPORTED"],
  ["an EDF header cut short", () => readEdf(edfGood.subarray(0, 400), "x"), "TRUNCATED"],
  ["an EDF file without data", () => readEdf(edfGood.subarray(0, 770), "x"), "TRUNCATED"],
  ["EDF without signals", () => readEdf(edf(252, "0   "), "x"), "NO_SIGNALS"],
  ["EDF with 9999 signals", () => readEdf(edf(252, "9999"), "x"), "TOO_MANY"],
  ["an EDF header of another length", () => readEdf(edf(184, "512     "), "x"), "BAD_HEADER"],
  ["EDF records without a duration", () => readEdf(edf(244, "0       "), "x"), "BAD_NUMBER"],
  [
    "an empty physical range",
    () => readEdf(edf(256 + 2 * (16 + 80 + 8), "1       1       1       1       "), "x"),
    "BAD_NUMBER",
  ],
  ["EDF+ at 360.5 Hz", () => writeEdf(recording([[1]], { rate: 360.5 })), "UNSUPPORTED"],
  ["CSV without rows", () => readCsv("time,I\n", "x"), "NO_SIGNALS"],
  ["nothing", () => readCsv("", "x", 1), "NO_SIGNALS"],
  ["CSV without a rate", () => readCsv("I,II\n1,2\n", "x"), "NO_RATE"],
  ["CSV with times that stand still", () => readCsv("time,I\n0,2\n0,3\n", "x"), "NO_RATE"],
  ["CSV with a row too long", () => readCsv("I,II\n1,2\n1,2,3\n", "x", 1), "COLUMNS"],
  ["CSV with a word", () => readCsv("I\n1\nfive\n", "x", 1), "BAD_NUMBER"],
  ["a description that is no JSON", () => readNative("{", two), "BAD_HEADER"],
  ["a description without leads", () => readNative(json({ leads: [] }), two), "NO_SIGNALS"],
  [
    "a description with a gain of 0",
    () => readNative(json({ leads: [{ gain: 0, baseline: 0 }] }), two),
    "BAD_NUMBER",
  ],
  ["a description of more samples", () => readNative(json({ n_samples: 1e9 }), two), "TRUNCATED"],
  ["a file of another kind", () => openRecording("/tmp/x.exe"), "UNSUPPORTED"],
  ["a file that does not exist", () => openRecording("/nowhere/x.edf"), "MISSING_FILE"],
  [
    "a record with a path for a name",
    () => writeWfdb(recording([[1]], { name: "a/b" })),
    "BAD_HEADER",
  ],
];

for (const [name, read, code] of refused) {
  test(`formats refuse ${name}`, () => {
    assertEquals((assertThrows(read, WireError) as WireError).code, code);
  });
}

/** Whatever is done to a file, reading it ends in a recording or a coded refusal. */
const survives = (read: (bytes: Uint8Array) => Recording, bytes: Uint8Array): void => {
  try {
    const { samples, leads } = read(bytes);
    assert(samples.length === leads.length);
    const held = samples.reduce((sum, row) => sum + row.length, 0);
    assert(held <= 8 * bytes.length + 64, `${held} samples out of ${bytes.length} bytes`);
  } catch (error) {
    assert(error instanceof WireError, String(error));
  }
};

const wfdbGood = writeWfdb(recording([[1, 2, 3, 4], [5, 6, 7, 8]]));
const readers: readonly [string, Uint8Array, (bytes: Uint8Array) => Recording][] = [
  ["EDF", edfGood, (bytes) => readEdf(bytes, "x")],
  [
    "a WFDB header",
    new TextEncoder().encode(wfdbGood.header),
    (bytes) => readWfdb(new TextDecoder().decode(bytes), () => wfdbGood.data),
  ],
  ["a WFDB file", wfdbGood.data, (bytes) => readWfdb(wfdbGood.header, () => bytes)],
  [
    "CSV",
    new TextEncoder().encode("time,I (mV)\n0,1.5\n0.1,2\n"),
    (bytes) => readCsv(new TextDecoder().decode(bytes), "x"),
  ],
];

for (const [name, bytes, read] of readers) {
  test(`${name} cut at every byte is a recording or a coded refusal`, () => {
    for (let length = 0; length <= bytes.length; length++) {
      survives(read, bytes.subarray(0, length));
    }
  });

  test(`${name} with changed bytes is a recording or a coded refusal`, () =>
    holds(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (changes) => {
          const changed = bytes.slice();
          for (const [at, byte] of changes) changed[at] = byte;
          survives(read, changed);
        },
      ),
      500,
    ));
}

const inFolder = (run: (folder: string) => void): void => {
  const folder = mkdtempSync(join(tmpdir(), "blaze-relay-"));
  try {
    run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

test(
  "the Python package wfdb reads what writeWfdb writes, and finds the same millivolts",
  needsPython("wfdb"),
  () =>
    inFolder((folder) => {
      const from = { ...real(), name: "mine", startMs: Date.UTC(2024, 0, 15, 10, 30, 45) };
      const { header, data } = writeWfdb(from);
      writeFileSync(join(folder, "mine.hea"), header);
      writeFileSync(join(folder, "mine.dat"), data);
      const found = runPython<
        { fs: number; names: string[]; p: number[][]; date: string; check: boolean }
      >(
        `import json, sys, wfdb
r = wfdb.rdrecord(sys.argv[1])
d = wfdb.rdrecord(sys.argv[1], physical=False)
print(json.dumps({"fs": r.fs, "names": r.sig_name, "p": r.p_signal.T.tolist(),
  "date": str(r.base_date), "check": d.calc_checksum() == [c % 65536 for c in d.checksum]}))`,
        join(folder, "mine"),
      );
      assertEquals([found.fs, found.names, found.date, found.check], [
        360,
        ["MLII", "V5"],
        "2024-01-15",
        true,
      ]);
      assertEquals(found.p, millivolts(from));
    }),
);

test(
  "the Python package wfdb writes format 212, and readWfdb finds the same numbers",
  needsPython("wfdb"),
  () =>
    inFolder((folder) => {
      const from = real();
      const numbers = from.samples.map((row) => [...row.subarray(0, 1001)]);
      writeFileSync(join(folder, "in.json"), JSON.stringify(numbers));
      runPython(
        `import json, sys, numpy, wfdb
d = numpy.array(json.load(open(sys.argv[1] + "/in.json"))).T
wfdb.wrsamp("py", fs=360, units=["mV", "mV"], sig_name=["MLII", "V5"], d_signal=d, fmt=["212", "212"],
  adc_gain=[200, 200], baseline=[1024, 1024], write_dir=sys.argv[1])
print("{}")`,
        folder,
      );
      const found = openRecording(join(folder, "py.hea"));
      assertEquals(found.samples.map((row) => [...row]), numbers);
      assertEquals(found.leads.map(({ gain, baseline }) => [gain, baseline]), [[200, 1024], [
        200,
        1024,
      ]]);
    }),
);

test(
  "the Python package pyedflib reads what writeEdf writes, annotations too",
  needsPython("pyedflib"),
  () =>
    inFolder((folder) => {
      const annotations = [{ sample: 370, symbol: "N" }, { sample: 662, symbol: "V" }];
      const from = { ...real(), annotations, startMs: Date.UTC(2024, 0, 15, 10, 30, 45) };
      writeFileSync(join(folder, "mine.edf"), writeEdf(from));
      const found = runPython<
        {
          type: number;
          fs: number[];
          names: string[];
          units: string[];
          p: number[][];
          start: string;
          notes: [number[], string[]];
        }
      >(
        `import json, sys, pyedflib
f = pyedflib.EdfReader(sys.argv[1])
n = f.signals_in_file
a = f.readAnnotations()
print(json.dumps({"type": f.filetype, "fs": [f.getSampleFrequency(i) for i in range(n)],
  "names": f.getSignalLabels(), "units": [f.getPhysicalDimension(i) for i in range(n)],
  "p": [f.readSignal(i).tolist() for i in range(n)], "start": str(f.getStartdatetime()),
  "notes": [a[0].tolist(), a[2].tolist()]}))`,
        join(folder, "mine.edf"),
      );
      // 1 is EDF+ in pyedflib.
      assertEquals([found.type, found.fs, found.names, found.units], [
        1,
        [360, 360],
        ["MLII", "V5"],
        ["mV", "mV"],
      ]);
      assertEquals(found.start, "2024-01-15 10:30:45");
      assertEquals(found.notes[1], ["N", "V"]);
      found.notes[0].forEach((onset, i) =>
        assert(Math.abs(onset - annotations[i]!.sample / 360) < 1e-5)
      );
      const wanted = millivolts(from);
      found.p.forEach((row, lead) =>
        row.forEach((value, i) => assert(Math.abs(value - wanted[lead]![i]!) < 0.00005))
      );
    }),
);
