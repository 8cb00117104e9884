/**
 * The client's half of HTTP/1.1 (RFC 9112): request heads to text, bytes to responses. Strict where
 * leniency would let one answer be taken for two.
 *
 * @module
 */
import { type Bytes, concat, WireError } from "../../wire/bytes.ts";

/**
 * Why an answer is refused.
 *
 * - `BAD_STATUS_LINE`, `BAD_HEADER`: the head is not of RFC 9112, sections 4 and 5.
 * - `HEAD_TOO_LONG`: a head, or the trailers, of more than {@linkcode MAX_HEAD} bytes.
 * - `BAD_LENGTH`: a Content-Length that is no number, or two that differ.
 * - `BAD_CODING`: a transfer coding other than `chunked`.
 * - `BAD_CHUNK`: a chunk that does not follow section 7.1.
 * - `TRUNCATED`: the stream ended within the answer.
 */
export type HttpErrorCode =
  | "BAD_STATUS_LINE"
  | "BAD_HEADER"
  | "HEAD_TOO_LONG"
  | "BAD_LENGTH"
  | "BAD_CODING"
  | "BAD_CHUNK"
  | "TRUNCATED";

export const MAX_HEAD = 65_536;
/** A chunk's size line; extensions are skipped. */
const MAX_LINE = 1_024;

export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Whether the stream may carry another request after this answer. */
  readonly keep: boolean;
}

/** What came: a head (1xx are skipped, but for 101), pieces of the body, the end. */
export type HttpEvent =
  | { readonly type: "head"; readonly head: ResponseHead }
  | { readonly type: "body"; readonly bytes: Uint8Array }
  | { readonly type: "end"; readonly rest: Uint8Array };

type State = "head" | "length" | "close" | "size" | "chunk" | "chunkEnd" | "trailers" | "done";

const NOTHING: Bytes = new Uint8Array(0);
const CR = 0x0d, LF = 0x0a;
const latin1 = new TextDecoder("latin1");
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

const fail = (code: HttpErrorCode, detail?: string): never => {
  throw new WireError<HttpErrorCode>(code, 0, detail);
};

/** Reads one answer. */
export class ResponseParser {
  #state: State = "head";
  #held: Uint8Array = NOTHING;
  #left = 0;
  #keep = false;

  /** `method` of the request: an answer to HEAD has no body. */
  constructor(private readonly method: string) {}

  get done(): boolean {
    return this.#state === "done";
  }

