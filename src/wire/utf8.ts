/**
 * Well-formed UTF-8, told byte by byte, so that a bad text message is refused where it goes bad and
 * not after its last fragment (RFC 6455, 8.1).
 *
 * @module
 */

/** Follows one text through its pieces. After a complete text it is ready for the next one. */
export class Utf8Checker {
  /** Continuation bytes that the character under way still needs. */
  #need = 0;
  // The next continuation byte lies in this range; only the second byte of a character has one of
  // its own, which shuts out overlong forms, surrogates and all above U+10FFFF.
  #low = 0x80;
  #high = 0xbf;

  /** Whether the text may end here: no character is half read. */
  get complete(): boolean {
    return this.#need === 0;
  }

  /** Reads the next piece. Answers the index of the first byte that cannot be, or −1. */
  feed(bytes: Uint8Array): number {
    let need = this.#need;
    let low = this.#low;
    let high = this.#high;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (need > 0) {
        if (byte < low || byte > high) return i;
        need--;
        low = 0x80;
        high = 0xbf;
      } else if (byte > 0x7f) {
        if (byte < 0xc2 || byte > 0xf4) return i;
        need = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        if (byte === 0xe0) low = 0xa0;
        else if (byte === 0xed) high = 0x9f;
        else if (byte === 0xf0) low = 0x90;
        else if (byte === 0xf4) high = 0x8f;
      }
    }
    this.#need = need;
    this.#low = low;
    this.#high = high;
    return -1;
  }
}
