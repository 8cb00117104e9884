/** Changes of the group while everybody writes: each entry that comes before a commit makes it void. */
import { test } from "node:test";
import { assert } from "@std/assert";
import type { BlazeGroup } from "../src/client/mod.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { appended } from "./kit/attack.ts";
import {
  converged,
  eventually,
  group,
  insert,
  stillWork,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";

/** Operations of one device that wait at a time. */
const MOST = 20;

/** These write all the time while `run` lasts; answers how much they have written. */
async function busy(
  devices: readonly Told[],
  waiting: (client: BlazeGroup) => number,
  run: () => Promise<void>,
): Promise<number> {
  let stopped = false;
  let written = 0;
  const write = async (one: Told) => {
    while (!stopped) {
      if (waiting(one.client) < MOST) await insert(one, `${written++}`);
      else await new Promise((resolve) => setTimeout(resolve, 0));
    }
  };
  const writing = devices.map(write);
  try {
    await run();
  } finally {
    stopped = true;
    await Promise.all(writing);
  }
  return written;
}

const ROTATIONS = 9;

/** Changes of each kind; `out` is removed. */
async function changes({ client }: Told, out: string): Promise<void> {
  let done = "nothing";
  const all = async () => {
    await client.invite();
    done = "invite";
    await client.revoke(client.invitations().find(({ expires }) => expires)!.id);
    done = "revoke";
    for (let i = 0; i < ROTATIONS; i++) await client.rotate();
    done = "rotate";
    await client.remove(out);
    done = "remove";
  };
  const asked = all();
  asked.catch(() => {});
  await eventually(() => done === "remove", () => `${done} is the last that was done`);
  await asked;
}

test("what a device writes itself keeps none of its changes waiting", () =>
  withRelay(({ url }) =>
    withHostile(url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a, b] } = await group(kit, hostile.url, 2, { host: quickHost(5) });
        const out = await b!.client.node();
        await b!.client.close();
        await eventually(() => a!.client.devices().every((one) => one.self || !one.online), "gone");
        const commits = () =>
          hostile.seen.filter(({ up, message }) => up && appended(message) === Subtype.commit)
            .length;
        const before = commits();
        await busy([a!], ({ counts }) => counts.local, () => changes(a!, out));
        const attempts = commits() - before;
        // One may lose to what was being sealed as it began.
        assert(attempts <= 1.5 * (ROTATIONS + 3), `${attempts} attempts`);
        await a!.client.sent();
      }))
  ));

test("devices that write all the time can still invite, revoke, change keys, and remove", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const { devices: [a, b, c] } = await group(kit, url, 3, { host: quickHost(5) });
      const out = await c!.client.node();
      const written = await busy([a!, b!], ({ pending }) => pending, () => changes(a!, out));
      await converged([a!, b!], written);
      await eventually(() => b!.client.devices().length === 2, "it is removed");
      await stillWork([a!, b!], written);
    })
  ));
