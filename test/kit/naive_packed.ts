/**
 * A second reader of packed signals, written from docs/protocol/packed-signal.md alone and for
 * nothing but being obvious: a text of bits and BigInts.
 *
 * @module
 */

interface Naive {
  scale: number;
  position: number;
  leads: number[][];
}

/** The chunk, or nothing where the text says that the bytes are refused. */
export function naiveUnpack(data: Uint8Array): Naive | undefined {
  let bits = "";
  for (const byte of data) bits += byte.toString(2).padStart(8, "0");
  let at = 0;
  const take = (length: number): number => {
    if (at + length > bits.length) throw new RangeError("cut");
    at += length;
    return parseInt(bits.slice(at - length, at) || "0", 2);
  };
  try {
    if (take(8) !== 1) return undefined;
    const scale = take(16), position = take(32), count = take(8), samples = take(16);
    if (count < 1 || count > 64 || samples < 1 || count * samples > 65536) return undefined;
    const leads: number[][] = [];
    for (let i = 0; i < count; i++) {
      const order = take(2);
      if (take(1) !== 0) return undefined;
      const start = take(5);
      if (start > 26) return undefined;
      leads.push(lead(take, order, start, samples));
      // Padding.
      while (at % 8 !== 0) if (take(1) !== 0) return undefined;
    }
    return at === bits.length ? { scale, position, leads } : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function lead(take: (length: number) => number, order: number, start: number, samples: number) {
  let first = 0n;
  for (let shift = 0n;; shift += 7n) {
    const more = take(1), group = take(7);
    if (shift > 0n && more === 0 && group === 0) throw new RangeError("empty group");
    first += BigInt(group) << shift;
    if (first > 0xffff_ffffn || (shift === 28n && more === 1)) throw new RangeError("33 bits");
    if (more === 0) break;
  }
  const found = [signed(first)];
  let mean = 12 * 2 ** start;
  while (found.length < samples) {
    let k = 0;
    for (let half = Math.floor(mean / 16); half > 0; half = Math.floor(half / 2)) k++;
    let zeros = 0;
    while (zeros < 20 && take(1) === 0) zeros++;
    const u = zeros === 20 ? take(32) : zeros * 2 ** k + take(k);
    mean = mean + Math.min(u, 2 ** 26) - Math.floor(mean / 8);
    const [a = 0n, b = 0n, c = 0n] = found.slice(-3).reverse();
    const predictions = [0n, a, 2n * a - b, 3n * a - 3n * b + c];
    const prediction = predictions[Math.min(order, found.length)]!;
    found.push(BigInt.asIntN(32, prediction + signed(BigInt(u) & 0xffff_ffffn)));
  }
  return found.map(Number);
}

/** 0, -1, 1, -2, 2 … */
const signed = (zigzag: bigint): bigint => zigzag % 2n === 0n ? zigzag / 2n : -(zigzag / 2n) - 1n;
