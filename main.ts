/**
 * The relay as a program: the only place that chooses runtime and settings.
 *
 * @module
 */
import process from "node:process";
import { openAdmission, tokenAdmission } from "./src/admission.ts";
import { Close } from "./src/close.ts";
import { type Config, ConfigError, readConfig, type StoreConfig, usage } from "./src/config.ts";
import { type Limits, limits } from "./src/limits.ts";
import type { Accept } from "./src/link/link.ts";
import { log, logToConsole, printable } from "./src/log.ts";
import { listenBmp } from "./src/bmp/listen.ts";
import { BmpServer, type BmpServerOptions } from "./src/bmp/bmp_server.ts";
import { bun } from "./src/runtime/bun.ts";
import { ListenError, listening } from "./src/runtime/listening.ts";
import { deno } from "./src/runtime/deno.ts";
import { host } from "./src/host.ts";
import { openSqlite } from "./src/store/sqlite.ts";
import { StoreError } from "./src/store/sqlite_errors.ts";
import { sweeping } from "./src/store/sweeping.ts";
import type { LogStore } from "./src/store/store.ts";
import { assemble } from "./routes/assemble.ts";

/** A relay that serves. */
export interface Relay {
  readonly runtime: string;
  readonly hostname: string;
  readonly port: number;
  /** `http://…`, without a slash at the end. */
  readonly url: string;
  /** Where BMP is spoken over TCP. */
  readonly bmpPort?: number;
  /** Sends everybody away with 1012, spread over `ms` milliseconds, then stops. */
  stop(ms?: number): Promise<void>;
}

/** What the last words may take once everybody has been told to go. */
const GRACE_MS = 1_000;

/** What a program that embeds a relay may change. */
export interface RelayOptions {
  readonly limits?: Partial<Limits>;
  /** Stands between every link and its session, and so sees what the relay sees. */
  readonly wrap?: (accept: Accept) => Accept;
  /** What keeps the logs of groups, closed with the relay: in memory unless given; null keeps none. */
  readonly store?: LogStore | null;
}

/** Puts the parts together and serves. Throws {@linkcode ListenError}; then nothing listens. */
export async function startRelay(
  config: Pick<Config, "host" | "port" | "token" | "bmp">,
  options: RelayOptions = {},
): Promise<Relay> {
  const runtime = "Bun" in globalThis ? bun : deno;
  const chosen = limits(options.limits);
  let stopping = false;
  const bmp = new BmpServer(bmpOptions(chosen), (request, peer) => app.fetch(request, { peer }));
  const { app, links, streams, store } = assemble({
    runtime: `${runtime.name} ${runtime.version}`,
    admission: config.token ? tokenAdmission(config.token) : openAdmission(),
    limits: chosen,
    wrap: options.wrap,
    ...(options.store !== undefined && { store: options.store }),
    bmp: bmp.accept(),
    ready: () => !stopping,
    memory,
  });
  const server = await listening(config.host, config.port, () =>
    runtime.serve(
      { hostname: config.host, port: config.port, idleSeconds: chosen.idleSeconds },
      (request, peer) => app.fetch(request, { peer }),
    )).catch(async (error) => {
      await store?.close();
      throw error;
    });
  const bmpServer = config.bmp &&
    await listenBmp({ hostname: config.host, ...config.bmp }, bmp).catch(async (error) => {
      await server.stop(0);
      await store?.close();
      throw error;
    });
  const stopSweeping = store ? sweeping(store, host) : () => {};
  const shown = config.host.includes(":") ? `[${config.host}]` : config.host;
  return {
    runtime: `${runtime.name} ${runtime.version}`,
    hostname: config.host,
    port: server.port,
    url: `http://${shown}:${server.port}`,
    ...(bmpServer ? { bmpPort: bmpServer.port } : {}),
    async stop(ms = 0) {
      stopping = true;
      const { code, word } = Close.restarting;
      await links.closeAll(code, word, ms);
      const until = host.now() + GRACE_MS;
      const left = () => Math.max(0, until - host.now());
      // What carries their streams is still to hear why it ends, too.
      await bmp.stop(left() / 2);
      await bmpServer?.stop(left());
      await server.stop(left());
      streams.cutAll();
      stopSweeping();
      await store?.close();
    },
  };
}

