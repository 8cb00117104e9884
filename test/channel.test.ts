import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Channels, type Member } from "../src/channel/channels.ts";
import type { Link, Message } from "../src/link/link.ts";

/** A runtime with topics, as Bun has them. */
class Hub {
  readonly topics = new Map<string, Set<Listener>>();

  publish(name: string, from: Listener | undefined, message: Message): boolean {
    let clear = true;
    for (const listener of this.topics.get(name) ?? []) {
      if (listener === from) continue;
      listener.byTopic.push(message);
      clear &&= listener.buffered === 0;
    }
    return clear;
  }
}

class Listener implements Member {
  readonly byTopic: Message[] = [];
  readonly alone: Message[] = [];
  buffered = 0;
  readonly link: Link;

  constructor(hub?: Hub) {
    // deno-lint-ignore no-this-alias
    const listener = this;
    this.link = {
      remote: "test",
      get buffered() {
        return listener.buffered;
      },
      send: () => {},
      close: () => {},
      ...(hub && {
        topics: {
          join: (name: string) => {
            if (!hub.topics.has(name)) hub.topics.set(name, new Set());
            hub.topics.get(name)!.add(listener);
          },
          leave: (name: string) => hub.topics.get(name)?.delete(listener),
          publish: (name: string, message: Message, self = false) =>
            hub.publish(name, self ? undefined : listener, message),
        },
      }),
    };
  }

  deliver(message: Message): void {
    this.alone.push(message);
  }
}

const message = new Uint8Array(100);

test("publish reaches every member but the sender, without topics", () => {
  const channels = new Channels();
  const [a, b, c] = [new Listener(), new Listener(), new Listener()];
  for (const member of [a, b, c]) channels.join("x", member);
  channels.get("x")!.publish(message, a);
  assertEquals([a, b, c].map((one) => one.alone.length), [0, 1, 1]);
  channels.get("x")!.publish(message);
  assertEquals([a, b, c].map((one) => one.alone.length), [1, 2, 2]);
});

test("publish uses the runtime's topic where sender and members have one", () => {
  const [channels, hub] = [new Channels(), new Hub()];
  const [a, b, plain] = [new Listener(hub), new Listener(hub), new Listener()];
  for (const member of [a, b, plain]) channels.join("x", member);
  channels.get("x")!.publish(message, a);
  assertEquals([a, b, plain].map((one) => one.byTopic.length), [0, 1, 0]);
  assertEquals([a, b, plain].map((one) => one.alone.length), [0, 0, 1]);
  // A sender without topics, and the relay itself, reach everybody one by one.
  channels.get("x")!.publish(message, plain);
  channels.get("x")!.publish(message);
  assertEquals([a, b, plain].map((one) => one.alone.length), [2, 2, 2]);
});

test("a member that lags leaves the topic and rejoins when it has caught up", () => {
  const [channels, hub] = [new Channels(), new Hub()];
  const [a, slow, fast] = [new Listener(hub), new Listener(hub), new Listener(hub)];
  const memberships = [a, slow, fast].map((member) => channels.join("x", member));
  slow.buffered = 70_000;
  const big = new Uint8Array(65_536);
  channels.get("x")!.publish(big, a);
  channels.get("x")!.publish(message, a);
  assertEquals([slow.byTopic.length, slow.alone.length], [1, 1], "the second came alone");
  assertEquals([fast.byTopic.length, fast.alone.length], [2, 0]);
  slow.buffered = 0;
  memberships[1]!.drained();
  channels.get("x")!.publish(message, a);
  assertEquals([slow.byTopic.length, slow.alone.length], [2, 1]);
  memberships[2]!.drained();
  assertEquals(hub.topics.get("x")!.size, 3, "draining without lag changes nothing");
});

test("leave is final, also for a member that lags, and empties the channel", () => {
  const [channels, hub] = [new Channels(), new Hub()];
  const [a, b] = [new Listener(hub), new Listener(hub)];
  const [first, second] = [channels.join("x", a), channels.join("x", b)];
  b.buffered = 70_000;
  channels.get("x")!.publish(new Uint8Array(65_536), a);
  second.leave();
  second.drained();
  channels.get("x")!.publish(message, a);
  assertEquals([b.byTopic.length, b.alone.length], [1, 0]);
  first.leave();
  first.leave();
  assertEquals([channels.size, hub.topics.get("x")!.size], [0, 0]);
});

test("a member may leave while a message is being delivered", () => {
  const channels = new Channels();
  const [a, b, c] = [new Listener(), new Listener(), new Listener()];
  const memberships = [a, b, c].map((member) => channels.join("x", member));
  b.deliver = () => memberships.forEach((membership) => membership.leave());
  channels.get("x")!.publish(message, a);
  assertEquals(c.alone.length, 0);
  assertEquals(channels.size, 0);
});

test("broadcast reaches every member once, whoever is in the topic and whoever lags", () => {
  const [channels, hub] = [new Channels(), new Hub()];
  const members = [new Listener(hub), new Listener(hub), new Listener()];
  const [a] = members as [Listener];
  const channel = channels.open("x");
  const [wayOfA, wayOfB] = members.map((member) => channel.join(member));
  const counts = () => members.map(({ byTopic, alone }) => [byTopic.length, alone.length]);
  channel.broadcast(message);
  assertEquals(counts(), [[1, 0], [1, 0], [0, 1]]);
  wayOfA!.lagging();
  channel.broadcast(message);
  assertEquals(counts(), [[1, 1], [2, 0], [0, 2]]);
  wayOfB!.lagging();
  channel.broadcast(message);
  assertEquals(counts(), [[1, 2], [2, 1], [0, 3]]);
  wayOfA!.drained();
  // Somebody who cannot take it all leaves the topic after it, not before.
  a.buffered = 65_536;
  channel.broadcast(new Uint8Array(65_536));
  assertEquals(counts(), [[2, 2], [2, 2], [0, 4]]);
  channel.broadcast(message);
  assertEquals(counts(), [[2, 3], [2, 3], [0, 5]]);
});
