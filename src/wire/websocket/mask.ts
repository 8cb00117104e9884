/**
 * Masking (RFC 6455, 5.3): byte `i` of a payload is XORed with byte `i mod 4` of the key. The same
 * operation masks and unmasks. It keeps old proxies from being fooled; it hides nothing.
 *
 * @module
 */

/** Below this many bytes a view of words costs more than it saves. Measured on both runtimes. */
const WORDS_FROM = 48;

// Four bytes seen as one word of this machine: whatever its byte order, XOR then hits the right ones.
const four = new Uint8Array(4);
const one = new Uint32Array(four.buffer);

/**
 * Masks or unmasks `bytes` in place with a key of four bytes.
 *
 * `offset` is where in the payload `bytes` begins, for payloads that come in pieces.
 */
export function applyMask(bytes: Uint8Array, key: Uint8Array, offset = 0): void {
  const { length } = bytes;
  let at = 0;
  if (length >= WORDS_FROM) {
    const head = -bytes.byteOffset & 3;
    for (; at < head; at++) bytes[at]! ^= key[(offset + at) & 3]!;
    for (let i = 0; i < 4; i++) four[i] = key[(offset + head + i) & 3]!;
    const word = one[0]!;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + head, (length - head) >>> 2);
    for (let i = 0; i < words.length; i++) words[i]! ^= word;
    at += 4 * words.length;
  }
  for (; at < length; at++) bytes[at]! ^= key[(offset + at) & 3]!;
}
