/** Newcomers whose key package is not good when somebody opens: texts may live longer, and clocks differ. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { backedUp, count, eventually, insert, stillWork, withDevices } from "./kit/group.ts";
import { withRelay } from "./kit/relay.ts";

const DAY = 86_400_000;
const YEAR = 525_600;

/** Everybody's clock shows so many days more meanwhile. */
async function ahead<T>(days: number, run: () => Promise<T>): Promise<T> {
  const { now } = Date;
  Date.now = () => now() + days * DAY;
  try {
    return await run();
  } finally {
    Date.now = now;
  }
}

for (const [what, days] of [["has waited 91 days", -91], ["began two days ahead", 2]] as const) {
  test(`a newcomer that ${what} comes in as the device that it is`, () =>
    withRelay(({ url }) =>
      withDevices(async (kit) => {
        const [kept, late] = [backedUp(), backedUp()];
        const first = kit.create({ url, database: "bugs", storage: kept.storage });
        const invitation = await first.client.invite({ minutes: YEAR });
        await first.client.close();
        const node = await ahead(days, async () => {
          const waiting = kit.open({ url, invitation, storage: late.storage });
          await insert(waiting, "before it is in");
          await eventually(() => waiting.client.state === "waiting", "it waits");
          await waiting.client.close();
          return await waiting.client.node();
        });
        const member = kit.open({ url, storage: kept.storage });
        const again = kit.open({ url, invitation, storage: late.storage });
        await eventually(() => again.client.state === "synced", "it is in");
        assertEquals(await again.client.node(), node);
        await stillWork([member, again], 1);
        assertEquals([count(member), again.faults()], [2, []]);
      })
    ));
}

test("a newcomer that was let in takes the welcome for a key package that has ended since", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const [kept, late] = [backedUp(), backedUp()];
      const invitation = await ahead(-91, async () => {
        const first = kit.create({ url, database: "bugs", storage: kept.storage });
        const invitation = await first.client.invite({ minutes: YEAR });
        await first.client.close();
        const waiting = kit.open({ url, invitation, storage: late.storage });
        await eventually(() => waiting.client.state === "waiting", "it waits");
        await waiting.client.close();
        const member = kit.open({ url, storage: kept.storage });
        await eventually(() => count(member) === 2, "it is let in");
        await eventually(() => member.client.state === "synced", "the welcome is there");
        await member.client.close();
        return invitation;
      });
      const member = kit.open({ url, storage: kept.storage });
      const again = kit.open({ url, invitation, storage: late.storage });
      await stillWork([member, again], 0);
      assertEquals([count(member), again.faults()], [2, []]);
    })
  ));
