/**
 * What the viewer costs: main-thread work for each frame, out of a browser trace, with eight leads at
 * 500 Hz and 25 mm/s.
 *
 * @module
 */
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import { startRelay } from "../main.ts";
import { Heart } from "../tools/formats/heart.ts";
import { heartSource, play } from "../tools/player.ts";
import { chromiumPath, launch } from "../test/kit/chromium.ts";
import { print, title } from "./table.ts";

/** An event of a trace, times in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  /** The same without the time in which the thread did not run. */
  readonly tdur?: number;
  readonly args: Record<string, unknown>;
}

export interface ViewerFigures {
  readonly leads: number;
  readonly rate: number;
  readonly frames: number;
  /** Milliseconds of main-thread work from one frame to the next, by the clock. */
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  /** The same as processor time: on a busy machine the clock also counts waiting for a core. */
  readonly cpuP50: number;
  readonly cpuP95: number;
}

/** Measures for so many seconds, after three to settle. */
export async function viewerFrames(seconds = 20, leads = 8, rate = 500): Promise<ViewerFigures> {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" });
  const stop = new AbortController();
  const client = EcgClient.open({ url: relay.url, stream: "bench" });
  const options = { rate, leads, bpm: 72, noise: 0.02, arrhythmia: "pvc" as const, seed: 1 };
  const playing = play(client, heartSource(new Heart(options)), {
    speed: 1,
    chunk: 0.1,
    signal: stop.signal,
  });
  let events: TraceEvent[] = [];
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(`${relay.url}/viewer#stream=bench`);
    await page.waitForTimeout(3_000);
    await browser.startTracing(page, {
      categories: ["devtools.timeline", "disabled-by-default-devtools.timeline"],
    });
    await page.waitForTimeout(1000 * seconds);
    const trace = JSON.parse((await browser.stopTracing()).toString());
    events = trace.traceEvents;
  } finally {
    await browser.close();
    stop.abort();
    await playing;
    client.close();
    await relay.stop();
  }
  const wall = perFrame(events, ({ dur = 0 }) => dur);
  const cpu = perFrame(events, ({ tdur = 0 }) => tdur);
  return {
    leads,
    rate,
    frames: wall.length,
    p50: at(wall, 0.5),
    p95: at(wall, 0.95),
    max: at(wall, 1),
    cpuP50: at(cpu, 0.5),
    cpuP95: at(cpu, 0.95),
  };
}

const at = (sorted: readonly number[], part: number): number =>
  Math.round(100 * sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!) / 100;

/** Milliseconds of tasks on the page's main thread between animation frames, sorted. */
function perFrame(
  events: readonly TraceEvent[],
  micros: (event: TraceEvent) => number,
): number[] {
  const frames = events.filter(({ name }) => name === "FireAnimationFrame");
  // The renderer with the most frames is the page.
  const counts = new Map<string, number>();
  const thread = ({ pid, tid }: TraceEvent) => `${pid}:${tid}`;
  for (const event of frames) counts.set(thread(event), (counts.get(thread(event)) ?? 0) + 1);
  const [main] = [...counts].sort((a, b) => b[1] - a[1])[0]!;
  const starts = frames.filter((event) => thread(event) === main).map(({ ts }) => ts).sort((a, b) =>
    a - b
  );
  const tasks = events.filter((event) =>
    thread(event) === main && event.ph === "X" && event.name.endsWith("RunTask")
  ).sort((a, b) => a.ts - b.ts);
  const work = new Array<number>(Math.max(0, starts.length - 1)).fill(0);
  let frame = 0;
  for (const task of tasks) {
    while (frame < work.length && starts[frame + 1]! <= task.ts) frame++;
    if (frame < work.length && task.ts >= starts[0]!) work[frame]! += micros(task) / 1000;
  }
  return work.sort((a, b) => a - b);
}

/** Prints the figures; does nothing where there is no browser. */
export async function viewer(): Promise<void> {
  title("Viewer, milliseconds of main-thread work for each frame");
  if (chromiumPath === undefined) return print(["no Chromium here"], []);
  const { leads, rate, frames, p50, p95, max, cpuP50, cpuP95 } = await viewerFrames();
  print([`${leads} leads at ${rate} Hz, ${frames} frames`, "p50", "p95", "max"], [
    ["by the clock", ...[p50, p95, max].map((ms) => ms.toFixed(2))],
    ["processor time", ...[cpuP50, cpuP95].map((ms) => ms.toFixed(2)), ""],
  ]);
}
