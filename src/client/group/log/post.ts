/**
 * Sends frames over one link of a group, and does things later while that link lasts.
 *
 * @module
 */
import { faultOf } from "../../client_error.ts";
import type { Host } from "../../../host.ts";
import type { Link } from "../../../link/link.ts";
import { PacedLink, type PaceOptions } from "../../pacer.ts";
import { hex } from "../../../wire/bytes.ts";
import { encodeExtension } from "../../../wire/blaze/extension.ts";
import { encodeFrame, FrameType } from "../../../wire/blaze/blaze_frame.ts";

/** The same thing is not sent to the same device again before so long. */
const QUIET_MS = 250;
const MOST_REMEMBERED = 1_000;

export class Post {
  /** Devices that the link leads to, members or not, in hex. */
  readonly here = new Set<string>();
  /** Those of them that the relay has shown as devices of the profile. */
  readonly shown = new Set<string>();
  /** Those of them whose Handshake says that they read zstd. */
  readonly zstd = new Set<string>();
  /** Whether our own Handshake says so. */
  readsZstd = true;
  readonly #timers = new Set<() => void>();
  readonly #quiet = new Map<string, number>();
  #steps: Promise<void> = Promise.resolve();
  #closed = false;
  readonly link: PacedLink;

  constructor(
    link: Link,
    readonly host: Host,
    options: PaceOptions,
    private readonly fault: (code: string, message: string) => void,
  ) {
    this.link = new PacedLink(link, host, options);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the step that runs now has ended. */
  get idle(): Promise<void> {
    return this.#steps;
  }

  /** One step after the other. What others sent wrong becomes a fault, and never ends the device. */
  run(step: () => void | Promise<void>): Promise<void> {
    return this.#steps = this.#steps.then(() => this.guard(step));
  }

  async guard(step: () => void | Promise<void>): Promise<void> {
    if (this.#closed) return;
    try {
      await step();
    } catch (error) {
      const { code, message } = faultOf(error);
      this.fault(code, message);
    }
  }

  /** Runs a step later, unless the link is gone by then. Answers how to call it off. */
  later(ms: number, step: () => void | Promise<void>): () => void {
    const stop = this.host.after(ms, () => {
      this.#timers.delete(stop);
      void this.run(step);
    });
    this.#timers.add(stop);
    return stop;
  }

  /** True if this was done a moment ago; else notes that it is done now. */
  again(what: string): boolean {
    const now = this.host.now();
    if (now < (this.#quiet.get(what) ?? 0)) return true;
    if (this.#quiet.size > MOST_REMEMBERED) this.#quiet.clear();
    this.#quiet.set(what, now + QUIET_MS);
    return false;
  }

  /** A device has connected anew: it has heard nothing yet. */
  begin(node: string): void {
    this.here.add(node);
    for (const what of this.#quiet.keys()) if (what.includes(node)) this.#quiet.delete(what);
  }

  /** A frame to one node, if it is here: the relay counts what it cannot deliver as a fault. */
  sendTo(node: Uint8Array, frame: Uint8Array): void {
    if (this.here.has(hex(node))) this.direct(node, frame);
  }

  /** The same, to a node that is known to be here. */
  direct(node: Uint8Array, frame: Uint8Array): void {
    this.extend(encodeExtension({ subtype: "direct", node, frame }));
  }

  /** An Extension of ours. */
  toEverybody(code: number, body: Uint8Array): void {
    this.extend(encodeExtension({ subtype: "device", code, body }));
  }

  extend(payload: Uint8Array): void {
    this.send({ type: FrameType.extension, payload });
  }

  send(frame: { type: FrameType; payload?: Uint8Array }): void {
    this.link.send(encodeFrame(frame, { short: true }));
  }

  /** What answers a Ping. */
  answer(frame: { type: FrameType; payload?: Uint8Array }): void {
    this.link.answer(encodeFrame(frame, { short: true }));
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#timers) stop();
  }
}
