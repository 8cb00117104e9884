/** A relay whose store is put back to an older backup: the logs are the same ones, and shorter. */
import { copyFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage } from "../src/client/mod.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import { openFile } from "../src/store/sqlite_file.ts";
import { beginAnother } from "../tools/mailbox_log.ts";
import {
  converged,
  count,
  type DeviceKit,
  epochOf,
  eventually,
  insert,
  online,
  stillWork,
  titles,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { STORE_LIMITS, withStorePath } from "./kit/store_file.ts";

const WORDS = 3;
const host = quickHost(20);

/** Whether the device that was away had read more than the backup has, or the relay's people say so. */
for (const reads of [true, false]) {
  const who = reads ? "who has read beyond it comes" : "the tool says so";
  test(`a removal, and what was written before it, hold where a backup from before both is put back and ${who}`, () =>
    withStorePath(async (path) => {
      const [ofA, ofB] = [memoryStorage(), memoryStorage()];
      const [ofC, ofD] = [memoryStorage(), memoryStorage()];
      const backup = `${path}.backup`;
      let invitation = "";
      let lost = "";
      const session = async (run: (kit: DeviceKit, url: string) => Promise<void>) => {
        const store = await openSqlite({ path, limits: STORE_LIMITS });
        await withRelay(({ url }) => withDevices((kit) => run(kit, url)), { store });
      };
      await session(async (kit, url) => {
        const a = kit.create({ url, database: "bugs", storage: ofA, host });
        invitation = await a.client.invite({ permanent: true });
        const others = [ofB, ofC, ofD].map((storage) =>
          kit.open({ url, invitation, storage, host })
        );
        await eventually(() => [a, ...others].every(({ client }) => online(client) === 4), "all");
        await insert(a, "before the backup");
        await converged([a, ...others], 1);
        await eventually(() => a.client.pending === 0, "all is quiet");
        lost = await others[1]!.client.node();
      });
      copyFileSync(path, backup);
      await session(async (kit, url) => {
        const open = (storage: DeviceStorage) => kit.open({ url, storage, host });
        const [a, b, c] = [open(ofA), open(ofB), open(ofC)];
        for (let i = 0; i < WORDS; i++) await insert(b, `lost by the relay ${i}`);
        await converged([a, b, c], 1 + WORDS);
        if (reads) {
          const d = open(ofD);
          await converged([d], 1 + WORDS);
          await eventually(() => d.client.state === "synced", "it has stored what it read");
          await d.client.close();
        }
        await eventually(() => b.client.pending === 0, "all is quiet");
        await a.client.remove(lost);
        await eventually(() => count(b) === 3 && wasRemoved(c), "all know");
        await insert(a, "not for c");
        await converged([a, b], 2 + WORDS);
        await eventually(() => a.client.pending + b.client.pending === 0, "all is quiet");
      });
      copyFileSync(backup, path);
      if (!reads) {
        const db = openFile(path, false);
        assert(beginAnother(db) > 0);
        db.close();
      }
      await session(async (kit, url) => {
        // It has not heard of the removal.
        const d = kit.open({ url, storage: ofD, host });
        await insert(d, "of d");
        await d.client.sent();
        const a = kit.open({ url, storage: ofA, host });
        const b = kit.open({ url, storage: ofB, host });
        const all = [a, b, d];
        await eventually(
          () => all.every((one) => count(one) === 3 && epochOf(one) === epochOf(a)),
          () => `${all.map((one) => [count(one), epochOf(one), one.client.state, one.faults()])}`,
        );
        await converged(all, 3 + WORDS);
        await stillWork(all, 3 + WORDS);
        assert(titles(d).includes("not for c"));
        assertEquals(d.client.devices().some(({ node }) => node === lost), false);
      });
    }));
}
