/**
 * What a member that says nothing costs: resident memory per connection, ours and bare.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { startChild, type Which } from "./child.ts";
import { type Client, joinAll } from "./client.ts";
import { print, title } from "./table.ts";

const MEMBERS = 2_000;
const ROOM = 5;
/** Members that come and go first, so that code and pools are not counted. */
const WARM_UP = 200;

interface Cost {
  readonly members: number;
  /** Resident bytes of the server. */
  readonly before: number;
  readonly after: number;
}

async function measure(which: Which): Promise<Cost> {
  const server = await startChild(which);
  const join = (count: number) =>
    joinAll(Array.from({ length: count }, (_, i) => ({
      port: server.port,
      database: `idle-${Math.floor(i / ROOM)}`,
      handshake: which === "ours",
    })));
  let members: Client[] = [];
  try {
    for (const client of await join(WARM_UP)) client.leave();
    const before = await settled();
    members = await join(MEMBERS);
    const after = await settled();
    const open = members.filter((member) => !member.closed).length;
    return { members: open, before, after };
  } finally {
    for (const member of members) member.leave();
    await server.stop();
  }

  /** The runtimes give memory back some time after they have collected it. */
  async function settled(): Promise<number> {
    let least = Infinity;
    for (let i = 0; i < 5; i++) {
      least = Math.min(least, (await server.report(true)).rss);
      await delay(200);
    }
    return least;
  }
}

/** Measures both and prints their table. */
export async function memory(): Promise<void> {
  title(
    "Memory: resident bytes per idle member",
    `${MEMBERS} members in databases of ${ROOM}; the server's growth after garbage collection.`,
  );
  const rows: string[][] = [];
  for (const which of ["ours", "bare"] as const) {
    const { members, before, after } = await measure(which);
    const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
    rows.push([
      which,
      String(members),
      `${mebibytes(before)} MiB`,
      `${mebibytes(after)} MiB`,
      `${((after - before) / members / 1024).toFixed(1)} KiB`,
    ]);
  }
  print(["server", "members", "before", "after", "per member"], rows);
}
