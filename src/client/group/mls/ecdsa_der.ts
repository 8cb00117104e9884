/**
 * An ECDSA signature of P-256 in its two forms: r ‖ s (WebCrypto) and DER (RFC 9420, 5.1.1).
 *
 * @module
 */
import { type Bytes, concat } from "../../../wire/bytes.ts";

const HALF = 32;

/** DER of r ‖ s. */
export function derOf(raw: Uint8Array): Bytes {
  const content = concat(integer(raw.subarray(0, HALF)), integer(raw.subarray(HALF)));
  return concat(Uint8Array.of(0x30, content.length), content);
}

/** A positive INTEGER in as few bytes as it takes. */
function integer(half: Uint8Array): Bytes {
  let start = 0;
  while (start < HALF - 1 && half[start] === 0) start++;
  const digits = half.subarray(start);
  const sign = digits[0]! & 0x80 ? [0] : [];
  return concat(Uint8Array.of(0x02, sign.length + digits.length, ...sign), digits);
}

/** r ‖ s of DER; `undefined` unless it is exactly the DER of two numbers below 2^256. */
export function rawOf(der: Uint8Array): Bytes | undefined {
  if (der.length < 8 || der[0] !== 0x30 || der[1] !== der.length - 2) return undefined;
  const raw = new Uint8Array(2 * HALF);
  let at = 2;
  for (const end of [HALF, 2 * HALF]) {
    if (der[at] !== 0x02) return undefined;
    const length = der[at + 1]!;
    const digits = der.subarray(at + 2, at + 2 + length);
    at += 2 + length;
    if (length === 0 || digits.length !== length || digits[0]! & 0x80) return undefined;
    const padded = digits[0] === 0 && length > 1;
    if (padded && !(digits[1]! & 0x80)) return undefined;
    const number = padded ? digits.subarray(1) : digits;
    if (number.length > HALF) return undefined;
    raw.set(number, end - number.length);
  }
  return at === der.length ? raw : undefined;
}
