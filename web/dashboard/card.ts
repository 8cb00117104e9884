/**
 * One protocol on the dashboard: its numbers, a table of its types, and a line of messages a second.
 *
 * @module
 */
import { write } from "../common/dom.ts";
import { bytes, count, time } from "./units.ts";

interface Spread {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** As `GET /metrics.json` has it. */
export interface ProtocolNumbers {
  readonly protocol: string;
  readonly links: number;
  readonly linksEver: number;
  readonly types: readonly {
    readonly type: string;
    readonly received: number;
    readonly sent: number;
    readonly bytesReceived: number;
    readonly size: Spread;
    readonly micros: Spread;
  }[];
  readonly faults: Readonly<Record<string, number>>;
  readonly closes: Readonly<Record<string, number>>;
  readonly errorRate: number;
  readonly compression: number | null;
  readonly dropped: number;
}

const HEADINGS = [
  ...["type", "received", "sent", "size, mean", "p50", "p95", "p99"],
  ...["time, p50", "p95", "p99", "max"],
];
/** The most points of the line, one a second. Fewer fill its width, too. */
const POINTS = 120;

export class ProtocolCard {
  readonly root = document.createElement("section");
  readonly #facts = document.createElement("dl");
  readonly #line = document.createElement("canvas");
  readonly #span = document.createElement("p");
  readonly #body = document.createElement("tbody");
  readonly #rates: number[] = [];
  #before: { messages: number; seconds: number } | undefined;

  constructor(protocol: string) {
    const title = document.createElement("h2");
    title.textContent = protocol === "ecg" ? "ECG" : "Blaze";
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const heading of HEADINGS) {
      const cell = document.createElement("th");
      cell.textContent = heading;
      cell.scope = "col";
      head.append(cell);
    }
    table.append(this.#body);
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.append(table);
    this.#line.role = "img";
    this.#span.className = "span";
    this.root.append(title, this.#facts, this.#line, this.#span, scroll);
  }

  show(numbers: ProtocolNumbers, seconds: number): void {
    const messages = numbers.types.reduce((sum, { received }) => sum + received, 0);
    const before = this.#before;
    if (before && seconds > before.seconds) {
      this.#rates.push(Math.max(0, messages - before.messages) / (seconds - before.seconds));
      if (this.#rates.length > POINTS) this.#rates.shift();
    }
    this.#before = { messages, seconds };
    const rate = this.#rates.at(-1) ?? 0;
    this.#line.ariaLabel = `${rate.toFixed(1)} messages a second`;
    const most = Math.max(0, ...this.#rates).toFixed(1);
    write(this.#span, `messages/s: the last ${this.#rates.length} s, at most ${most}`);
    this.#draw();
    const { compression, faults, closes } = numbers;
    this.#list([
      ["links", `${numbers.links} of ${numbers.linksEver}`],
      ["messages/s", rate.toFixed(1)],
      ["compressed to", compression === null ? "–" : `${(100 * compression).toFixed(0)} %`],
      ["errors", `${(100 * numbers.errorRate).toFixed(2)} %${codes(faults)}`],
      ["closed", codes(closes) || " –"],
      ["dropped", String(numbers.dropped)],
    ]);
    this.#rows(numbers);
  }

  #list(facts: readonly (readonly [string, string])[]): void {
    facts.forEach(([name, value], i) => {
      let row = this.#facts.children[i];
      if (!row) {
        row = document.createElement("div");
        row.append(document.createElement("dt"), document.createElement("dd"));
        this.#facts.append(row);
      }
      write(row.children[0] as HTMLElement, name);
      write(row.children[1] as HTMLElement, value.trim());
    });
  }

  #rows({ types }: ProtocolNumbers): void {
    types.forEach(({ type, received, sent, size, micros }, i) => {
      const row = this.#body.rows[i] ?? this.#body.insertRow();
      const texts = [
        ...[type, count(received), count(sent), bytes(size.mean)],
        ...[bytes(size.p50), bytes(size.p95), bytes(size.p99)],
        // What only the relay sends takes no time of its own.
        ...(received === 0
          ? ["–", "–", "–", "–"]
          : [time(micros.p50), time(micros.p95), time(micros.p99), time(micros.max)]),
      ];
      texts.forEach((text, column) => write(row.cells[column] ?? row.insertCell(), text));
    });
  }

  #draw(): void {
    const density = globalThis.devicePixelRatio || 1;
    const [width, height] = [this.#line.clientWidth * density, this.#line.clientHeight * density];
    this.#line.width = width;
    this.#line.height = height;
    const pen = this.#line.getContext("2d")!;
    const [most, last] = [Math.max(1, ...this.#rates), this.#rates.length - 1];
    pen.strokeStyle = getComputedStyle(this.#line).getPropertyValue("--line");
    pen.lineWidth = 1.5 * density;
    pen.beginPath();
    this.#rates.forEach((rate, i) => {
      pen.lineTo(width * i / last, height - 2 * density - (height - 4 * density) * rate / most);
    });
    pen.stroke();
  }
}

const codes = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts).map(([code, times]) => ` ${code}×${times}`).join(",");
