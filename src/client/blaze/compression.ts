/**
 * Compresses what a client seals, and reads what others have compressed; with or without zstd, which a
 * page may fail to load. Then everything goes out as it is, and what came compressed waits a while.
 *
 * @module
 */
import { type Host, host as systemHost } from "../../host.ts";
import type { Bytes } from "../../wire/bytes.ts";
import { ClientError } from "../client_error.ts";
import { loadZstd, type Zstd } from "./zstd.ts";

/** `auto`: where it makes the bytes fewer. */
export type Compress = "auto" | "always" | "never";

export interface CompressionOptions {
  readonly mode: Compress;
  /** Hears once that zstd cannot be loaded, and again should it fail after it was there. */
  readonly fault: (error: ClientError) => void;
  readonly host?: Host | undefined;
  readonly load?: (() => Promise<Zstd>) | undefined;
}

/** Below this many bytes zstd has nothing to work with. */
const WORTH_COMPRESSING = 128;
/** Most bytes that a compressed payload may become. */
const MAX_PLAINTEXT = 8 * 1024 * 1024;
/** Milliseconds that somebody waits for a load; it may go on after that. */
const LOAD_MS = 5_000;
/** Milliseconds after which a load that failed is tried again, when zstd is wanted. */
const AGAIN_MS = 30_000;
/** Waits between the loads that are tried while a payload waits, in milliseconds. */
const KEEP_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

/** One for each client: what it has learnt of zstd outlives its links. */
export class Compression {
  readonly mode: Compress;
  readonly #fault: (error: ClientError) => void;
  readonly #host: Host;
  readonly #load: () => Promise<Zstd>;
  #zstd: Zstd | undefined;
  #trying: Promise<void> | undefined;
  #failed = false;
  #againAt = 0;
  /** Something was waited for in vain. */
  #gaveUp = false;

  constructor({ mode, fault, host = systemHost, load = loadZstd }: CompressionOptions) {
    this.mode = mode;
    this.#fault = fault;
    this.#host = host;
    this.#load = load;
  }

  /** Whether zstd was wanted and could not be had. */
  get failed(): boolean {
    return this.#failed;
  }

  /**
   * Compresses as the mode says, each payload by itself: no two ever share a context. As it is where the
   * reader does not know zstd, or we have none.
   */
  async shrink(
    plaintext: Uint8Array,
    readable = true,
  ): Promise<{ bytes: Uint8Array; compressed: boolean }> {
    const { mode } = this;
    const worth = mode === "always" || (mode === "auto" && plaintext.length >= WORTH_COMPRESSING);
    const zstd = worth && readable ? await this.#ready() : undefined;
    const smaller = zstd?.compress(plaintext);
    return smaller && (mode === "always" || smaller.length < plaintext.length)
      ? { bytes: smaller, compressed: true }
      : { bytes: plaintext, compressed: false };
  }

  /** The inverse of {@linkcode shrink}. Throws what {@linkcode Zstd.decompress} throws, and `NO_ZSTD`. */
  async expand(bytes: Bytes, compressed: boolean): Promise<Bytes> {
    if (!compressed) return bytes;
    const zstd = await this.#ready();
    if (!zstd) throw new ClientError("NO_ZSTD", "what came compressed cannot be read");
    return zstd.decompress(bytes, MAX_PLAINTEXT);
  }

  /** Whether what came compressed can be read. The first time zstd is waited for. */
  async readable(): Promise<boolean> {
    return await this.#ready() !== undefined;
  }

  /** Resolves once zstd is there, however long that takes, or nobody waits any longer. */
  async until(enough: AbortSignal): Promise<void> {
    for (let i = 0; !enough.aborted && !await this.readable(); i++) {
      await this.#pause(KEEP_MS[i] ?? AGAIN_MS, enough);
      if (!enough.aborted) await this.#try();
    }
  }

  /**
   * Resolves once zstd is there, or was tried for half a minute, or `enough` says that nobody waits any
   * longer. Half a minute is waited once; whoever asks later hears at once how things stand.
   */
  async wait(enough: AbortSignal): Promise<void> {
    if (await this.#ready() || this.#gaveUp) return;
    for (const ms of KEEP_MS) {
      await this.#pause(ms, enough);
      if (enough.aborted) return;
      await this.#try();
      if (this.#zstd) return;
    }
    this.#gaveUp = true;
  }

  /** zstd, if it is there. The first time it is waited for; a load that has failed waits for nobody. */
  async #ready(): Promise<Zstd | undefined> {
    if (this.#zstd) return this.#zstd;
    if (!this.#failed) await this.#try();
    else if (this.#host.now() >= this.#againAt) void this.#try();
    return this.#zstd;
  }

  #try(): Promise<void> {
    return this.#trying ??= this.#attempt().finally(() => this.#trying = undefined);
  }

  async #attempt(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = this.#host.after(LOAD_MS, () => reject(new Error("it takes too long")));
    const load = async () => {
      this.#zstd = await this.#load();
      // Also when nobody waits any more.
      this.#failed = this.#gaveUp = false;
    };
    load().then(resolve, reject);
    try {
      await promise;
    } catch (error) {
      this.#againAt = this.#host.now() + AGAIN_MS;
      if (this.#failed) return;
      this.#failed = true;
      const why = error instanceof Error ? error.message : String(error);
      this.#fault(new ClientError("NO_ZSTD", `zstd cannot be loaded (${why})`));
    } finally {
      stop();
    }
  }

  #pause(ms: number, enough: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = this.#host.after(ms, resolve);
    enough.addEventListener("abort", () => resolve(), { once: true });
    if (enough.aborted) resolve();
    return promise.finally(stop);
  }
}
