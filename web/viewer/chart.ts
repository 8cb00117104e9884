/**
 * The paper on the page: a sweeping trace while the stream is live, a still sheet to leaf through
 * while it is paused.
 *
 * @module
 */
import { type Mark, Marks } from "./marks.ts";
import { type Inks, MARK_WIDTH, Painter } from "./painter.ts";
import { Playhead } from "./playhead.ts";
import { Layout, type PaperScale } from "./paper_scale.ts";
import type { SampleChunk } from "./lead_samples.ts";
import { Tiles } from "./tiles.ts";
import { Trace } from "./trace.ts";

export class Chart {
  readonly playhead = new Playhead();
  readonly marks = new Marks();
  readonly #tiles: Tiles;
  #trace: Trace | undefined;
  #layout: Layout | undefined;
  #painter: Painter | undefined;
  /** Sample at the left edge of the first sheet: sheets follow each other without a seam. */
  #left = 0;
  /** Newest sample drawn. */
  #drawn = -1;
  /** While paused: the sample at the right edge. */
  #still: number | undefined;
  #fresh = false;

  constructor(
    private readonly box: HTMLElement,
    private readonly paper: HTMLCanvasElement,
    pen: HTMLElement,
    private scale: PaperScale,
    private inks: Inks,
  ) {
    this.#tiles = new Tiles(pen);
    new ResizeObserver(() => this.#fresh = false).observe(box);
  }

  get trace(): Trace | undefined {
    return this.#trace;
  }

  get layout(): Layout | undefined {
    return this.#layout;
  }

  get paused(): boolean {
    return this.#still !== undefined;
  }

  /** The newest sample on the page. */
  get shown(): number {
    return this.#still ?? this.playhead.position;
  }

  /**
   * Takes the samples of one message, and what the relay lost before it; another rate or other leads
   * begin a new trace.
   */
  append(chunk: SampleChunk, lost = 0): void {
    if (!this.#trace?.fits(chunk)) {
      this.#trace = new Trace(chunk.rate, chunk.leads);
      this.marks.clear();
      this.#still = undefined;
      this.#left = 0;
      this.#fresh = false;
      this.playhead.position = 0;
    }
    const before = this.#trace.end;
    this.#trace.append(chunk, lost);
    this.playhead.received(chunk.samples[0]!.length);
    // The first message, or one after a long silence: no need to play through the pause.
    if (before === 0 || this.#trace.end - before > 5 * chunk.rate + chunk.samples[0]!.length) {
      this.playhead.jump(this.#trace.end, chunk.rate);
      this.#fresh = false;
    }
  }

  /** Adds a beat or an alarm; shows it at once where its sample is on the page already. */
  mark(mark: Mark): void {
    this.marks.add(mark);
    if (this.paused) this.#fresh = false;
    else if (
      this.#trace && mark.sample <= this.#drawn - this.#wet() && mark.sample > this.#oldest()
    ) {
      this.#painter?.mark(mark, this.#left);
    }
  }

  setScale(scale: PaperScale): void {
    this.scale = scale;
    this.#fresh = false;
  }

  setInks(inks: Inks): void {
    this.inks = inks;
    this.#fresh = false;
  }

  pause(): void {
    if (!this.#trace || this.paused) return;
    this.#still = Math.floor(this.playhead.position);
    this.#fresh = false;
  }

  resume(): void {
    if (!this.#trace || !this.paused) return;
    this.#still = undefined;
    this.playhead.jump(this.#trace.end, this.#trace.rate);
    this.#fresh = false;
  }

  /** Leafs by seconds, back with a negative number. Pauses. */
  scroll(seconds: number): void {
    this.pause();
    const trace = this.#trace;
    if (!trace || this.#still === undefined) return;
    const oldest = Math.min(trace.end, Math.ceil(trace.start + this.#sheet()));
    const to = Math.round(this.#still + seconds * trace.rate);
    this.#still = Math.max(oldest, Math.min(trace.end, to));
    this.#fresh = false;
  }

  /** Draws what is new. Called once a frame. */
  frame(now: number): void {
    const trace = this.#trace;
    if (trace && !this.paused && !this.playhead.move(now, trace.end, trace.rate)) {
      this.#fresh = false;
    }
    if (trace && this.paused) this.playhead.jump(trace.end, trace.rate);
    if (!this.#fresh) this.#redraw();
    else if (trace && !this.paused) this.#advance(Math.floor(this.playhead.position) - 1);
  }

  /** Where a sample is drawn, in CSS pixels of the paper: for tests, and for a pointer. */
  locate(lead: number, sample: number): { x: number; y: number } | undefined {
    const [layout, trace] = [this.#layout, this.#trace];
    if (!layout || !trace || !this.#painter) return undefined;
    const x = layout.margin + this.#painter.column(sample, this.#edge());
    return { x: x / layout.density, y: layout.y(lead, trace.value(lead, sample)) / layout.density };
  }

  /** Samples on one sheet. */
  #sheet(): number {
    return this.#layout!.seconds * this.#trace!.rate;
  }

  /** Samples behind the pen in which no text stands yet: the pen would wipe it. */
  #wet(): number {
    const { pxPerSecond, density } = this.#layout!;
    return Math.ceil(MARK_WIDTH * density / pxPerSecond * this.#trace!.rate);
  }

  #edge(): number {
    return this.#still === undefined ? this.#left : this.#still - this.#sheet();
  }

  /** The oldest sample that the sweep has not erased. */
  #oldest(): number {
    const { erase, pxPerSecond } = this.#layout!;
    const ahead = erase / pxPerSecond * this.#trace!.rate;
    return Math.max(this.#trace!.start, Math.ceil(this.#drawn - this.#sheet() + ahead));
  }

  #redraw(): void {
    const trace = this.#trace;
    const rows = trace?.leads.length ?? 1;
    const density = globalThis.devicePixelRatio || 1;
    this.box.style.minHeight = `${Layout.minimum(rows, this.scale.calibration)}px`;
    const { width, height } = this.box.getBoundingClientRect();
    const [wide, high] = [Math.round(width * density), Math.round(height * density)];
    if (this.paper.width !== wide) this.paper.width = wide;
    if (this.paper.height !== high) this.paper.height = high;
    this.#tiles.resize(wide, high, density);
    this.#layout = new Layout(this.scale, wide, high, density, rows);
    this.#painter = new Painter(
      this.paper.getContext("2d", { alpha: false })!,
      this.#tiles,
      this.#layout,
      this.inks,
      trace,
    );
    this.#painter.drawPaper();
    this.#fresh = true;
    if (!trace) return;
    if (this.#still === undefined) {
      this.#drawn = Math.floor(this.playhead.position) - 1;
      this.#sweep(this.#oldest(), this.#drawn);
      this.#mark(this.#oldest(), this.#drawn - this.#wet(), this.#left);
    } else {
      const first = Math.max(trace.start, Math.ceil(this.#edge()));
      this.#painter.span(first, this.#still - 1, this.#edge());
      this.#mark(first, this.#still - 1, this.#edge());
    }
  }

  #advance(to: number): void {
    const from = this.#drawn;
    if (to <= from) return;
    // A pen that jumped over a whole sheet leaves nothing of it.
    if (to - from >= this.#sheet()) return this.#redraw();
    const painter = this.#painter!;
    const { pxPerSecond, erase } = this.#layout!;
    // Only ahead of the pen: wiping at its tip would take half of a steep stroke away.
    const ahead = (erase / pxPerSecond) * this.#trace!.rate;
    const width = (to - from) / this.#trace!.rate * pxPerSecond;
    painter.erase(painter.column(from + ahead, this.#left) - 1, width + 2);
    this.#drawn = to;
    this.#sweep(Math.max(from, this.#trace!.start), to);
    const wet = this.#wet();
    this.#mark(from - wet + 1, to - wet, this.#left);
  }

  /** Draws samples of a sweep, sheet by sheet. */
  #sweep(from: number, to: number): void {
    const sheet = this.#sheet();
    let start = from;
    while (start <= to) {
      const page = Math.floor((start - this.#left) / sheet);
      const left = this.#left + page * sheet;
      // At least one sample, however slow the stream: a sheet may hold less than that.
      const end = Math.max(start, Math.min(to, Math.ceil(left + sheet) - 1));
      if (start === Math.ceil(left)) this.#painter!.refit();
      this.#painter!.span(start, end, left);
      start = end + 1;
    }
  }

  #mark(from: number, to: number, left: number): void {
    this.marks.within(from, to, (mark) => this.#painter!.mark(mark, left));
  }
}
