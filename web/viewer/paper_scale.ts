/**
 * ECG paper in pixels: millimetres of paper, seconds and millivolts.
 *
 * A small box is 1 mm: 0.04 s at 25 mm/s and 0.1 mV at 10 mm/mV. CSS fixes 96 px to 25.4 mm; how
 * large that is on a given screen only a ruler can tell, so `calibration` corrects it.
 *
 * @module
 */

export const SPEEDS = [12.5, 25, 50] as const;
export const GAINS = [5, 10, 20] as const;

export interface PaperScale {
  /** Millimetres a second. */
  readonly speed: number;
  /** Millimetres a millivolt. */
  readonly gain: number;
  /** Real millimetres on this screen for one CSS millimetre are its inverse. 1 unless measured. */
  readonly calibration: number;
}

const CSS_PX_PER_MM = 96 / 25.4;

/** Room on the left for the calibration pulse: 2 mm of baseline, 5 mm of pulse, 3 mm of baseline. */
export const MARGIN_MM = 10;
export const PULSE_MM = { before: 2, width: 5 } as const;
/** Blank paper ahead of the pen. */
const ERASE_MM = 8;
/** A row is no lower than this, however many leads there are. */
const MIN_ROW_MM = 22;

/** Where things are on the canvas, in its own pixels. */
export class Layout {
  readonly pxPerMm: number;
  readonly margin: number;
  /** Width in which samples are drawn. */
  readonly plot: number;
  readonly rowHeight: number;
  readonly pxPerSecond: number;
  readonly pxPerMv: number;
  readonly erase: number;

  /** `width` and `height` are those of the canvas; `density` its pixels for one CSS pixel. */
  constructor(
    readonly scale: PaperScale,
    readonly width: number,
    readonly height: number,
    readonly density: number,
    readonly rows: number,
  ) {
    this.pxPerMm = CSS_PX_PER_MM * scale.calibration * density;
    this.margin = Math.round(MARGIN_MM * this.pxPerMm);
    this.plot = Math.max(1, width - this.margin);
    this.rowHeight = height / Math.max(1, rows);
    this.pxPerSecond = scale.speed * this.pxPerMm;
    this.pxPerMv = scale.gain * this.pxPerMm;
    this.erase = ERASE_MM * this.pxPerMm;
  }

  /** CSS pixels of height that so many rows need. */
  static minimum(rows: number, calibration: number): number {
    return Math.ceil(rows * MIN_ROW_MM * CSS_PX_PER_MM * calibration);
  }

  /** Seconds on one width of paper. */
  get seconds(): number {
    return this.plot / this.pxPerSecond;
  }

  /** Where 0 mV of a row is; on a line of the paper. */
  zero(row: number): number {
    // Hearts reach up further than down.
    const level = (row + 0.6) * this.rowHeight;
    return Math.round(Math.round(level / this.pxPerMm) * this.pxPerMm);
  }

  /** Where a value of a row is. */
  y(row: number, millivolts: number): number {
    return this.zero(row) - millivolts * this.pxPerMv;
  }
}
