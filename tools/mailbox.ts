/**
 * Logs of groups for whoever runs the relay: what there is and how much, out of its file. Blind as the
 * relay is: it knows ids and frames, and reads none of them.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import type { DatabaseSync } from "node:sqlite";
import { readConfig } from "../src/config.ts";
import { isCorrupt, StoreError, unknown } from "../src/store/sqlite_errors.ts";
import { openFile, pragmaOf, showsOurs } from "../src/store/sqlite_file.ts";
import type { LogRow } from "../src/store/sqlite_rows.ts";
import { utf8Bytes } from "../src/wire/bytes.ts";
import { fail, readArgs } from "./args.ts";
import { OutputFile } from "./files.ts";
import { beginAnother, exported, troubles } from "./mailbox_log.ts";
import { say } from "./say.ts";

const { flags, rest, misplaced } = readArgs({
  command: "mailbox list | size | export LOG FILE | delete LOG | verify | restored",
  about: "Looks into the file that keeps groups' logs, while no relay has it.\n\n" +
    "  list             every log: its entries, their bytes, when it was last used\n" +
    "  size             bytes of each tenant\n" +
    "  export LOG FILE  its frames, as `inspect` and `errors` read them\n" +
    "  delete LOG       lets go of it; devices begin another one\n" +
    "  verify           computes every chain hash anew, and checks every page\n" +
    "  restored         the file was put back from a backup: devices bring what it lacks\n\n" +
    "LOG is an id, or as much of its beginning as there is only one of.",
  most: 3,
  flags: {
    store: { help: "the file; where the relay has it unless given", fallback: "" },
    tenant: { help: "only logs of this tenant", fallback: "" },
    overwrite: { help: "export: replace a file that is there" },
    "even-closed": { help: "delete: also a log that was closed" },
  },
});

const COMMANDS = { list: 1, size: 1, export: 3, delete: 2, verify: 1, restored: 1 } as const;
const command = rest[0] as keyof typeof COMMANDS | undefined;
if (command === undefined) fail(`Say what to do: ${Object.keys(COMMANDS).join(", ")}.`);
const words = Object.hasOwn(COMMANDS, command)
  ? COMMANDS[command]
  : fail(`${command}: no such command; there are ${Object.keys(COMMANDS).join(", ")}.`);
if (rest.length < words) fail(`${command}: something is missing. --help shows what.`);
if (rest.length > words) fail(`"${rest[words]}": too many arguments. --help shows what there is.`);
if (command !== "export") misplaced(["overwrite"], "goes with export");
if (command !== "delete") misplaced(["even-closed"], "goes with delete");

const path = flags.store || usualPath();
const db = open();

function usualPath(): string {
  const { store } = readConfig([], {
    STORE: process.env.STORE,
    STATE_DIRECTORY: process.env.STATE_DIRECTORY,
  });
  if (store.kind === "file") return store.path;
  return fail(`STORE is ${store.kind}, so the relay has no file: name a file with --store.`);
}

function open(): DatabaseSync {
  if (!existsSync(path)) fail(`${path}: no such file. --store names another.`);
  try {
    return openFile(path, false);
  } catch (error) {
    if (isCorrupt(error) && !showsOurs(path)) fail(unknown(path).message);
    if (isCorrupt(error)) fail(`${path} is broken: ${(error as Error).message}.`);
    if (!(error instanceof StoreError)) throw error;
    return fail(
      error.kind === "taken" ? `${path} is in use: stop the relay first.` : error.message,
    );
  }
}

function logs(): LogRow[] {
  return db.prepare(
    "SELECT * FROM log WHERE ? IN ('', tenant) ORDER BY tenant, id",
  ).all(flags.tenant) as unknown as LogRow[];
}

/** The one log that is meant. */
function chosen(beginning: string): LogRow {
  const found = logs().filter(({ id }) => id.startsWith(beginning.toLowerCase()));
  if (found.length === 0) fail(`${beginning}: no such log; \`list\` shows what there is.`);
  if (found.length > 1) {
    const tenants = new Set(found.map(({ tenant }) => tenant)).size > 1;
    fail(`${beginning}: ${found.length} logs begin so${tenants ? "; --tenant may help" : ""}.`);
  }
  return found[0]!;
}

