/**
 * A bar for something that takes a while: redrawn on a terminal, a line every ten seconds in a log.
 *
 * @module
 */
import process from "node:process";
import { note, write } from "./say.ts";

const WIDTH = 30;

export class Progress {
  readonly #began = performance.now();
  #shownAt = -Infinity;
  /** A line of the terminal holds a bar. */
  #drawn = false;

  /** `total` in seconds; infinite where there is no end. */
  constructor(private readonly total: number, private readonly enabled: boolean) {}

  show(done: number): void {
    const now = performance.now();
    const terminal = process.stderr.isTTY === true;
    if (!this.enabled || now - this.#shownAt < (terminal ? 100 : 10_000)) return;
    this.#shownAt = now;
    write(terminal ? `\r\x1b[K${this.#line(done)}` : `${this.#line(done)}\n`);
    this.#drawn = terminal;
  }

  /** Says something in place of the bar, which comes back below it. */
  note(text: string): void {
    note(`${this.#drawn ? "\r\x1b[K" : ""}${text}`);
    this.#drawn = false;
    if (process.stderr.isTTY) this.#shownAt = -Infinity;
  }

  end(text: string): void {
    if (!this.enabled) return;
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(1);
    this.note(`${text} in ${seconds} s`);
  }

  #line(done: number): string {
    const speed = done / Math.max(0.001, (performance.now() - this.#began) / 1000);
    const pace = `${speed.toFixed(speed < 10 ? 2 : 0)}x`;
    if (this.total === Infinity) return `${clock(done)}  ${pace}`;
    const filled = Math.round(WIDTH * Math.min(1, done / this.total));
    const bar = "#".repeat(filled) + "-".repeat(WIDTH - filled);
    return `[${bar}] ${clock(done)} / ${clock(this.total)}  ${pace}`;
  }
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return `${String(minutes).padStart(2, "0")}:${String(rest).padStart(2, "0")}`;
}
