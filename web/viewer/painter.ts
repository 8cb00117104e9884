/**
 * Draws on the two canvases: paper with names and calibration pulses once per layout, the trace a
 * few columns a frame.
 *
 * @module
 */
import type { Mark } from "./marks.ts";
import { type Layout, PULSE_MM } from "./paper_scale.ts";
import type { Tiles } from "./tiles.ts";
import type { Hole, Trace } from "./trace.ts";

/** Colours, as the style sheet has them. */
export interface Inks {
  readonly paper: string;
  readonly fine: string;
  readonly coarse: string;
  readonly trace: string;
  readonly text: string;
  readonly gap: string;
  readonly gapText: string;
  readonly beat: string;
  readonly alarm: string;
}

/** A lead that is no voltage has no calibration: it is fitted into half of its row. */
interface Fit {
  readonly middle: number;
  readonly pxPerUnit: number;
}

const FONT = "system-ui, sans-serif";
/** CSS pixels that a mark and its text take. */
export const MARK_WIDTH = 40;

export class Painter {
  #fits: (Fit | undefined)[] = [];

  constructor(
    private readonly paper: CanvasRenderingContext2D,
    private readonly pen: Tiles,
    private readonly layout: Layout,
    private readonly inks: Inks,
    private readonly trace: Trace | undefined,
  ) {}

  /** Paper, names and calibration pulses. */
  drawPaper(): void {
    const { paper, layout, inks } = this;
    const { width, height, pxPerMm, margin } = layout;
    paper.fillStyle = inks.paper;
    paper.fillRect(0, 0, width, height);
    // Below 2.5 px the fine lines would be a grey area.
    for (const every of pxPerMm >= 2.5 ? [1, 5] : [5]) {
      paper.fillStyle = every === 1 ? inks.fine : inks.coarse;
      const thick = every === 1 ? 1 : Math.max(1, Math.round(layout.density));
      const step = every * pxPerMm;
      for (let k = Math.ceil(-margin / step); margin + k * step < width; k++) {
        paper.fillRect(Math.round(margin + k * step), 0, thick, height);
      }
      for (let k = 0; k * step < height; k++) {
        paper.fillRect(0, Math.round(k * step), width, thick);
      }
    }
    this.trace?.leads.forEach((lead, row) => this.#name(row, lead.name, lead.units));
  }

  #name(row: number, name: string, units: string): void {
    const { paper, layout, inks } = this;
    const voltage = units === "mV";
    paper.font = `600 ${Math.round(13 * layout.density)}px ${FONT}`;
    paper.fillStyle = inks.text;
    paper.textBaseline = "top";
    const label = voltage ? name : `${name} (${units || "no unit"}, not to scale)`;
    paper.fillText(label, 4 * layout.density, layout.zero(row) + 4 * layout.density);
    if (voltage) this.#pulse(row);
  }

