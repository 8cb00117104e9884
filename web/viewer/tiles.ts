/**
 * A wide canvas made of narrow ones. A browser hands a canvas on whole, however little of it changed;
 * the pen changes a few columns a frame, so only the tile under it is handed on.
 *
 * @module
 */

const TILE_CSS_PX = 160;

interface Tile {
  /** Where it begins, in pixels of the whole. */
  readonly left: number;
  readonly width: number;
  readonly pen: CanvasRenderingContext2D;
}

export class Tiles {
  #tiles: Tile[] = [];
  #height = 0;

  constructor(private readonly box: HTMLElement) {}

  /** Makes tiles for so many canvas pixels, all blank. */
  resize(width: number, height: number, density: number): void {
    const step = Math.round(TILE_CSS_PX * density);
    const count = Math.ceil(width / step);
    this.#height = height;
    while (this.box.childElementCount > count) this.box.lastElementChild!.remove();
    while (this.box.childElementCount < count) {
      this.box.append(document.createElement("canvas"));
    }
    this.#tiles = Array.from(
      this.box.children as HTMLCollectionOf<HTMLCanvasElement>,
      (tile, i) => {
        const left = i * step;
        const wide = Math.min(step, width - left);
        // Setting a size wipes, an equal one too.
        tile.width = wide;
        tile.height = height;
        tile.style.left = `${left / density}px`;
        tile.style.width = `${wide / density}px`;
        const pen = tile.getContext("2d", { desynchronized: true })!;
        pen.translate(-left, 0);
        return { left, width: wide, pen };
      },
    );
  }

  /** Draws something that lies between two columns. Called once for each tile it touches. */
  draw(from: number, to: number, run: (pen: CanvasRenderingContext2D) => void): void {
    for (const { left, width, pen } of this.#tiles) {
      if (left < to && left + width > from) run(pen);
    }
  }

  /** Wipes the columns `from` to `to`. */
  wipe(from: number, to: number): void {
    this.draw(from, to, (pen) => pen.clearRect(from, 0, to - from, this.#height));
  }
}
