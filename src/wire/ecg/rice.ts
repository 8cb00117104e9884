/**
 * One lead of a packed signal: each sample is predicted from those before it, and what is left is
 * written in Rice codes whose parameter follows the signal. Lossless for any 32-bit integers; all
 * arithmetic is modulo 2^32.
 *
 * | bytes | field | range                                                                      |
 * | ----: | ----- | -------------------------------------------------------------------------- |
 * |     1 | setup | bits 7-6 predictor order (0 to 3), bit 5 zero, bits 4-0 start (0 to 26)    |
 * |   1-5 | first | the first sample: zigzag, then 7 bits a byte, low ones first, 0x80 = more  |
 * |     n | codes | one code per further sample, high bit first, zero bits up to a whole byte  |
 *
 * A code is `q` zero bits, a one bit and the low `k` bits of the residual `u` (zigzag), `q = u >> k`.
 * From 20 zero bits on it is an escape: exactly 20 of them and the 32 bits of `u`. `k` is the bit
 * length of `mean >> 4`; `mean` starts at `12 << start` and after each code becomes
 * `mean + min(u, 2^26) - (mean >> 3)`. ("docs/protocol/packed-signal.md" has all of it in words.)
 *
 * @module
 */
import { type Bytes, WireError } from "../bytes.ts";

/** Zero bits that make a code an escape. */
const ESCAPE = 20;
const MAX_START = 26;
const MAX_STEP = 1 << 26;
const HIGHEST_ORDER = 3;
/** No more than an escape for each sample, the setup and the first sample. */
const mostBytes = (samples: number): number => 6 + Math.ceil(samples * (ESCAPE + 32) / 8);

/** What a predictor of this order expects at `i`, which must not be below the order. */
function predict(samples: Int32Array, i: number, order: number): number {
  if (order === 0) return 0;
  const a = samples[i - 1]!;
  if (order === 1) return a;
  const b = samples[i - 2]!;
  if (order === 2) return 2 * a - b;
  return 3 * (a - b) + samples[i - 3]!;
}

/** The order that leaves the least, and the start that fits the first few residuals. */
function choose(samples: Int32Array): { order: number; start: number } {
  let zero = 0, one = 0, two = 0, three = 0;
  let a = 0, before = 0, beforeThat = 0;
  for (let i = 0; i < samples.length; i++) {
    const sample = samples[i]!;
    const first = sample - a, second = first - before, third = second - beforeThat;
    a = sample, before = first, beforeThat = second;
    // What has too little before it is the same for every order.
    if (i < HIGHEST_ORDER) continue;
    zero += sample < 0 ? -sample : sample;
    one += first < 0 ? -first : first;
    two += second < 0 ? -second : second;
    three += third < 0 ? -third : third;
  }
  const sums = [zero, one, two, three];
  const order = sums.indexOf(Math.min(zero, one, two, three));
  const few = Math.min(16, samples.length - 1);
  let sum = 0;
  for (let i = 1; i <= few; i++) {
    sum += zigzag(samples[i]! - predict(samples, i, Math.min(i, order)) | 0);
  }
  // The parameter is the bit length of half the mean.
  const start = few === 0 ? 0 : 32 - Math.clz32(sum / (2 * few));
  return { order, start: Math.min(MAX_START, start) };
}

