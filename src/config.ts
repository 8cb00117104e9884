/**
 * Settings: environment and flags in, one checked value out. The only reader of either.
 *
 * @module
 */
import * as v from "valibot";
import { LOG_LEVELS } from "./log.ts";

interface Setting {
  readonly name: string;
  readonly fallback: string;
  readonly help: string;
}

/** Every setting: `PORT` in the environment is `--port` on the command line, which wins. */
export const SETTINGS = [
  { name: "PORT", fallback: "8080", help: "TCP port to listen on; 0 takes a free one" },
  { name: "HOST", fallback: "127.0.0.1", help: "address to listen on; 0.0.0.0 for all" },
  {
    name: "TOKEN",
    fallback: "",
    help:
      "token that clients must bring; without one, a relay beyond loopback makes and prints one",
  },
  {
    name: "BMP_PORT",
    fallback: "",
    help: "TCP port for BMP, the multiplexer; 0 takes a free one, none if not set",
  },
  { name: "BMP_TLS_CERT", fallback: "", help: "PEM file: BMP over TLS, with BMP_TLS_KEY" },
  { name: "BMP_TLS_KEY", fallback: "", help: "PEM file of the key" },
  {
    name: "BMP_CHUNK",
    fallback: "",
    help: "payload bytes of a BMP frame, also at /bmp: 8192, or 16384 (jumbo)",
  },
  {
    name: "STORE",
    fallback: "",
    help:
      "file that keeps groups' logs, memory, or off: groups need a store, pairs and ECG do not " +
      "(relay.db in $STATE_DIRECTORY, or in ./state)",
  },
  { name: "LOG_LEVEL", fallback: "info", help: LOG_LEVELS.join(", ") },
] as const satisfies readonly Setting[];

const port = v.pipe(
  v.string(),
  v.regex(/^\d{1,5}$/, "want a number from 0 to 65535"),
  v.transform(Number),
  v.maxValue(65535, "want a number from 0 to 65535"),
);

const schema = v.object({
  PORT: port,
  HOST: v.pipe(v.string(), v.minLength(1, "want an address")),
  TOKEN: v.pipe(
    v.string(),
    // What both an Authorization header and a WebSocket subprotocol can carry.
    v.regex(/^(?:[A-Za-z0-9._~-]{16,})?$/, "want 16 or more letters, digits, . _ ~ -"),
  ),
  BMP_PORT: v.union([v.literal(""), port], "want a number from 0 to 65535"),
  BMP_TLS_CERT: v.string(),
  BMP_TLS_KEY: v.string(),
  BMP_CHUNK: v.picklist(["", "8192", "16384"], "want 8192 or 16384"),
  STORE: v.string(),
  LOG_LEVEL: v.picklist(LOG_LEVELS, `want one of ${LOG_LEVELS.join(", ")}`),
});

export interface Config {
  readonly port: number;
  readonly host: string;
  readonly token: string;
  /** Where BMP is spoken over TCP, if anywhere. */
  readonly bmp?: BmpConfig;
  /** Payload bytes of a BMP frame, if not the usual ones. */
  readonly bmpChunkBytes?: number;
  /** What keeps the logs of groups. */
  readonly store: StoreConfig;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

export type StoreConfig =
  | { readonly kind: "memory" | "off" }
  /** `usual`: nobody asked for this file, so that another way will do where it cannot be had. */
  | { readonly kind: "file"; readonly path: string; readonly usual: boolean };

export interface BmpConfig {
  readonly port: number;
  /** PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** A setting that makes no sense, in words for whoever typed it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads settings. Throws {@linkcode ConfigError}. */
export function readConfig(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Config {
  const given = flags(args);
  // Empty in the environment is not set: files of settings leave out what they do not want so.
  const raw = Object.fromEntries(
    SETTINGS.map((
      { name, fallback },
    ) => [name, given.get(name) ?? (environment[name] || fallback)]),
  );
  /** A setting by the name that it was given by. */
  const shown = (name: string) => given.has(name) ? `--${flagOf(name)}` : name;
  const parsed = v.safeParse(schema, raw);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const name = String(issue.path?.[0]?.key);
    // A token is never shown, not even a wrong one.
    const value = name === "TOKEN" ? "" : ` "${raw[name]}"`;
    throw new ConfigError(`${shown(name)}${value}: ${issue.message}`);
  }
  const { PORT, HOST, TOKEN, STORE, LOG_LEVEL, BMP_PORT, BMP_CHUNK } = parsed.output;
  const { BMP_TLS_CERT: cert, BMP_TLS_KEY: key } = parsed.output;
  if ((cert === "") !== (key === "")) {
    const names = [shown("BMP_TLS_CERT"), shown("BMP_TLS_KEY")];
    throw new ConfigError(`${names.join(" and ")}: want both, or neither`);
  }
  if (cert !== "" && BMP_PORT === "") {
    throw new ConfigError(
      `${shown("BMP_TLS_CERT")}: TLS is for BMP over TCP, which needs --bmp-port or BMP_PORT`,
    );
  }
  const bmp = { port: Number(BMP_PORT), ...(cert === "" ? {} : { tls: { cert, key } }) };
  return {
    port: PORT,
    host: HOST,
    token: TOKEN,
    ...(BMP_PORT === "" ? {} : { bmp }),
    ...(BMP_CHUNK === "" ? {} : { bmpChunkBytes: Number(BMP_CHUNK) }),
    store: storeOf(STORE, environment.STATE_DIRECTORY),
    logLevel: LOG_LEVEL,
  };
}

/** `folder` is systemd's: its folders for state, with `:` between them. */
function storeOf(store: string, folder = ""): StoreConfig {
  if (store === "memory" || store === "off") return { kind: store };
  if (store !== "") return { kind: "file", path: store, usual: false };
  return { kind: "file", path: `${folder.split(":")[0] || "./state"}/relay.db`, usual: true };
}

/** The text of `--help`. */
export function usage(): string {
  const row = (flag: string, name: string, text: string) =>
    `  ${flag.padEnd(longest + 4)}${name.padEnd(longest + 2)}${text}`;
  const longest = Math.max(...SETTINGS.map(({ name }) => name.length));
  const rows = SETTINGS.map(({ name, fallback, help }) =>
    row(`--${flagOf(name)}`, name, `${help}${fallback && ` (${fallback})`}`)
  );
  return [
    "Blaze Relay: devices sync end-to-end encrypted databases and watch live ECG streams through it.",
    "",
    "  deno task start [--port 8080] [--host 0.0.0.0]      bun run start [same flags]",
    "",
    row("flag", "environment", ""),
    ...rows,
    row("--help", "", "this text"),
  ].join("\n");
}

const flagOf = (name: string): string => name.toLowerCase().replaceAll("_", "-");

function flags(args: readonly string[]): Map<string, string> {
  const given = new Map<string, string>();
  // Some runtimes hand on the `--` that may stand before a program's own arguments.
  for (let i = args[0] === "--" ? 1 : 0; i < args.length; i++) {
    const [flag, inline] = args[i]!.split(/=(.*)/s);
    const setting = SETTINGS.find(({ name }) => `--${flagOf(name)}` === flag);
    if (!setting) throw new ConfigError(`${flag}: no such flag; --help lists them`);
    const value = inline ?? args[++i];
    // A flag behind it was meant as one, and an empty value comes from a variable that is not set.
    if (!value || (inline === undefined && value.startsWith("--"))) {
      throw new ConfigError(`${flag}: want a value after it`);
    }
    given.set(setting.name, value);
  }
  return given;
}
