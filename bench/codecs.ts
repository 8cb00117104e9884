/**
 * What reading and writing costs: our codecs beside JSON and MessagePack.
 *
 * @module
 */
import * as msgpack from "@msgpack/msgpack";
import { bug, pairKeys } from "../tools/demo/bug.ts";
import { recording } from "../tools/demo/demo_recording.ts";
import { encodeFrame, FrameType, headerSize } from "../src/wire/blaze/blaze_frame.ts";
import { decodeRecord, encodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { MessageType, Version } from "../src/wire/ecg/codes.ts";
import { decode, encode } from "../src/wire/ecg/ecg_message.ts";
import { crc32 } from "../src/wire/zlib.ts";
import { median, print, short, title } from "./table.ts";

/** One thing to do again and again. */
interface Case {
  readonly name: string;
  /** Bytes read or written each time; without, it looks at a few only. */
  readonly bytes?: number;
  readonly run: () => unknown;
  /** Whether `run` answers a promise. */
  readonly waits?: boolean;
}

const SAMPLES = 9;
const SAMPLE_MS = 25;

/** Results go here, so that no compiler can leave out the work. */
let sink: unknown;

/** Operations per second: the median of some samples, after as long a warm-up. */
async function speed({ run, waits }: Case): Promise<number> {
  const rates: number[] = [];
  for (let step = 1; rates.length < 2 * SAMPLES;) {
    const since = performance.now();
    if (waits) { for (let i = 0; i < step; i++) sink = await run(); }
    else for (let i = 0; i < step; i++) sink = run();
    const took = performance.now() - since;
    if (took < SAMPLE_MS) step = Math.ceil(step * Math.min(10, 1.2 * SAMPLE_MS / (took + 0.01)));
    else rates.push(step / took * 1000);
  }
  return median(rates.slice(SAMPLES));
}

/** The same value as bytes in several formats. */
interface Format {
  readonly name: string;
  readonly encode: () => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

const both = (formats: readonly Format[]): Case[] =>
  (["encode", "decode"] as const).flatMap((what) =>
    formats.map((format) => {
      const bytes = format.encode();
      const run = what === "encode" ? format.encode : () => format.decode(bytes);
      return { name: `${format.name}, ${what}`, bytes: bytes.length, run };
    })
  );

const utf8 = new TextEncoder();
const text = new TextDecoder();
/** As it would go over a socket: bytes, not a string. */
const json = (value: unknown): Format => ({
  name: "JSON",
  encode: () => utf8.encode(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(text.decode(bytes)),
});

function frames(): Case[] {
  return [200, 16_384].map((size) => {
    const frame = encodeFrame({ type: FrameType.operation, payload: new Uint8Array(size) });
    return { name: `frame header check, ${size} B`, run: () => headerSize(frame) };
  });
}

function records(): Case[] {
  const plain: unknown = JSON.parse(JSON.stringify(bug));
  return both([
    { name: "record", encode: () => encodeRecord(bug), decode: (bytes) => decodeRecord(bytes) },
    json(plain),
  ]);
}

function ecg(): Case[] {
  const { signal, rate, lead } = recording();
  // A list of numbers, as the protocol's own clients send it.
  const samples = [...signal.subarray(0, rate)];
  const payload = { signal: samples, sampling_rate: rate, lead, timestamp: 1_700_000_000.25 };
  const type = MessageType.ECG_DATA;
  const timestamp = 1_700_000_000_250_000n;
  const { V1, V3 } = Version;
  return both([
    { name: "ECG V1", encode: () => encode({ version: V1, type, payload }), decode },
    {
      name: "ECG V3, zlib",
      encode: () => encode({ version: V3, type, payload, timestamp }),
      decode,
    },
    {
      name: "ECG V3, uncompressed",
      encode: () => encode({ version: V3, type, payload, timestamp }, { compress: false }),
      decode,
    },
    {
      name: "@msgpack/msgpack",
      encode: () => msgpack.encode(payload),
      decode: (bytes) => msgpack.decode(bytes),
    },
    json(payload),
  ]);
}

async function sealing(): Promise<Case[]> {
  const keys = await pairKeys();
  const cases: Case[] = [];
  for (const size of [218, 16_384]) {
    const plain = new Uint8Array(size);
    const sealed = await keys.seal(plain);
    cases.push(
      { name: `seal, ${size} B`, bytes: size, run: () => keys.seal(plain), waits: true },
      { name: `open, ${size} B`, bytes: size, run: () => keys.open(sealed), waits: true },
    );
  }
  return cases;
}

const checksums = (): Case[] =>
  [218, 65_536].map((size) => {
    const bytes = new Uint8Array(size).map((_, i) => i * 31);
    return { name: `CRC-32, ${size} B`, bytes: size, run: () => crc32(bytes) };
  });

/** Runs all of them and prints their tables. */
export async function codecs(): Promise<void> {
  const parts: [string, readonly Case[]][] = [
    ["Codecs: frames and checksums", [...frames(), ...checksums()]],
    ["Codecs: one bug record", records()],
    ["Codecs: one second of ECG, 360 samples", ecg()],
    ["Codecs: AES-256-GCM of a pair, one after the other", await sealing()],
  ];
  for (const [name, cases] of parts) {
    title(name);
    const rows: string[][] = [];
    for (const one of cases) {
      const rate = await speed(one);
      const { name, bytes } = one;
      const through = bytes === undefined ? ["", ""] : [String(bytes), short(rate * bytes / 1e6)];
      rows.push([name, through[0]!, short(rate), through[1]!]);
    }
    print(["", "bytes", "operations/s", "MB/s"], rows);
  }
  if (sink === undefined) throw new Error("nothing was measured");
}
