import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { bytes, End, Pair } from "./kit/mux.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { fc, holds } from "./kit/random.ts";

// --- every order of events, against the table of docs/protocol/bmp.md ---

/** What may happen to one stream of a server, as its connection sees it. */
const EVENTS = ["create", "data", "ack", "eof", "close", "write", "end", "drop", "read"] as const;
type Event = typeof EVENTS[number];

/** The table towards a stranger: one frame in flight, and acks as soon as a frame is there. */
class Model {
  state: "none" | "open" | "remote-ended" | "local-ended" = "none";
  said: string[] = [];
  read = "";
  closes: (string | undefined)[] = [];
  #unread = "";
  #queued = "";
  #sent = 0;
  #acked = 0;
  #ending = false;

  apply(event: Event, sid: string): void {
    const known = this.state !== "none";
    switch (event) {
      case "create":
      case "data":
        if (!known && event === "data") return;
        if (!known) this.#begin();
        if (this.state !== "remote-ended") this.#unread += "x";
        this.said.push(`ack:${sid}`);
        return;
      case "ack":
        if (known && this.#acked < this.#sent) this.#acked = this.#sent;
        return this.#send();
      case "eof":
        if (this.state === "open") this.state = "remote-ended";
        else if (this.state === "local-ended") this.#over(undefined);
        return;
      case "close":
        if (known) this.#over(this.state === "remote-ended" ? undefined : "CLOSED");
        return;
      case "write":
        if (known && this.state !== "local-ended" && !this.#ending) this.#queued += "y";
        return this.#send();
      case "end":
        if (known) this.#ending = true;
        return this.#send();
      case "drop":
        if (known) {
          this.said.push("close");
          this.#over("ABORTED");
        }
        this.#unread = "";
        return;
      case "read":
        this.read += this.#unread;
        this.#unread = "";
    }
  }

  #begin(): void {
    this.state = "open";
    this.#unread = this.#queued = "";
    this.#ending = false;
    this.#sent = this.#acked = 0;
  }

  #send(): void {
    if (this.state === "none" || this.state === "local-ended") return;
    if (this.#queued !== "" && this.#acked === this.#sent) {
      this.said.push(`data:${this.#sent++} ${this.#queued}`);
      this.#queued = "";
    }
    if (!this.#ending || this.#queued !== "") return;
    this.said.push("eof");
    if (this.state === "open") this.state = "local-ended";
    else {
      this.said.push("close");
      this.#over(undefined);
    }
  }

  #over(fault: string | undefined): void {
    this.state = "none";
    this.closes.push(fault);
  }
}

function check(events: readonly Event[]): void {
  const end = new End("server", new FakeHost(), { reads: false });
  const model = new Model();
  const said: string[] = [];
  let read = "";
  events.forEach((event, index) => {
    const sid = String(100 + index);
    const owner = end.owners.at(-1);
    if (event === "create" || event === "data") {
      end.frame("binary4", { kind: event, id: "s", sid, text: "x" });
    } // The latest frame of this side is acked, or one that was never sent.
    else if (event === "ack") end.frame("binary4", { kind: "ack", id: "s", sid: latest(said) });
    else if (event === "eof" || event === "close") end.frame("binary4", { kind: event, id: "s" });
    else if (event === "write") owner?.stream.write(bytes("y"));
    else if (event === "end") owner?.stream.end();
    else if (event === "drop") owner?.stream.close();
    else if (owner) {
      const before = owner.got.length;
      owner.take();
      read += owner.got.slice(before);
    }
    said.push(...end.said("binary4"));
    model.apply(event, sid);
    const shown = events.slice(0, index + 1).join(" ");
    assertEquals(said, model.said, shown);
    assertEquals(read, model.read, shown);
    assertEquals(end.mux.size, model.state === "none" ? 0 : 1, shown);
    assertEquals(end.owners.flatMap((ears) => ears.closes), model.closes, shown);
    assertEquals(end.owners.flatMap((ears) => ears.late), [], shown);
  });
  assertEquals(end.ended, undefined);
}

const latest = (said: readonly string[]): string =>
  said.findLast((one) => one.startsWith("data:"))?.match(/\d+/)?.[0] ?? "0";

test("Mux follows the table of states in every order of four events after a create", () => {
  let orders = 0;
  const visit = (events: Event[]): void => {
    if (events.length === 5) {
      orders++;
      return check(events);
    }
    for (const event of EVENTS) visit([...events, event]);
  };
  visit(["create"]);
  assertEquals(orders, 9 ** 4);
});

test("Mux follows the table of states in any long order of events", () => {
  holds(fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 60 }), check), 300);
});

const MOVES = ["c.write", "c.end", "c.close", "s.write", "s.end", "s.close", "up", "down"] as const;
type Move = typeof MOVES[number];

/** Two of ours, bytes moving in any order: what arrives is what was sent, and nothing is left over. */
function play(moves: readonly Move[]): void {
  const shown = moves.join(" ");
  const pair = new Pair();
  const mine = pair.client.open();
  const sent = { c: "", s: "" };
  const ended = { c: false, s: false };
  let closed = false;
  for (const move of moves) {
    if (move === "up") pair.up();
    else if (move === "down") pair.down();
    else {
      const side = move[0] as "c" | "s";
      const owner = side === "c" ? mine : pair.server.owners[0];
      if (!owner) continue;
      if (move.endsWith("write")) {
        if (!ended[side] && !owner.closes.length) sent[side] += "abc";
        owner.stream.write(bytes("abc"));
      } else if (move.endsWith("end")) {
        ended[side] = true;
        owner.stream.end();
      } else {
        closed = true;
        owner.stream.close();
      }
    }
  }
  pair.run();
  const theirs = pair.server.owners[0];
  for (const ears of theirs ? [mine, theirs] : [mine]) {
    assert(ears.closes.length <= 1, `${shown}: closed ${ears.closes.length} times`);
    assertEquals(ears.late, [], shown);
  }
  assert(sent.c.startsWith(theirs?.got ?? ""), shown);
  assert(sent.s.startsWith(mine.got), shown);
  assertEquals(pair.client.ended, undefined, shown);
  assertEquals(pair.server.ended, undefined, shown);
  if (!closed) {
    if (theirs) assertEquals([theirs.got, mine.got], [sent.c, sent.s], shown);
    if (theirs && ended.c && ended.s) {
      assertEquals([mine.closes, theirs.closes], [[undefined], [undefined]], shown);
    }
  }
  if (closed || (ended.c && (ended.s || !theirs))) {
    assertEquals([pair.client.mux.size, pair.server.mux.size], [0, 0], shown);
  }
  assertEquals(pair.client.mux.unreadBytes + pair.server.mux.unreadBytes, 0, shown);
}

test("two ends agree in every order of four moves", () => {
  const visit = (moves: Move[]): void => {
    if (moves.length === 5) return play(moves);
    for (const move of MOVES) visit([...moves, move]);
  };
  visit(["c.write"]);
});

test("two ends agree in any long order of moves", () => {
  holds(fc.property(fc.array(fc.constantFrom(...MOVES), { maxLength: 80 }), play), 500);
});
