/**
 * zstd (RFC 8878): the runtime's own where there is one, else a WebAssembly build, loaded when first
 * needed. A bundle for browsers keeps that build's `zstd.wasm` beside itself.
 *
 * @module
 */
import { type Bytes, WireError } from "../../wire/bytes.ts";

export interface Zstd {
  compress(bytes: Uint8Array): Bytes;
  /** Throws `NOT_ZSTD`, `TOO_LARGE` beyond `most` bytes, `DECOMPRESSION_FAILED`. */
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
let loading: Promise<Zstd> | undefined;

/** Loads zstd, once. */
export function loadZstd(): Promise<Zstd> {
  return loading ??= load();
}

async function load(): Promise<Zstd> {
  const builtin = (globalThis as Platform).process?.getBuiltinModule?.("node:zlib");
  if (builtin?.zstdCompressSync && builtin.zstdDecompressSync) {
    const { zstdCompressSync, zstdDecompressSync } = builtin;
    return guarded(
      (bytes) => zstdCompressSync(bytes),
      (bytes, most) => zstdDecompressSync(bytes, { maxOutputLength: most }),
    );
  }
  return await loadWasm();
}

/** The WebAssembly build, whatever the runtime has. */
export async function loadWasm(): Promise<Zstd> {
  const wasm = await import("@bokuweb/zstd-wasm");
  await wasm.init();
  return guarded(
    (bytes) => wasm.compress(bytes, LEVEL),
    // Without a size in its header a frame gets as much memory as it may fill.
    (bytes, most) => wasm.decompress(bytes, { defaultHeapSize: most }),
  );
}

function guarded(
  compress: (bytes: Uint8Array) => Uint8Array,
  decompress: (bytes: Uint8Array, most: number) => Uint8Array,
): Zstd {
  return {
    compress: (bytes) => new Uint8Array(compress(bytes)),
    decompress(bytes, most) {
      const size = contentSize(bytes);
      if (size !== undefined && size > BigInt(most)) throw tooLarge(most);
      let plain: Uint8Array;
      try {
        plain = decompress(bytes, most);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(most);
        throw new WireError("DECOMPRESSION_FAILED", 0, "not a whole zstd frame");
      }
      return new Uint8Array(plain);
    },
  };
}

const tooLarge = (most: number): WireError =>
  new WireError("TOO_LARGE", 0, `more than ${most} bytes once decompressed`);

/**
 * The size that a frame says it holds (RFC 8878, 3.1.1.1), or `undefined` where it does not say.
 * Throws `NOT_ZSTD`. Checked before anything is allocated for it.
 */
function contentSize(bytes: Uint8Array): bigint | undefined {
  if (bytes.length < 6 || [0x28, 0xb5, 0x2f, 0xfd].some((byte, i) => bytes[i] !== byte)) {
    throw new WireError("NOT_ZSTD", 0, "marked as compressed, but no zstd frame");
  }
  const descriptor = bytes[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const flag = descriptor >> 6;
  const length = flag === 0 ? (singleSegment ? 1 : 0) : 1 << flag;
  if (length === 0) return undefined;
  const dictionary = [0, 1, 2, 4][descriptor & 0x03]!;
  const at = 5 + (singleSegment ? 0 : 1) + dictionary;
  if (bytes.length < at + length) return undefined; // the decoder will find it cut
  let size = 0n;
  for (let i = length - 1; i >= 0; i--) size = size << 8n | BigInt(bytes[at + i]!);
  return length === 2 ? size + 256n : size;
}
