/**
 * Buttons, keys, wheel and finger.
 *
 * @module
 */
import type { Chart } from "./chart.ts";
import { element, write } from "../common/dom.ts";
import type { Inks } from "./painter.ts";
import { GAINS, SPEEDS } from "./paper_scale.ts";

const KEPT = "blaze-relay viewer";

/** What the viewer remembers on this device. */
interface Settings {
  speed: number;
  gain: number;
  calibration: number;
  theme: "" | "light" | "dark";
}

export class Controls {
  readonly #settings: Settings;

  constructor(private readonly chart: Chart) {
    this.#settings = remembered();
    this.#apply();
    this.#buttons();
    this.#ruler();
    this.#pointer();
    addEventListener("keydown", (event) => this.#key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#apply());
  }

  /** Called once a frame. */
  frame(): void {
    const { paused } = this.chart;
    const pause = element("pause");
    write(pause, paused ? "Go on" : "Pause");
    if (pause.ariaPressed !== String(paused)) pause.ariaPressed = String(paused);
    if (element("live").hidden === paused) element("live").hidden = !paused;
  }

  #buttons(): void {
    const click = (id: string, run: () => void) => element(id).addEventListener("click", run);
    click("pause", () => this.#toggle());
    click("back", () => this.chart.scroll(-1));
    click("forward", () => this.chart.scroll(1));
    click("live", () => this.chart.resume());
    click("theme", () => this.#theme());
    click("help", () => element<HTMLDialogElement>("keys").showModal());
    click("calibrate", () => element<HTMLDialogElement>("ruler").showModal());
    for (const name of ["speed", "gain"] as const) {
      const select = element<HTMLSelectElement>(name);
      select.addEventListener("change", () => this.#set({ [name]: Number(select.value) }));
    }
  }

  #ruler(): void {
    const factor = element<HTMLInputElement>("factor");
    factor.addEventListener("input", () => this.#set({ calibration: Number(factor.value) }));
    element("factor-reset").addEventListener("click", () => this.#set({ calibration: 1 }));
  }

  /** Wheel and finger leaf; a tap pauses. */
  #pointer(): void {
    const box = element("box");
    const seconds = (px: number) => {
      const layout = this.chart.layout;
      return layout ? px * layout.density / layout.pxPerSecond : 0;
    };
    box.addEventListener("wheel", (event) => {
      const px = event.deltaX || (event.shiftKey ? event.deltaY : 0);
      if (px === 0) return;
      event.preventDefault();
      this.chart.scroll(seconds(px));
    }, { passive: false });
    let last: number | undefined;
    box.addEventListener("pointerdown", (event) => {
      last = event.clientX;
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      if (last === undefined || Math.abs(event.clientX - last) < 3) return;
      this.chart.scroll(seconds(last - event.clientX));
      last = event.clientX;
    });
    const up = () => last = undefined;
    box.addEventListener("pointerup", up);
    box.addEventListener("pointercancel", up);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
      return;
    }
    const { target, key } = event;
    if (target instanceof HTMLSelectElement || target instanceof HTMLInputElement) return;
    // On a button the space bar presses it.
    if (key === " " && target instanceof HTMLButtonElement) return;
    const { chart } = this;
    const sheet = chart.layout?.seconds ?? 1;
    const actions: Readonly<Record<string, () => void>> = {
      " ": () => this.#toggle(),
      ArrowLeft: () => chart.scroll(event.shiftKey ? -sheet : -1),
      ArrowRight: () => chart.scroll(event.shiftKey ? sheet : 1),
      Home: () => chart.scroll(-Infinity),
      End: () => chart.resume(),
      "1": () => this.#set({ speed: SPEEDS[0] }),
      "2": () => this.#set({ speed: SPEEDS[1] }),
      "3": () => this.#set({ speed: SPEEDS[2] }),
      "+": () => this.#set({ gain: next(this.#settings.gain, 1) }),
      "=": () => this.#set({ gain: next(this.#settings.gain, 1) }),
      "-": () => this.#set({ gain: next(this.#settings.gain, -1) }),
      c: () => element<HTMLDialogElement>("ruler").showModal(),
      t: () => this.#theme(),
      "?": () => element<HTMLDialogElement>("keys").showModal(),
    };
    const action = actions[key.length === 1 ? key.toLowerCase() : key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  #toggle(): void {
    if (this.chart.paused) this.chart.resume();
    else this.chart.pause();
  }

  #theme(): void {
    const dark = this.#settings.theme === "dark" ||
      (this.#settings.theme === "" && matchMedia("(prefers-color-scheme: dark)").matches);
    this.#set({ theme: dark ? "light" : "dark" });
  }

  #set(changes: Partial<Settings>): void {
    Object.assign(this.#settings, changes);
    localStorage.setItem(KEPT, JSON.stringify(this.#settings));
    this.#apply();
  }

  #apply(): void {
    const { speed, gain, calibration, theme } = this.#settings;
    element<HTMLSelectElement>("speed").value = String(speed);
    element<HTMLSelectElement>("gain").value = String(gain);
    element<HTMLInputElement>("factor").value = String(calibration);
    write(element("factor-shown"), calibration.toFixed(3));
    element("bar").style.width = `${85.6 * calibration}mm`;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    this.chart.setScale({ speed, gain, calibration });
    this.chart.setInks(inks());
  }
}

/** The colours that the style sheet has now. */
export function inks(): Inks {
  const style = getComputedStyle(document.documentElement);
  const ink = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    paper: ink("paper"),
    fine: ink("fine"),
    coarse: ink("coarse"),
    trace: ink("trace"),
    text: ink("ink"),
    gap: ink("gap"),
    gapText: ink("gap-text"),
    beat: ink("beat"),
    alarm: ink("alarm"),
  };
}

function next(gain: number, step: 1 | -1): number {
  const at = GAINS.findIndex((one) => one === gain) + step;
  return GAINS[Math.max(0, Math.min(GAINS.length - 1, at))]!;
}

function remembered(): Settings {
  const settings: Settings = { speed: 25, gain: 10, calibration: 1, theme: "" };
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}") as Partial<Settings>;
    if (SPEEDS.some((one) => one === kept.speed)) settings.speed = kept.speed!;
    if (GAINS.some((one) => one === kept.gain)) settings.gain = kept.gain!;
    const { calibration, theme } = kept;
    if (typeof calibration === "number" && calibration >= 0.5 && calibration <= 2) {
      settings.calibration = calibration;
    }
    if (theme === "light" || theme === "dark") settings.theme = theme;
  } catch {
    // Somebody else's text under our name: begin anew.
  }
  return settings;
}
