/**
 * One stream as web streams.
 *
 * @module
 */
import type { MuxStreamEvents, MuxStreamFault, MuxStreamState } from "../../link/mux/mux_stream.ts";
import type { Bytes } from "../../wire/bytes.ts";

/** A stream ended before it was done; `code` says why. */
export class BmpStreamError extends Error {
  override readonly name = "BmpStreamError";

  constructor(readonly code: MuxStreamFault) {
    super(`the stream ended: ${code}`);
  }
}

/** Two directions, each with backpressure of its own. */
export class BmpStream {
  /** What the server sends. Nothing is read ahead: an unread stream holds only itself back. */
  readonly readable: ReadableStream<Bytes>;
  /** What goes to the server. Closing it says eof; the other direction stays open. */
  readonly writable: WritableStream<Uint8Array>;
  /** Resolves when both directions are over, with the reason unless both had ended. */
  readonly closed: Promise<MuxStreamFault | undefined>;
  readonly #stream: MuxStreamState;

  constructor(open: (events: MuxStreamEvents) => MuxStreamState) {
    const closed = Promise.withResolvers<MuxStreamFault | undefined>();
    this.closed = closed.promise;
    let reading: (() => void) | undefined;
    let writing: (() => void) | undefined;
    const arrived = () => {
      reading?.();
      reading = undefined;
    };
    const sent = () => {
      writing?.();
      writing = undefined;
    };
    let fault: MuxStreamFault | undefined;
    let over = false;
    const stream = this.#stream = open({
      readable: arrived,
      drained: sent,
      closed: (why) => {
        over = true;
        fault = why;
        arrived();
        sent();
        closed.resolve(why);
      },
    });
    this.readable = new ReadableStream<Bytes>({
      async pull(controller) {
        for (;;) {
          const piece = stream.read();
          // A copy: pieces are views of what the connection read, and a reader may transfer them.
          if (piece) return controller.enqueue(new Uint8Array(piece));
          if (stream.ended && fault === undefined) return controller.close();
          if (over) throw new BmpStreamError(fault ?? "CLOSED");
          await new Promise<void>((resolve) => reading = resolve);
        }
      },
      cancel: () => stream.close(),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream<Uint8Array>({
      async write(bytes) {
        if (over) throw new BmpStreamError(fault ?? "CLOSED");
        if (bytes.length === 0) return;
        stream.write(bytes);
        if (stream.queued > 0) await new Promise<void>((resolve) => writing = resolve);
        if (over && fault !== undefined) throw new BmpStreamError(fault);
      },
      close: () => stream.end(),
      abort: () => stream.close(),
    });
  }

  get id(): string {
    return this.#stream.id;
  }

  /** Opens the stream at the server before anything is written. */
  announce(): void {
    this.#stream.announce();
  }

  /** Ends both directions now. */
  close(): void {
    this.#stream.close();
  }
}