/** Writes one lead of one sample or more. */
export function encodeLead(samples: Int32Array): Bytes {
  const { order, start } = choose(samples);
  const bytes = new Uint8Array(mostBytes(samples.length));
  const view = new DataView(bytes.buffer);
  let at = 0;
  bytes[at++] = order << 6 | start;
  let first = zigzag(samples[0]!);
  for (; first > 0x7f; first >>>= 7) bytes[at++] = first & 0x7f | 0x80;
  bytes[at++] = first;

  // Bits gather at the top of `word` and leave it 32 at a time.
  let word = 0, free = 32;
  let mean = 12 * 2 ** start;
  for (let i = 1; i < samples.length; i++) {
    const u = zigzag(samples[i]! - predict(samples, i, i < order ? i : order) | 0);
    const k = 32 - Math.clz32(mean >>> 4);
    mean += (u < MAX_STEP ? u : MAX_STEP) - (mean >>> 3);
    const q = u >>> k;
    let code: number, length: number;
    if (q < ESCAPE && q + 1 + k <= 32) {
      code = 1 << k | u & (1 << k) - 1;
      length = q + 1 + k;
    } else {
      // The zeros go first: there is no room for the rest in the same word.
      const zeros = Math.min(q, ESCAPE);
      if (zeros < free) free -= zeros;
      else {
        view.setUint32(at, word);
        at += 4, word = 0, free += 32 - zeros;
      }
      code = zeros === ESCAPE ? u : 1 << k | u & (1 << k) - 1;
      length = zeros === ESCAPE ? 32 : 1 + k;
    }
    if (length < free) {
      free -= length;
      word |= code << free;
    } else {
      const rest = length - free;
      view.setUint32(at, word | code >>> rest);
      at += 4, free = 32 - rest;
      word = rest === 0 ? 0 : code << free;
    }
  }
  for (; free < 32; free += 8, word <<= 8) bytes[at++] = word >>> 24;
  return bytes.subarray(0, at);
}

const zigzag = (value: number): number => (value << 1 ^ value >> 31) >>> 0;

/**
 * Reads one lead of `samples.length` samples (at least one) that begins at `at`, and answers where
 * it ends. The caller has seen that a bit per sample is there.
 *
 * Throws `TRUNCATED`, and `INVALID_SAMPLES` for a setup or padding that nobody writes.
 */
export function decodeLead(bytes: Uint8Array, start: number, samples: Int32Array): number {
  const setup = bytes[start];
  if (setup === undefined) throw new WireError("TRUNCATED", start);
  const order = setup >> 6;
  if (setup & 0x20 || (setup & 0x1f) > MAX_START) throw invalid(start, "setup");
  let at = start + 1;
  let first = 0;
  for (let shift = 0;; shift += 7) {
    const byte = bytes[at];
    if (byte === undefined) throw new WireError("TRUNCATED", at);
    // 32 bits end in a fifth byte of four, and no group but the only one is empty.
    if (shift === 28 && byte > 0x0f || shift > 0 && byte === 0) throw invalid(at, "first sample");
    at++;
    first |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  samples[0] = first >>> 1 ^ -(first & 1);

  let bit = 8 * at;
  let mean = 12 * 2 ** (setup & 0x1f);
  for (let i = 1; i < samples.length; i++) {
    // Past the end these are zeros, which is seen below: the loop is as long as `samples`.
    const window = peek(bytes, bit);
    const k = 32 - Math.clz32(mean >>> 4);
    const q = Math.clz32(window);
    let u: number;
    if (q >= ESCAPE) {
      u = peek(bytes, bit + ESCAPE) >>> 0;
      bit += ESCAPE + 32;
    } else {
      const length = q + 1 + k;
      const low = length <= 32 ? window >>> 32 - length : peek(bytes, bit + q + 1) >>> 32 - k;
      u = (q << k | low & (1 << k) - 1) >>> 0;
      bit += length;
    }
    mean += (u < MAX_STEP ? u : MAX_STEP) - (mean >>> 3);
    samples[i] = predict(samples, i, i < order ? i : order) + (u >>> 1 ^ -(u & 1));
  }
  const end = bit + 7 >>> 3;
  if (end > bytes.length) throw new WireError("TRUNCATED", bytes.length);
  const padding = 8 * end - bit;
  if (padding > 0 && bytes[end - 1]! & (1 << padding) - 1) throw invalid(end - 1, "padding");
  return end;
}

const invalid = (offset: number, detail: string): WireError =>
  new WireError("INVALID_SAMPLES", offset, detail);

/** The 32 bits from `bit` on; zeros where there are no bytes. */
function peek(bytes: Uint8Array, bit: number): number {
  const at = bit >>> 3, shift = bit & 7;
  const word = bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
  return shift === 0 ? word : word << shift | bytes[at + 4]! >>> 8 - shift;
}
