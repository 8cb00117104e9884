/** Devices that are never there at the same time. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionClosed, memoryStorage } from "../src/client/mod.ts";
import { contents, eventually, withDevices } from "./kit/group.ts";
import { withRelay } from "./kit/relay.ts";

test("devices that are never there together let each other in, and sync", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const [onPhone, onLaptop] = [memoryStorage(), memoryStorage()];
      const phone = kit.create({ url, database: "bugs", storage: onPhone });
      const invitation = await phone.client.invite();
      await phone.client.close();

      const laptop = kit.open({ url, invitation, storage: onLaptop });
      await eventually(() => laptop.client.state === "waiting", "it stands at the door");
      await laptop.client.close();

      const phoneAgain = kit.open({ url, storage: onPhone });
      await eventually(() => phoneAgain.client.devices().length === 2, "it has let the laptop in");
      const { counter } = await phoneAgain.client.collection("bugs").insert({ title: "alone" });
      await phoneAgain.client.sent();
      assertEquals(phoneAgain.client.where(counter), "mailbox");
      await phoneAgain.client.close();

      const laptopAgain = kit.open({ url, storage: onLaptop });
      await eventually(() => laptopAgain.client.state === "synced", "it has read everything");
      const bugs = laptopAgain.client.collection("bugs");
      assertEquals(bugs.list().map(({ fields }) => fields.title), ["alone"]);
      await bugs.update(bugs.list()[0]!.id, { title: "seen" });
      await laptopAgain.client.sent();
      await laptopAgain.client.close();

      const last = kit.open({ url, storage: onPhone });
      await eventually(() => last.client.state === "synced", "it has read everything");
      assertEquals(last.client.pending, 0, "the laptop has said that it has it");
      assertEquals(last.client.where(counter), "shared");
      assertEquals(contents(last.client), contents(laptopAgain.client));
    })
  ));

test("sent() resolves once nothing is only here, and rejects when the client ends before", async () => {
  // Port 1: nobody listens.
  const url = "ws://127.0.0.1:1";
  await withDevices(async (kit) => {
    const { client } = kit.create({ url, database: "bugs" });
    await client.sent();
    const { counter } = await client.collection("bugs").insert({ title: "local" });
    assertEquals([client.where(counter), client.counts], ["local", { local: 1, mailbox: 0 }]);
    const sent = client.sent();
    await client.close();
    await assertRejects(() => sent, ConnectionClosed);
    await assertRejects(() => client.sent(), ConnectionClosed);
  });
});