function bmpOptions(limits: Limits): BmpServerOptions {
  return {
    settings: {
      chunkBytes: limits.bmpChunkBytes,
      window: limits.bmpWindow,
      streams: limits.bmpStreams,
      streamBytes: limits.bmpStreamBytes,
      unreadBytes: limits.bmpUnreadBytes,
      backlogBytes: limits.bmpBacklogBytes,
      idleMs: limits.bmpIdleMs,
      vacantMs: limits.bmpVacantMs,
      resetsPerSecond: limits.bmpResetsPerSecond,
      resetsBurst: limits.bmpResetsBurst,
    },
    httpStreams: limits.bmpHttpStreams,
    connections: limits.bmpConnections,
    connectionsPerAddress: limits.bmpConnectionsPerAddress,
    idleSeconds: limits.idleSeconds,
  };
}

/** Bytes that the process holds. A host may forbid the question. */
function memory(): number | undefined {
  try {
    return process.memoryUsage().rss;
  } catch {
    return undefined;
  }
}

const LOOPBACK = new Set(["127.0.0.1", "localhost", "::1"]);
/** Longest time that links are spread over when the relay goes away. */
const FAREWELL_MS = 3_000;

async function run(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) return console.log(usage());
  const config = readConfig(args, process.env);
  await logToConsole(config.logLevel);
  const beyond = !LOOPBACK.has(config.host);
  const token = config.token || (beyond ? crypto.randomUUID() : "");
  const store = await storeOf(config.store);
  const relay = await startRelay({ ...config, token }, {
    limits: config.bmpChunkBytes === undefined ? {} : { bmpChunkBytes: config.bmpChunkBytes },
    ...(store !== undefined && { store }),
  });
  const tls = config.bmp?.tls !== undefined;
  console.log(welcome(relay, token, token !== config.token, tls, keptAt(config.store, store)));

  let leaving = false;
  const leave = async (signal: string) => {
    if (leaving) return;
    leaving = true;
    log.info("{signal}: sending everybody away", { signal });
    await relay.stop(FAREWELL_MS);
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void leave(signal));
}

/**
 * What keeps the logs; in memory where that is undefined. A relay that may not write where nobody told
 * it to serves all the same. Throws {@linkcode StoreError}.
 */
async function storeOf(config: StoreConfig): Promise<LogStore | null | undefined> {
  if (config.kind !== "file") return config.kind === "off" ? null : undefined;
  try {
    return await openSqlite({ path: config.path, limits: limits(), ours: config.usual });
  } catch (error) {
    if (!(error instanceof StoreError && config.usual && error.kind === "unwritable")) throw error;
    log.warn(
      "{reason}. Until then logs of groups are kept in memory and end with this process, as with " +
        "--store memory",
      { reason: error.message },
    );
  }
}

/** The same for people. */
function keptAt(config: StoreConfig, store: LogStore | null | undefined): string {
  if (store === null) {
    return "are not kept: groups sync nothing and need a --store; pairs and ECG work";
  }
  if (store && config.kind === "file") return `on disk, in ${config.path}`;
  return "in memory: they end with this process";
}

function welcome(
  relay: Relay,
  token: string,
  made: boolean,
  tls: boolean,
  kept: string,
): string {
  const ws = relay.url.replace("http", "ws");
  // All addresses is none that a browser could open.
  const clickable = relay.url.replace(/\/\/(0\.0\.0\.0|\[::\])/, "//127.0.0.1");
  const lines = [
    `Blaze Relay on ${relay.runtime} listens at ${relay.url}`,
    `  devices connect to   ${ws}/sync/<database>`,
    `  monitors and viewers ${ws}/ecg/<stream>`,
    `  look at a heart      ${clickable}/viewer#stream=demo${made ? `&token=${token}` : ""}`,
    `  what is here         ${relay.url}/`,
    `  logs of groups       ${kept}`,
  ];
  if (relay.bmpPort !== undefined) {
    const at = relay.hostname.includes(":") ? `[${relay.hostname}]` : relay.hostname;
    const how = tls ? "over TLS" : "without TLS";
    lines.splice(3, 0, `  many in one          BMP at ${at}:${relay.bmpPort}, ${how}`);
  }
  if (made) {
    lines.push(`  token                ${token}   (made for this run; set TOKEN to keep one)`);
  } else if (token) {
    lines.push("  token                as set in TOKEN; pages ask for it, or take it as #token=…");
  } else lines.push("  no token needed      this relay can be reached from this machine only");
  return lines.join("\n");
}

/** Runs a program that starts a relay; what whoever started it can mend is said in one line. */
export async function started(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const known = [ConfigError, ListenError, StoreError].some((kind) => error instanceof kind);
    if (!(known && error instanceof Error)) throw error;
    console.error(printable(error.message));
    process.exit(2);
  }
}

if (import.meta.main) await started(run);
