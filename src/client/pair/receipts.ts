/**
 * What a partner has told this device: each operation counts once, however often it comes, and the
 * partner hears that it was taken.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import { FrameType } from "../../wire/blaze/blaze_frame.ts";
import { encodeReceipt, type Way } from "./deliveries.ts";

/** Programs whose operations are remembered; the oldest is forgotten beyond. */
const MOST_SENDERS = 64;
/** Counters remembered of each: more than a sender has on the way, and once more. */
const MOST_COUNTERS = 4096;
/** Counters in one receipt. */
const MOST_AT_ONCE = 512;

/** Operations of one program, by their counters. */
class Taken {
  readonly #recent = new Set<bigint>();
  /** What is not above it was taken before all that is remembered. */
  #floor = -1n;

  /** Whether it is the first time. */
  add(counter: bigint): boolean {
    if (counter <= this.#floor || this.#recent.has(counter)) return false;
    this.#recent.add(counter);
    if (this.#recent.size > MOST_COUNTERS) {
      const [oldest] = this.#recent;
      this.#recent.delete(oldest!);
      if (oldest! > this.#floor) this.#floor = oldest!;
    }
    return true;
  }
}

/** Of one client, over all its links. */
export class Receipts {
  readonly #senders = new Map<string, Taken>();
  #due: bigint[] = [];
  #sending: Promise<void> | undefined;
  #way: Way | undefined;

  constructor(private readonly host: Host) {}

  /** Over this link an operation came. False: it has been here before. */
  take(way: Way, counter: bigint): boolean {
    const { receipts } = way;
    if (receipts === undefined) return true;
    // Another link: what is due for the one before cannot be said there any more.
    if (this.#way !== way) this.#due = [];
    this.#way = way;
    this.#due.push(counter);
    this.#sending ??= this.#send();
    return this.#of(receipts).add(counter);
  }

  #of(sender: string): Taken {
    let taken = this.#senders.get(sender);
    if (!taken) {
      if (this.#senders.size >= MOST_SENDERS) {
        this.#senders.delete(this.#senders.keys().next().value!);
      }
      this.#senders.set(sender, taken = new Taken());
    }
    return taken;
  }

  /** Resolves once all that is due was said; undefined where nothing is. */
  get settled(): Promise<void> | undefined {
    return this.#sending;
  }

  async #send(): Promise<void> {
    while (this.#due.length > 0) {
      // One receipt for all that this turn brings.
      await new Promise<void>((resolve) => this.host.afterTurn(resolve));
      const way = this.#way!;
      const some = this.#due.splice(0, MOST_AT_ONCE);
      // Without a link the operations come again, and are answered then.
      await way.send(FrameType.operationAck, encodeReceipt(some)).catch(() => {});
    }
    this.#sending = undefined;
  }
}
