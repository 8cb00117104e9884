/**
 * The numbers of this relay, as text for Prometheus (exposition format 0.0.4) and as a snapshot for
 * the dashboard.
 *
 * @module
 */
import { blazeDialect, ecgDialect } from "./dialects.ts";
import type { Histogram } from "./histogram.ts";
import { type Flow, Meter } from "./meter.ts";

/** What is read when asked for. */
export interface Gauges {
  channels(): number;
  /** Bytes of memory that the process holds; undefined where the runtime does not say. */
  memory(): number | undefined;
}

/** One type of message, for people. Sizes in bytes, times in microseconds. */
export interface TypeSnapshot {
  readonly type: string;
  readonly received: number;
  readonly sent: number;
  readonly bytesReceived: number;
  readonly size: Spread;
  readonly micros: Spread;
}

export interface Spread {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface ProtocolSnapshot {
  readonly protocol: string;
  readonly links: number;
  readonly linksEver: number;
  readonly types: readonly TypeSnapshot[];
  readonly faults: Readonly<Record<string, number>>;
  readonly closes: Readonly<Record<string, number>>;
  /** Error messages sent for each message received. */
  readonly errorRate: number;
  /** Compressed bytes for each byte inflated; null while there were none. */
  readonly compression: number | null;
  readonly dropped: number;
}

export interface Snapshot {
  readonly uptimeSeconds: number;
  readonly channels: number;
  readonly memoryBytes: number | null;
  /** Sessions that failed: faults of this relay. Their links were closed with 1011. */
  readonly sessionFaults: number;
  readonly protocols: readonly ProtocolSnapshot[];
}

/** Edges of the histograms that Prometheus gets, powers of two as the buckets here are. */
const SIZE_EDGES = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];
const MICRO_EDGES = [4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

export class Metrics {
  readonly ecg: Meter;
  readonly blaze: Meter;
  readonly #began: number;
  #sessionFaults = 0;
  /** What happened to logs: opened, entries appended, appends refused since there was no room. */
  readonly #logs = { opened: 0, appended: 0, full: 0 };

  /**
   * `now` in milliseconds, on a clock that never runs back. `slowMs`: time on one message beyond
   * which the log says so.
   */
  constructor(
    private readonly now: () => number,
    private readonly gauges: Gauges,
    slowMs = Infinity,
  ) {
    this.#began = now();
    this.ecg = new Meter(ecgDialect, now, slowMs);
    this.blaze = new Meter(blazeDialect, now, slowMs);
  }

  /** A session failed, which is a fault of this relay's. */
  sessionFailed(): void {
    this.#sessionFaults++;
  }

  logOpened(): void {
    this.#logs.opened++;
  }

  logAppended(): void {
    this.#logs.appended++;
  }

  logFull(): void {
    this.#logs.full++;
  }

  snapshot(): Snapshot {
    return {
      uptimeSeconds: (this.now() - this.#began) / 1000,
      channels: this.gauges.channels(),
      memoryBytes: this.gauges.memory() ?? null,
      sessionFaults: this.#sessionFaults,
      protocols: [this.ecg, this.blaze].map(protocolSnapshot),
    };
  }

  /** Text for Prometheus. */
  text(): string {
    const out = new Exposition();
    const meters = [this.ecg, this.blaze];
    const each = (write: (meter: Meter, protocol: string) => void) => {
      for (const meter of meters) write(meter, `protocol="${meter.dialect.name}"`);
    };
    out.family("links", "gauge", "Links that are open.");
    each((meter, label) => out.value("links", label, meter.links));
    out.family("links_total", "counter", "Links that were accepted.");
    each((meter, label) => out.value("links_total", label, meter.linksEver));
    out.family("messages_total", "counter", "Messages, each delivery counted.");
    each((meter, label) =>
      flows(
        meter,
        (type, direction, { count }) =>
          out.value("messages_total", `${label},type="${type}",direction="${direction}"`, count),
      )
    );
    out.family("bytes_total", "counter", "Bytes of messages, each message counted once.");
    each((meter, label) =>
      flows(
        meter,
        (type, direction, { totalBytes }) =>
          out.value("bytes_total", `${label},type="${type}",direction="${direction}"`, totalBytes),
      )
    );
    out.family("message_bytes", "histogram", "Sizes of a sample of the messages.");
    each((meter, label) =>
      flows(meter, (type, direction, { bytes }) =>
        out.histogram(
          "message_bytes",
          `${label},type="${type}",direction="${direction}"`,
          bytes,
          SIZE_EDGES,
          1,
        ))
    );
    out.family("message_seconds", "histogram", "Time spent on a sample of the messages that came.");
    each((meter, label) =>
      flows(meter, (type, direction, { micros }) => {
        if (direction === "received") {
          out.histogram("message_seconds", `${label},type="${type}"`, micros, MICRO_EDGES, 1e-6);
        }
      })
    );
    out.family("errors_total", "counter", "Error messages sent, by code.");
    each((meter, label) => {
      for (const [code, count] of meter.faults) {
        out.value("errors_total", `${label},code="${codeName(code)}"`, count);
      }
    });
    out.family("closes_total", "counter", "Links that ended, by close code.");
    each((meter, label) => {
      for (const [code, count] of meter.closes) {
        out.value("closes_total", `${label},code="${codeName(code)}"`, count);
      }
    });
    out.family("compressed_bytes_total", "counter", "Compressed payloads that came.");
    out.value("compressed_bytes_total", 'protocol="ecg"', this.ecg.compressedBytes);
    out.family("inflated_bytes_total", "counter", "The same payloads inflated.");
    out.value("inflated_bytes_total", 'protocol="ecg"', this.ecg.inflatedBytes);
    out.family("dropped_total", "counter", "Messages left out for slow readers.");
    each((meter, label) => out.value("dropped_total", label, meter.dropped));
    out.family("session_faults_total", "counter", "Sessions that failed: faults of this relay.");
    out.value("session_faults_total", "", this.#sessionFaults);
    out.family("logs_total", "counter", "Logs opened, entries appended, appends without room.");
    for (const [event, count] of Object.entries(this.#logs)) {
      out.value("logs_total", `event="${event}"`, count);
    }
    const { channels, memoryBytes, uptimeSeconds } = this.snapshot();
    out.family("channels", "gauge", "Channels that somebody is in.");
    out.value("channels", "", channels);
    out.family("uptime_seconds", "gauge", "Seconds since the start.");
    out.value("uptime_seconds", "", uptimeSeconds);
    if (memoryBytes !== null) {
      out.family("memory_bytes", "gauge", "Memory that the process holds.");
      out.value("memory_bytes", "", memoryBytes);
    }
    return out.text;
  }
}

function flows(
  meter: Meter,
  visit: (type: string, direction: "received" | "sent", flow: Flow) => void,
): void {
  for (const direction of ["received", "sent"] as const) {
    meter[direction].forEach((flow, type) => {
      if (flow) visit(meter.dialect.typeName(type), direction, flow);
    });
  }
}

function protocolSnapshot(meter: Meter): ProtocolSnapshot {
  const types: TypeSnapshot[] = [];
  let [messages, faults] = [0, 0];
  for (let type = 0; type < 256; type++) {
    const [received, sent] = [meter.received[type], meter.sent[type]];
    if (!received && !sent) continue;
    messages += received?.count ?? 0;
    types.push({
      type: meter.dialect.typeName(type),
      received: received?.count ?? 0,
      sent: sent?.count ?? 0,
      bytesReceived: received?.totalBytes ?? 0,
      size: spread((received ?? sent)!.bytes),
      micros: spread((received ?? sent)!.micros),
    });
  }
  for (const count of meter.faults.values()) faults += count;
  return {
    protocol: meter.dialect.name,
    links: meter.links,
    linksEver: meter.linksEver,
    types,
    faults: named(meter.faults),
    closes: named(meter.closes),
    errorRate: messages && faults / messages,
    compression: meter.inflatedBytes ? meter.compressedBytes / meter.inflatedBytes : null,
    dropped: meter.dropped,
  };
}

const spread = (histogram: Histogram): Spread => ({
  mean: histogram.mean,
  p50: histogram.quantile(0.5),
  p95: histogram.quantile(0.95),
  p99: histogram.quantile(0.99),
  max: histogram.max,
});

const named = (counts: ReadonlyMap<number, number>): Record<string, number> =>
  Object.fromEntries([...counts].map(([code, count]) => [codeName(code), count]));

/** ECG's codes are known in hexadecimal, close codes in decimal. */
const codeName = (code: number): string =>
  code < 0 ? "other" : code >= 0x100 && code < 1000 ? `0x${code.toString(16)}` : String(code);

/** Lines of the exposition format. */
class Exposition {
  text = "";

  family(name: string, type: "counter" | "gauge" | "histogram", help: string): void {
    this.text += `# HELP blaze_relay_${name} ${help}\n# TYPE blaze_relay_${name} ${type}\n`;
  }

  value(name: string, labels: string, value: number): void {
    this.text += `blaze_relay_${name}${labels && `{${labels}}`} ${value}\n`;
  }

  histogram(
    name: string,
    labels: string,
    histogram: Histogram,
    edges: readonly number[],
    unit: number,
  ): void {
    for (const edge of edges) {
      const le = unit === 1 ? edge : Number((edge * unit).toPrecision(6));
      this.value(`${name}_bucket`, `${labels},le="${le}"`, histogram.upTo(edge));
    }
    this.value(`${name}_bucket`, `${labels},le="+Inf"`, histogram.count);
    this.value(`${name}_sum`, labels, histogram.sum * unit);
    this.value(`${name}_count`, labels, histogram.count);
  }
}
