/**
 * The ECG viewer: `/viewer#stream=NAME&token=TOKEN`. The part after `#` never leaves the browser.
 *
 * @module
 */
import { ClientError } from "../../src/client/client_error.ts";
import { Chart } from "./chart.ts";
import { Controls, inks } from "./controls.ts";
import { element, write } from "../common/dom.ts";
import { askToken, readHash } from "../common/token.ts";
import { Feed, type Place } from "./feed.ts";
import { Readings } from "./readings.ts";

/** Around the paper; not there while there is nothing to watch. */
const PARTS = ["readings", "box", "controls"];

function show(watching: boolean): void {
  for (const id of PARTS) element(id).hidden = !watching;
  element("ask").hidden = watching;
}

function start(place: Place): void {
  show(true);
  element("state").hidden = false;
  write(element("state"), "connecting");
  element("title").textContent = place.stream;
  document.title = `${place.stream} · ECG viewer`;
  const chart = new Chart(
    element("box"),
    element<HTMLCanvasElement>("paper"),
    element("pen"),
    { speed: 25, gain: 10, calibration: 1 },
    inks(),
  );
  const controls = new Controls(chart);
  const readings = new Readings(chart);
  const feed = new Feed(place, chart, readings, () => void letIn(place));
  // For tests and for the curious: where is which sample?
  Object.assign(globalThis, { viewer: { chart, feed } });

  const frame = (now: number): void => {
    chart.frame(now);
    readings.frame(now);
    controls.frame();
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

async function letIn({ token }: Place): Promise<void> {
  show(false);
  write(element("state"), "not let in");
  await askToken(element("ask"), token);
  location.reload();
}

/** Asks what to watch. */
function choose(stream = "demo", unfit = ""): void {
  show(false);
  element("state").hidden = true;
  write(element("unfit"), unfit);
  element("unfit").hidden = unfit === "";
  const field = element<HTMLInputElement>("stream");
  field.value = stream;
  field.select();
  field.form!.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = new URLSearchParams({ stream: field.value }).toString();
  });
}

const { hash, token } = readHash();
const stream = hash.get("stream");
try {
  if (stream) start({ stream, token });
  else choose();
} catch (error) {
  if (!(error instanceof ClientError)) throw error;
  choose(stream!, error.message);
}
addEventListener("hashchange", () => {
  if (location.hash.length > 1) location.reload();
});
