/**
 * zstd (RFC 8878): the runtime's own where there is one, else a WebAssembly build, loaded when first
 * needed. A bundle for browsers keeps that build's `zstd.wasm` beside itself.
 *
 * @module
 */
import { type Bytes, sameBytes, WireError } from "../../wire/bytes.ts";

export interface Zstd {
  compress(bytes: Uint8Array): Bytes;
  /**
   * The content of one whole frame, which may be padded with skippable frames. Throws `NOT_ZSTD`,
   * `TOO_LARGE` beyond `most` bytes, `DECOMPRESSION_FAILED`.
   */
  decompress(bytes: Uint8Array, most: number): Bytes;
}

/** The slice of `node:zlib` used here. */
interface NodeZlib {
  zstdCompressSync?(bytes: Uint8Array): Uint8Array<ArrayBuffer>;
  zstdDecompressSync?(
    bytes: Uint8Array,
    options: { maxOutputLength: number },
  ): Uint8Array<ArrayBuffer>;
}

interface Platform {
  process?: { getBuiltinModule?(name: string): NodeZlib | undefined };
}

const LEVEL = 3;
const MAGIC = 0xfd2fb528;
/** The upper 28 bits of the magic number of a skippable frame. */
const SKIPPABLE = 0x184d2a5;
/** Window descriptor of 8 MiB: more need not be supported, and a decoder sets that much aside. */
const MAX_WINDOW = 13 << 3;
/** How the WebAssembly build says ZSTD_error_dstSize_tooSmall. */
const NO_ROOM = "code -70";
let loading: Promise<Zstd> | undefined;

/** Loads zstd, once. A load that fails is forgotten, so that the next call tries again. */
export function loadZstd(): Promise<Zstd> {
  return loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  });
}

async function load(): Promise<Zstd> {
  const builtin = (globalThis as Platform).process?.getBuiltinModule?.("node:zlib");
  if (builtin?.zstdCompressSync && builtin.zstdDecompressSync) {
    const { zstdCompressSync, zstdDecompressSync } = builtin;
    return guarded(
      (bytes) => zstdCompressSync(bytes),
      // Neither runtime takes 0 here; what is above the cap is refused below.
      (bytes, most) => zstdDecompressSync(bytes, { maxOutputLength: Math.max(most, 1) }),
    );
  }
  return await loadWasm();
}

/** The WebAssembly build, whatever the runtime has. */
export async function loadWasm(): Promise<Zstd> {
  const wasm = await import("@bokuweb/zstd-wasm");
  await initialize(wasm.init);
  return guarded(
    (bytes) => wasm.compress(bytes, LEVEL),
    // Without a size in its header a frame gets as much memory as it may fill.
    (bytes, most) => wasm.decompress(bytes, { defaultHeapSize: most }),
  );
}

/**
 * Initializes the build, which does so once: should its own load fail, it is broken for good and its
 * promise never settles. So what a page loads for it is fetched and tried here. The build for runtimes
 * reads its file, and takes no argument.
 */
async function initialize(init: (wasm?: string) => Promise<void>): Promise<void> {
  if (init.length === 0) return await init();
  const answer = await fetch(new URL("./zstd.wasm", import.meta.url));
  if (!answer.ok) throw new Error(`zstd.wasm: HTTP ${answer.status}`);
  const bytes = await answer.arrayBuffer();
  // Throws for what is no WebAssembly, and where a page's policy allows none.
  await WebAssembly.compile(bytes);
  await init(bytes as unknown as string);
}

function guarded(
  compress: (bytes: Uint8Array) => Uint8Array,
  decompress: (bytes: Uint8Array, most: number) => Uint8Array,
): Zstd {
  return {
    compress: (bytes) => new Uint8Array(withoutEmptyFrame(compress(bytes))),
    decompress(bytes, most) {
      const { frame, sized } = wholeFrame(bytes, most);
      let plain: Uint8Array;
      try {
        plain = decompress(frame, most);
      } catch (error) {
        const { code, message } = error as { code?: string; message?: string };
        const full = code === "ERR_BUFFER_TOO_LARGE" || message?.endsWith(NO_ROOM);
        if (full && !sized) throw tooLarge(most);
        throw damaged("its content is damaged");
      }
      if (plain.length > most) throw tooLarge(most);
      return new Uint8Array(plain);
    },
  };
}

const tooLarge = (most: number): WireError =>
  new WireError("TOO_LARGE", 0, `more than ${most} bytes once decompressed`);

const damaged = (detail: string): WireError => new WireError("DECOMPRESSION_FAILED", 0, detail);

/** Byte `at` and on, little-endian, as everywhere in zstd. Above 2^53 near enough to compare. */
function little(bytes: Uint8Array, at: number, length: number): number {
  if (at + length > bytes.length) throw damaged("cut short");
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + bytes[at + i]!;
  return value;
}

/**
 * The frame that `bytes` begin with (RFC 8878, 3.1.1), once its blocks and the skippable frames after
 * it were found to fill them exactly, and the size it states, if any, to fit. Allocates nothing.
 *
 * The runtimes' decoders answer what there is of a frame that was cut, and are at odds about what
 * comes after one.
 */
function wholeFrame(bytes: Uint8Array, most: number): { frame: Uint8Array; sized: boolean } {
  const { end, sized } = firstFrame(bytes, most);
  let at = end;
  while (at < bytes.length) {
    if (little(bytes, at, 4) >>> 4 !== SKIPPABLE) throw damaged("more than one frame");
    at += 8 + little(bytes, at + 4, 4);
  }
  if (at > bytes.length) throw damaged("cut short");
  return { frame: bytes.subarray(0, end), sized };
}

/** Where the first frame ends, and whether it states its size. */
function firstFrame(bytes: Uint8Array, most: number): { end: number; sized: boolean } {
  if (bytes.length < 5 || little(bytes, 0, 4) !== MAGIC) {
    throw new WireError("NOT_ZSTD", 0, "marked as compressed, but no zstd frame");
  }
  const descriptor = bytes[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeLength = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const dictionaryLength = [0, 1, 2, 4][descriptor & 0x03]!;
  if (!singleSegment && bytes[5]! > MAX_WINDOW) throw damaged("a window above 8 MiB");
  let at = 5 + (singleSegment ? 0 : 1) + dictionaryLength;
  if (little(bytes, at, sizeLength) + (sizeLength === 2 ? 256 : 0) > most) throw tooLarge(most);
  at += sizeLength;
  for (let last = false; !last;) {
    // Three bytes: one bit for the last block, two for its type, then its size.
    const block = little(bytes, at, 3);
    const repeated = (block >> 1 & 3) === 1; // one byte stands for all
    at += 3 + (repeated ? 1 : block >> 3);
    last = (block & 1) === 1;
  }
  if (descriptor & 0x04) at += 4; // checksum
  return { end: at, sized: sizeLength > 0 };
}

/** Magic, a content size of 0, and a last block of nothing. */
const EMPTY_FRAME = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00);

/** Deno 2.9.6 puts an empty frame after what it compressed to more than 32 KiB: takes it off. */
function withoutEmptyFrame(compressed: Uint8Array): Uint8Array {
  const { end } = firstFrame(compressed, Infinity);
  return sameBytes(compressed.subarray(end), EMPTY_FRAME)
    ? compressed.subarray(0, end)
    : compressed;
}