const NUMBERS = ["logs", "entries", "bytes"];

/** Aligned columns, those of numbers to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  for (const row of all) {
    const cells = row.map((cell, i) =>
      NUMBERS.includes(head[i]!) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)
    );
    say(cells.join("  ").trimEnd());
  }
}

const UNITS: readonly [ms: number, name: string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
];

/** How long ago, in the largest unit that there is one of. */
function ago(time: number): string {
  const ms = Math.max(0, Date.now() - time);
  const [unit, name] = UNITS.find(([unit]) => ms >= unit) ?? [1_000, "s"];
  return `${Math.floor(ms / unit)} ${name} ago`;
}

const entriesOf = ({ first, last }: LogRow): number => last - first + 1;

function list(): void {
  table(
    ["tenant", "log", "entries", "bytes", "used", "closed"],
    logs().map((log) => [
      ...[log.tenant, log.id, `${entriesOf(log)}`, `${log.bytes}`, ago(log.used)],
      log.closed_at === null ? "no" : ago(log.closed_at),
    ]),
  );
}

function size(): void {
  const tenants = Map.groupBy(logs(), ({ tenant }) => tenant);
  const sum = (logs: readonly LogRow[], of: (log: LogRow) => number) =>
    `${logs.reduce((all, log) => all + of(log), 0)}`;
  const row = (name: string, logs: readonly LogRow[]) => [
    ...[name, `${logs.length}`, sum(logs, entriesOf), sum(logs, ({ bytes }) => bytes)],
  ];
  table(
    ["tenant", "logs", "entries", "bytes"],
    [...tenants].map(([name, logs]) => row(name, logs)),
  );
  const pages = Number(pragmaOf(db, "page_count")) * Number(pragmaOf(db, "page_size"));
  say(`the file: ${pages} bytes`);
}

function remove(log: LogRow): void {
  if (log.closing !== null && !flags["even-closed"]) {
    fail(
      `${log.id} was closed: without it, whoever was removed from its group can begin it again. ` +
        "--even-closed deletes it all the same.",
    );
  }
  db.exec("BEGIN");
  for (const rows of ["entry WHERE log", "truncation WHERE log", "log WHERE number"]) {
    db.prepare(`DELETE FROM ${rows} = ?`).run(log.number);
  }
  db.exec("COMMIT");
  pragmaOf(db, "incremental_vacuum");
  say(`${log.id} of ${log.tenant} is gone, with ${entriesOf(log)} entries.`);
}

function verify(): boolean {
  const all = logs();
  const found = troubles(db, all);
  for (const trouble of found) say(trouble);
  const entries = all.reduce((sum, log) => sum + entriesOf(log), 0);
  say(`${all.length} logs, ${entries} entries: ${found.length || "no"} faults`);
  return found.length === 0;
}

let good = true;
try {
  if (command === "list") list();
  else if (command === "size") size();
  else if (command === "delete") remove(chosen(rest[1]!));
  else if (command === "verify") good = verify();
  else if (command === "restored") {
    say(`${beginAnother(db)} logs begin another life: devices bring what is missing.`);
  } else {
    const log = chosen(rest[1]!);
    const file = new OutputFile(rest[2]!, flags.overwrite);
    file.finish(utf8Bytes(exported(db, log)));
    say(`${rest[2]}: ${entriesOf(log)} entries.`);
  }
} catch (error) {
  if (!isCorrupt(error)) throw error;
  say(`${path} is broken: ${(error as Error).message}`);
  good = false;
}
db.close();
process.exit(good ? 0 : 1);
