/**
 * Groups of SDK devices for tests.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import {
  BlazeGroup,
  type DeviceStorage,
  type GroupIncoming,
  type GroupOptions,
  type GroupStatus,
  memoryStorage,
  type NewGroupOptions,
} from "../../src/client/mod.ts";
import type { Bytes } from "../../src/wire/bytes.ts";

/** A storage that can be copied, as a backup would. */
export function backedUp(from: Iterable<[string, Bytes]> = []): {
  readonly storage: DeviceStorage;
  copy(): Promise<Map<string, Bytes>>;
} {
  const storage = memoryStorage(from);
  return { storage, copy: () => storage.load() };
}

/** A device that remembers what it was told. */
export interface Told {
  readonly client: BlazeGroup;
  readonly statuses: GroupStatus[];
  readonly incoming: GroupIncoming[];
  /** Codes of its faults. */
  faults(): string[];
}

function listen(client: BlazeGroup): Told {
  const statuses: GroupStatus[] = [];
  const incoming: GroupIncoming[] = [];
  client.onStatus((status) => statuses.push(status));
  const collect = async () => {
    for await (const one of client) incoming.push(one);
  };
  collect().catch(() => {});
  const faults = () =>
    statuses.flatMap((status) => status.kind === "fault" ? [status.fault.code] : []);
  return { client, statuses, incoming, faults };
}

const quick = { backoff: { first: 20, most: 100 } };

/** Opens devices, and closes them all whatever happens. */
export async function withDevices(run: (kit: DeviceKit) => Promise<void>): Promise<void> {
  const open: BlazeGroup[] = [];
  const add = (client: BlazeGroup): Told => {
    open.push(client);
    return listen(client);
  };
  try {
    await run({
      create: (options) => add(BlazeGroup.create({ ...quick, ...options })),
      open: (options) => add(BlazeGroup.open({ ...quick, ...options })),
      add,
    });
  } finally {
    await Promise.all(open.map((client) => client.close()));
  }
}

export interface DeviceKit {
  create(options: NewGroupOptions): Told;
  open(options: GroupOptions): Told;
  add(client: BlazeGroup): Told;
}

/** A group of `count` devices that are all online. */
export async function group(
  kit: DeviceKit,
  url: string,
  count: number,
  options: Partial<NewGroupOptions> = {},
): Promise<{ devices: Told[]; invitation: string }> {
  const first = kit.create({ url, database: "bugs", name: "device 0", ...options });
  await first.client.ready;
  const invitation = await first.client.invite({ permanent: true });
  const devices = [first];
  const { database: _, signed: __, storage: ___, postQuantum: ____, ...common } = options;
  for (let i = 1; i < count; i++) {
    const next = kit.open({ url, invitation, name: `device ${i}`, ...common });
    await next.client.ready;
    devices.push(next);
  }
  await eventually(() => devices.every(({ client }) => online(client) === count), "all see all");
  return { devices, invitation };
}

/** A group of two, where what the second one stores can be copied. */
export async function twoStored(kit: DeviceKit, url: string) {
  const kept = backedUp();
  const { devices, invitation } = await group(kit, url, 1);
  const b = kit.open({ url, invitation, storage: kept.storage });
  await b.client.ready;
  return { kept, a: devices[0]!, b, invitation };
}

/** Devices that are online, as this one sees it. */
export const online = (client: BlazeGroup): number =>
  client.devices().filter((device) => device.online).length;

/** Devices of the group, as this one sees it. */
export const count = ({ client }: Told): number => client.devices().length;

/** Number of the epoch that it was told of last. */
export const epochOf = ({ statuses }: Told): number | undefined =>
  statuses.findLast((status) => status.kind === "epoch")?.number;

export const joined = ({ statuses }: Told): boolean =>
  statuses.some(({ kind }) => kind === "joined");

export const wasRemoved = ({ statuses }: Told): boolean =>
  statuses.some(({ kind }) => kind === "removed");

/** What it was told of faults with this code. */
export const faultsOf = ({ statuses }: Told, code: string): string[] =>
  statuses.flatMap((status) =>
    status.kind === "fault" && status.fault.code === code ? [status.fault.message] : []
  );

/** Waits until these have read all that there is. */
export const synced = (...devices: Told[]): Promise<void> =>
  eventually(() => devices.every(({ client }) => client.state === "synced"), "all are synced");

/** Waits until something is so. Several parties have to agree first, so no single event tells. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  what: string | (() => string),
  ms = 30_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!await check()) {
    if (performance.now() > end) {
      assert(false, `not within ${ms} ms: ${typeof what === "string" ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A collection as text, to be compared. */
export const contents = (client: BlazeGroup, collection = "bugs"): string =>
  client.collection(collection).list()
    .map(({ id, fields }) => `${id} ${JSON.stringify(Object.entries(fields).sort())}`)
    .sort().join("\n");

/** Waits until all hold the same records, and at least so many. */
export async function converged(devices: readonly Told[], least = 1, ms?: number): Promise<void> {
  const all = () => devices.map(({ client }) => contents(client));
  await eventually(
    () => {
      const [first, ...others] = all();
      const count = first === "" ? 0 : first!.split("\n").length;
      return count >= least && others.every((one) => one === first);
    },
    () =>
      `records differ or are fewer than ${least}: ${all().map((one) => one.split("\n").length)}`,
    ms,
  );
}

/** Inserts a bug. */
export const insert = ({ client }: Told, title: string) =>
  client.collection("bugs").insert({ title });

export const titles = ({ client }: Told): unknown[] =>
  client.collection("bugs").list().map(({ fields }) => fields.title).sort();

/** Everything works between these, which hold so many records already. */
export async function stillWork(devices: readonly Told[], already: number): Promise<void> {
  for (const [i, one] of devices.entries()) await insert(one, `afterwards ${i}`);
  await converged(devices, already + devices.length);
  assertEquals(devices.map(({ client }) => client.collection("bugs").list().length), [
    ...devices.map(() => already + devices.length),
  ]);
}
