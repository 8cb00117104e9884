/**
 * RFC 6455 once more, slow and plain, as a twin for the real decoder: the whole stream at once,
 * bytes one at a time, lengths as bigints, UTF-8 by the grammar of RFC 3629.
 *
 * @module
 */

interface Limits {
  maxFrame: number;
  maxMessage: number;
  maxFragments: number;
}

const character =
  "[\\x00-\\x7f]|[\\xc2-\\xdf]t|\\xe0[\\xa0-\\xbf]t|[\\xe1-\\xec\\xee\\xef]tt|\\xed[\\x80-\\x9f]t" +
  "|\\xf0[\\x90-\\xbf]tt|[\\xf1-\\xf3]ttt|\\xf4[\\x80-\\x8f]tt";
const beginning =
  "[\\xc2-\\xf4]|\\xe0[\\xa0-\\xbf]|[\\xe1-\\xec\\xee\\xef]t|\\xed[\\x80-\\x9f]|\\xf0[\\x90-\\xbf]t?" +
  "|[\\xf1-\\xf3]tt?|\\xf4[\\x80-\\x8f]t?";
const grammar = (text: string) => new RegExp(text.replaceAll("t", "[\\x80-\\xbf]"));
const wholeText = grammar(`^(?:${character})*$`);
const beginningOfText = grammar(`^(?:${character})*(?:${beginning})?$`);

const latin = (bytes: number[]) => bytes.map((byte) => String.fromCharCode(byte)).join("");
const toHex = (bytes: number[]) => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
const toText = (bytes: number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));

/** Events as the tests tell them, and the name of the first fault. */
export function decodeNaively(
  role: "server" | "client",
  wire: Uint8Array,
  limits: Limits,
): { events: string[][]; fault: string | undefined } {
  const events: string[][] = [];
  let message: { opcode: number; frames: number; bytes: number[] } | undefined;
  let at = 0;

  const take = (count: number): number[] => {
    const taken = Array.from(wire.slice(at, at + count));
    at += count;
    return taken;
  };
  const end = (fault?: string) => ({ events, fault });

  while (at < wire.length) {
    const [first] = take(1) as [number];
    const fin = (first & 128) !== 0;
    const opcode = first % 16;
    const isControl = opcode > 7;
    if ((first & 64) + (first & 32) + (first & 16) > 0) return end("RESERVED_BITS");
    if (![0, 1, 2, 8, 9, 10].includes(opcode)) return end("UNKNOWN_OPCODE");
    if (isControl && !fin) return end("CONTROL_FRAGMENTED");
    if (opcode === 0 && !message) return end("CONTINUATION_UNEXPECTED");
    if ((opcode === 1 || opcode === 2) && message) return end("MESSAGE_UNFINISHED");
    if (!isControl) {
      message ??= { opcode, frames: 0, bytes: [] };
      message.frames += 1;
      if (message.frames > limits.maxFragments) return end("TOO_MANY_FRAGMENTS");
    }

    const [second] = take(1);
    if (second === undefined) return end();
    if (second >= 128 && role === "client") return end("MASK_UNEXPECTED");
    if (second < 128 && role === "server") return end("MASK_MISSING");
    let length = BigInt(second % 128);
    if (isControl && length > 125n) return end("CONTROL_TOO_LONG");
    if (length > 125n) {
      const count = length === 126n ? 2 : 8;
      const digits = take(count);
      if (count === 8 && digits[0] !== undefined && digits[0] > 127) return end("LENGTH_TOP_BIT");
      if (digits.length < count) return end();
      length = BigInt("0x" + toHex(digits));
      if (length < (count === 2 ? 126n : 65536n)) return end("LENGTH_NOT_MINIMAL");
    }
    if (message && !isControl) {
      if (length > BigInt(limits.maxFrame)) return end("FRAME_TOO_LARGE");
      const sum = length + BigInt(message.bytes.length);
      if (sum > BigInt(limits.maxMessage)) return end("MESSAGE_TOO_LARGE");
    }

    const key = role === "server" ? take(4) : [0, 0, 0, 0];
    if (key.length < 4) return end();
    const payload = take(Number(length)).map((byte, i) => byte ^ key[i % 4]!);
    const isWhole = payload.length === Number(length);

    if (isControl) {
      if (!isWhole) return end();
      if (opcode === 9) events.push(["ping", toHex(payload)]);
      if (opcode === 10) events.push(["pong", toHex(payload)]);
      if (opcode === 8) {
        if (payload.length === 0) events.push(["close", "1005", ""]);
        if (payload.length === 1) return end("CLOSE_TRUNCATED");
        if (payload.length > 1) {
          const code = payload[0]! * 256 + payload[1]!;
          const reserved = [1004, 1005, 1006].includes(code);
          const known = code >= 1000 && code <= 1014 && !reserved;
          if (!known && !(code >= 3000 && code <= 4999)) return end("CLOSE_CODE");
          if (!wholeText.test(latin(payload.slice(2)))) return end("INVALID_UTF8");
          events.push(["close", `${code}`, toText(payload.slice(2))]);
        }
        return end();
      }
    } else if (message) {
      for (const byte of payload) message.bytes.push(byte);
      if (message.opcode === 1 && !beginningOfText.test(latin(message.bytes))) {
        return end("INVALID_UTF8");
      }
      if (!isWhole) return end();
      if (!fin) continue;
      if (message.opcode === 1) {
        if (!wholeText.test(latin(message.bytes))) return end("INVALID_UTF8");
        events.push(["text", toText(message.bytes)]);
      } else events.push(["binary", toHex(message.bytes)]);
      message = undefined;
    }
  }
  return end();
}
