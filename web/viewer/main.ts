/**
 * The ECG viewer: `/viewer#stream=NAME&token=TOKEN`. The part after `#` never leaves the browser.
 *
 * @module
 */
import { Chart } from "./chart.ts";
import { Controls, inks } from "./controls.ts";
import { element } from "../common/dom.ts";
import { readHash } from "../common/token.ts";
import { Feed, type Place } from "./feed.ts";
import { Readings } from "./readings.ts";

function start(place: Place): void {
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
  const feed = new Feed(place, chart, readings);
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

const { hash, token } = readHash();
const stream = hash.get("stream");
if (stream) start({ stream, token });
else {
  const dialog = element<HTMLDialogElement>("open");
  dialog.showModal();
  dialog.addEventListener("close", () => {
    const token = element<HTMLInputElement>("open-token").value.trim();
    const stream = element<HTMLInputElement>("open-stream").value.trim();
    location.hash = new URLSearchParams({ stream, ...(token ? { token } : {}) }).toString();
  });
}
addEventListener("hashchange", () => {
  if (location.hash.length > 1) location.reload();
});