  /** Bytes of the answer. Yields what they complete; pieces of the body are views. */
  *push(bytes: Uint8Array): Generator<HttpEvent, void, void> {
    let input = this.#held.length > 0 ? concat(this.#held, bytes) : bytes;
    this.#held = NOTHING;
    while (input.length > 0) {
      switch (this.#state) {
        case "head": {
          const end = headEnd(input);
          if (end < 0) {
            if (input.length > MAX_HEAD) fail("HEAD_TOO_LONG");
            this.#held = input.slice();
            return;
          }
          if (end > MAX_HEAD) fail("HEAD_TOO_LONG");
          const head = this.#readHead(latin1.decode(input.subarray(0, end)));
          input = input.subarray(end);
          if (!head) continue;
          yield { type: "head", head };
          if (this.done) return yield { type: "end", rest: input };
          break;
        }
        case "length":
        case "chunk": {
          const piece = input.subarray(0, this.#left);
          this.#left -= piece.length;
          input = input.subarray(piece.length);
          yield { type: "body", bytes: piece };
          if (this.#left > 0) break;
          if (this.#state === "chunk") this.#state = "chunkEnd";
          else {
            this.#state = "done";
            return yield { type: "end", rest: input };
          }
          break;
        }
        case "close":
          yield { type: "body", bytes: input };
          return;
        case "size": {
          const end = lineEnd(input);
          if (end < 0) {
            if (input.length > MAX_LINE) fail("BAD_CHUNK", "a long size");
            this.#held = input.slice();
            return;
          }
          const size = /^([0-9a-f]{1,12})[\t ]*(?:;.*)?$/i.exec(
            latin1.decode(input.subarray(0, end)),
          );
          if (!size) fail("BAD_CHUNK", "no size");
          this.#left = parseInt(size![1]!, 16);
          this.#state = this.#left > 0 ? "chunk" : "trailers";
          input = input.subarray(end + 2);
          break;
        }
        case "chunkEnd":
          if (input.length < 2 && input[0] === CR) {
            this.#held = input.slice();
            return;
          }
          if (input[0] !== CR || input[1] !== LF) fail("BAD_CHUNK", "no end of line");
          input = input.subarray(2);
          this.#state = "size";
          break;
        case "trailers": {
          // Trailers are skipped, line by line, until an empty one.
          const end = lineEnd(input);
          if (end < 0) {
            if (input.length > MAX_HEAD) fail("HEAD_TOO_LONG");
            this.#held = input.slice();
            return;
          }
          input = input.subarray(end + 2);
          if (end > 0) break;
          this.#state = "done";
          return yield { type: "end", rest: input };
        }
        case "done":
          return;
      }
    }
  }

  /** The stream has ended. Throws `TRUNCATED` unless the answer may end here. */
  end(): void {
    if (this.#state !== "close" && this.#state !== "done") fail("TRUNCATED");
    this.#state = "done";
  }

  #readHead(text: string): ResponseHead | undefined {
    const [statusLine, ...lines] = text.slice(0, -4).split("\r\n");
    const status = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/.exec(statusLine!);
    if (!status) return fail("BAD_STATUS_LINE");
    const code = Number(status[2]);
    const headers = lines.map((line) => {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, "");
      if (colon < 1 || !TOKEN.test(name) || !VALUE.test(value)) fail("BAD_HEADER");
      return [name, value] as const;
    });
    if (code < 200 && code !== 101) return;
    const all = (wanted: string) =>
      headers.filter(([name]) => name === wanted).map(([, value]) => value);
    const connection = all("connection").join().toLowerCase();
    this.#keep = status[1] === "1" && !/\bclose\b/.test(connection);
    this.#choose(code, all("transfer-encoding"), all("content-length"));
    return { status: code, statusText: status[3] ?? "", headers, keep: this.#keep };
  }

  /** How the body ends (RFC 9112, 6.3). */
  #choose(status: number, codings: string[], lengths: string[]): void {
    if (this.method === "HEAD" || status === 101 || status === 204 || status === 304) {
      this.#state = "done";
    } else if (codings.length > 0) {
      if (codings.join().trim().toLowerCase() !== "chunked") fail("BAD_CODING");
      if (lengths.length > 0) this.#keep = false;
      this.#state = "size";
    } else if (lengths.length > 0) {
      const values = new Set(lengths.join().split(",").map((value) => value.trim()));
      const [value] = values;
      if (values.size !== 1 || !/^\d{1,15}$/.test(value!)) fail("BAD_LENGTH");
      this.#left = Number(value);
      this.#state = this.#left > 0 ? "length" : "done";
    } else {
      this.#keep = false;
      this.#state = "close";
    }
  }
}

/** Where CR LF stands; -1 if it does not. A lone LF ends no line. */
function lineEnd(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] === CR) return at - 1;
  }
  return -1;
}

/** Behind the empty line that ends a head; -1 if there is none. */
function headEnd(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
  }
  return -1;
}

/** A request's head. Throws `RangeError` for what would break its lines. */
export function requestHead(
  method: string,
  target: string,
  headers: Iterable<readonly [string, string]>,
): string {
  if (!TOKEN.test(method)) throw new RangeError(`no method: ${method}`);
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f-\uffff]/.test(target)) throw new RangeError(`no request target: ${target}`);
  let text = `${method} ${target} HTTP/1.1\r\n`;
  for (const [name, value] of headers) {
    if (!TOKEN.test(name) || !VALUE.test(value)) throw new RangeError(`no header: ${name}`);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}