  /** 1 mV for 0.2 s at 25 mm/s: 10 mm high at 10 mm/mV. */
  #pulse(row: number): void {
    const { paper, layout, inks } = this;
    const up = PULSE_MM.before * layout.pxPerMm;
    const down = up + PULSE_MM.width * layout.pxPerMm;
    const [zero, one] = [layout.zero(row), layout.y(row, 1)];
    paper.beginPath();
    paper.moveTo(0, zero);
    for (const [x, y] of [[up, zero], [up, one], [down, one], [down, zero]] as const) {
      paper.lineTo(x, y);
    }
    paper.lineTo(layout.margin, zero);
    paper.strokeStyle = inks.trace;
    paper.lineWidth = 1.5 * layout.density;
    paper.stroke();
  }

  /** Wipes columns from `from`, measured from the margin, going on at the left. */
  erase(from: number, width: number): void {
    const { margin, plot } = this.layout;
    const [x, wide] = [Math.floor(from), Math.ceil(width)];
    this.pen.wipe(margin + x, margin + Math.min(plot, x + wide));
    if (x + wide > plot) this.pen.wipe(margin, margin + x + wide - plot);
  }

  /** Column of a sample, from the margin, on paper whose left edge is the sample `left`. */
  column(sample: number, left: number): number {
    const { pxPerSecond, plot } = this.layout;
    const x = (sample - left) / this.trace!.rate * pxPerSecond;
    return x - Math.floor(x / plot) * plot;
  }

  /** Draws the samples `from` to `to`, both included, on one sheet that begins with `left`. */
  span(from: number, to: number, left: number): void {
    const { layout, trace } = this;
    if (!trace || to < from) return;
    this.#shade(from, to, left);
    const step = layout.pxPerSecond / trace.rate;
    const start = layout.margin + (from - left) * step;
    const end = layout.margin + (to - left) * step;
    const soft = 2 * layout.density;
    this.pen.draw(start - soft, end + soft, (pen) => {
      pen.strokeStyle = this.inks.trace;
      pen.lineWidth = 1.4 * layout.density;
      pen.lineJoin = "round";
      pen.lineCap = "round";
      pen.beginPath();
      trace.leads.forEach((lead, row) => {
        const fit = lead.units === "mV" ? undefined : this.#fit(row, from, to);
        const zero = layout.zero(row);
        const scale = fit?.pxPerUnit ?? layout.pxPerMv;
        const middle = fit?.middle ?? 0;
        let down = false;
        for (let sample = from; sample <= to; sample++) {
          const value = trace.value(row, sample);
          if (value !== value) {
            down = false;
            continue;
          }
          const x = layout.margin + (sample - left) * step;
          const y = zero - (value - middle) * scale;
          if (down) pen.lineTo(x, y);
          else pen.moveTo(x, y);
          down = true;
        }
      });
      pen.stroke();
    });
  }

  /** What is known to be missing between two samples of one sheet, the first one shaded before. */
  #shade(from: number, to: number, left: number): void {
    const { layout, inks, trace } = this;
    const step = layout.pxPerSecond / trace!.rate;
    for (let i = trace!.gaps.length - 1; i >= 0; i--) {
      const gap = trace!.gaps[i]!;
      if (gap.to < from) break;
      const start = Math.max(gap.from, from + 1);
      const end = Math.min(Math.max(gap.to, gap.from + 1), to + 1);
      if (start >= end) continue;
      const x = layout.margin + (start - left) * step;
      // A gap of unknown length is a line.
      const width = Math.max(layout.density, (end - start) * step);
      this.pen.draw(x, x + width, (pen) => {
        pen.fillStyle = inks.gap;
        pen.fillRect(x, 0, width, layout.height);
      });
      // Once the pen is past it: before, the paper ahead of the pen is wiped.
      if (gap.to <= to) this.#gapLabel(gap, left, step);
    }
  }

  #gapLabel({ from, to }: Hole, left: number, step: number): void {
    const { paper, layout, inks } = this;
    const font = `${Math.round(12 * layout.density)}px ${FONT}`;
    const label = `${to - from} lost`;
    const space = 3 * layout.density;
    const x = (from - left) * step;
    paper.font = font;
    const { width } = paper.measureText(label);
    if (x < 0 || (to - from) * step < width + 2 * space) return;
    const at = layout.margin + x + space;
    this.pen.draw(at, at + width, (pen) => {
      pen.font = font;
      pen.fillStyle = inks.gapText;
      pen.textBaseline = "bottom";
      pen.fillText(label, at, layout.height - space);
    });
  }

  /** A beat or an alarm, at the column of its sample. */
  mark(mark: Mark, left: number): void {
    const { layout, inks } = this;
    const { density } = layout;
    const x = layout.margin + this.column(mark.sample, left);
    const high = mark.kind === "beat" ? 5 * density : layout.height;
    this.pen.draw(x - density, x + MARK_WIDTH * density, (pen) => {
      pen.font = `600 ${Math.round(12 * density)}px ${FONT}`;
      pen.textBaseline = "top";
      pen.fillStyle = mark.kind === "beat" ? inks.beat : inks.alarm;
      pen.fillRect(x - density / 2, 0, density, high);
      pen.fillText(mark.text, x + 3 * density, 2 * density);
    });
  }

  /** Least and greatest value of a lead without a calibration, over what is there. */
  #fit(lead: number, from: number, to: number): Fit {
    const known = this.#fits[lead];
    if (known) return known;
    const trace = this.trace!;
    let least = Infinity;
    let most = -Infinity;
    const seen = Math.max(trace.start, Math.min(from, trace.end - 10 * trace.rate));
    for (let sample = Math.floor(seen); sample <= Math.max(to, trace.end - 1); sample++) {
      const value = trace.value(lead, sample);
      if (value < least) least = value;
      if (value > most) most = value;
    }
    const range = most > least ? most - least : 1;
    const fit = {
      middle: most >= least ? (most + least) / 2 : 0,
      pxPerUnit: this.layout.rowHeight / 2 / range,
    };
    this.#fits[lead] = fit;
    return fit;
  }

  /** Fits leads without a calibration anew: at the start of a sheet. */
  refit(): void {
    this.#fits = [];
  }
}
