/**
 * Figures in aligned columns, and the few statistics that go into them.
 *
 * @module
 */

/** Prints a table: the first column to the left, the others to the right. */
export function print(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  for (const row of all) {
    const cells = row.map((cell, i) => i ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!));
    console.log(`  ${cells.join("   ")}`.trimEnd());
  }
}

export function title(text: string, ...notes: readonly string[]): void {
  console.log(`\n${text}\n`);
  for (const note of notes) console.log(`  ${note}`);
  if (notes.length > 0) console.log();
}

/** The value below which this share of the values lies, at the nearest one. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))] ?? NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Three figures that matter, with a unit of thousands. */
export function short(value: number): string {
  const units = ["", " k", " M", " G"];
  let i = 0;
  for (; value >= 999.5 && i < units.length - 1; i++) value /= 1000;
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + units[i];
}
