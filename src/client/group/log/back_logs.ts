/**
 * The logs of epochs that have ended which a device has to read before the present one: a newcomer those
 * that its welcome told of, and all of them whoever chooses other collections.
 *
 * In storage, as `back`: the first of them as far as it was read (`epoch_log.ts`).
 *
 * @module
 */
import type { Bytes } from "../../../wire/bytes.ts";
import type { Saver } from "../../blaze/storage.ts";
import { Epoch } from "../e2e/epoch.ts";
import { EpochLog } from "./epoch_log.ts";
import type { ToldEpoch } from "./past_epochs.ts";

const KEY = "back";

export class BackLogs {
  #logs: EpochLog[] = [];

  /** `group`: its id, 16 bytes. */
  constructor(
    private readonly saver: Saver,
    private readonly group: Bytes,
    private readonly database: string,
  ) {}

  /** The one that is read next. */
  get next(): EpochLog | undefined {
    return this.#logs[0];
  }

  /** These are to be read, the oldest first, from their beginning; and no others. */
  async begin(epochs: readonly Pick<ToldEpoch, "secret" | "bound">[]): Promise<void> {
    const logs: EpochLog[] = [];
    for (const { secret, bound } of epochs) {
      const epoch = await Epoch.of(secret, this.group);
      logs.push(await EpochLog.begin(epoch, this.database, bound));
    }
    this.#logs = logs;
    this.saver.set(KEY, this.next?.save());
  }

  /** The next one was read to its end. Answers it. */
  shift(): EpochLog | undefined {
    const log = this.#logs.shift();
    this.saver.set(KEY, this.next?.save());
    return log;
  }

  /** How far the next one was read, with the next flush. */
  saveNext(): void {
    if (this.next) this.saver.set(KEY, this.next.save());
  }

  /** Which they are. */
  save() {
    return this.#logs.map(({ epoch: { secret }, bound }) => ({
      secret,
      sequence: String(bound!.sequence),
      hash: bound!.hash,
    }));
  }

  /** Takes what was saved. */
  async restore(logs: SavedBack, saved: ReadonlyMap<string, Bytes>): Promise<void> {
    for (const { secret, sequence, hash } of logs) {
      const bound = { sequence: BigInt(sequence), hash: hash.slice() };
      const epoch = await Epoch.of(secret, this.group);
      const bytes = this.next ? undefined : saved.get(KEY);
      this.#logs.push(
        bytes
          ? await EpochLog.restore(bytes, epoch, this.database, bound)
          : await EpochLog.begin(epoch, this.database, bound),
      );
    }
  }
}

export type SavedBack = ReturnType<BackLogs["save"]>;
