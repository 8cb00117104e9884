/**
 * Numbers for people.
 *
 * @module
 */

const scaled = (value: number, units: readonly string[], step: number): string => {
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`.trim();
};

export const bytes = (value: number): string => scaled(value, ["B", "KiB", "MiB", "GiB"], 1024);
export const count = (value: number): string => scaled(value, ["", "k", "M", "G"], 1000);
export const time = (micros: number): string =>
  micros < 10 ? `${micros.toFixed(1)} µs` : scaled(micros, ["µs", "ms", "s"], 1000);

export function duration(seconds: number): string {
  const parts = [[86_400, "d"], [3600, "h"], [60, "min"]] as const;
  for (const [size, unit] of parts) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}
