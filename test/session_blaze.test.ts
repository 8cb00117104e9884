import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Close, Refused } from "../src/close.ts";
import { MAX_MESSAGE, MAX_PAYLOAD } from "../src/wire/blaze/blaze_frame.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeFault, encodeTags } from "../src/wire/blaze/control.ts";
import { encodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { Capability, decodeHandshakeAck, TlvType } from "../src/wire/blaze/handshake.ts";
import {
  type Device,
  everything,
  Lab,
  LITERAL,
  nodeId,
  PAIRED,
  PROFILE,
  SPONSORS,
} from "./kit/blaze.ts";
import { vectors } from "./kit/vectors.ts";
import { fromHex } from "../src/wire/bytes.ts";

const sealed = new Uint8Array(40).fill(7);

// -- The first frame

test("a session closes a link whose first frame is no Handshake", () => {
  for (const first of [0x02, 0x08, 0x41, 0x80, 0xff]) {
    const device = new Lab().connect();
    device.send(Uint8Array.of(0xbf, 0x01, first, 0, 0, 0, 0));
    assertEquals(device.nextFault(), Close.badFrame.code);
    assertEquals(device.closedWith?.code, Close.badFrame.code);
  }
});

test("a session closes every malformed Handshake, and nobody else hears of it", () => {
  const { vectors: rows } = vectors<{ vectors: { id: string; payload: string; reason: string }[] }>(
    "blaze-frame/handshake-malformed.json",
  );
  const lab = new Lab();
  const other = lab.join(1, PROFILE).forget();
  for (const { id, payload, reason } of rows) {
    // Whether a point lies on the curve is for the device that uses it: the relay does no ECDH.
    if (reason === "INVALID_POINT") continue;
    const device = lab.connect();
    device.send(encodeFrame({ type: FrameType.handshake, payload: fromHex(payload) }));
    assertEquals(device.nextFault(), Close.badFrame.code, id);
    assertEquals(device.closedWith?.code, Close.badFrame.code, id);
  }
  assertEquals(other.received, []);
});

test("a session closes every malformed frame of a member, and the others stay", () => {
  const { vectors: rows } = vectors<
    { vectors: { id: string; hex: string; frameLevel?: string }[] }
  >("blaze-frame/frames-malformed.json");
  for (const { id, hex, frameLevel } of rows) {
    if (frameLevel) continue;
    const lab = new Lab();
    const good = lab.join(1, PROFILE);
    const bad = lab.join(2, PROFILE).forget();
    good.forget();
    bad.send(fromHex(hex));
    const code = bad.nextFault();
    assert(code === Close.badFrame.code || code === Close.tooLarge.code, id);
    assertEquals(bad.closedWith?.code, code, id);
    assertEquals(good.nextExtension(), { subtype: "left", node: nodeId(2), members: 1 }, id);
    assertEquals(good.closedWith, undefined, id);
  }
});

test("a session closes a link that sends no Handshake in time", () => {
  const lab = new Lab();
  const device = lab.connect();
  lab.host.pass(9_999);
  assertEquals(device.closedWith, undefined);
  lab.host.pass(1);
  assertEquals(device.closedWith?.code, Close.noHandshake.code);
});

test("a session stops its timer once it knows the member, and once the link is gone", () => {
  const lab = new Lab();
  lab.join(1, PROFILE);
  lab.connect().close();
  assertEquals(lab.host.waiting, 0);
});

test("a session refuses text, and says so in the protocol", () => {
  const device = new Lab().join(1, PROFILE).forget();
  device.sendText();
  assertEquals(device.nextFault(), Close.text.code);
  assertEquals(device.closedWith?.code, Close.text.code);
});

test("a session refuses a database that is not the path's", () => {
  const device = new Lab().join(1, PROFILE, { terms: { database: "notes" } });
  assertEquals(device.nextFault(), Close.badFrame.code);
});

test("a session refuses a database without a grant, and a second Handshake", () => {
  const lab = new Lab();
  const grant = { ...everything, read: ["notes"] };
  assertEquals(lab.join(1, PROFILE, { terms: { grant } }).nextFault(), Close.forbidden.code);
  const device = lab.join(2, PROFILE).forget();
  device.greet(2, PROFILE);
  assertEquals(device.nextFault(), Close.badFrame.code);
});

test("a session refuses the group profile with the flags of the examples", () => {
  const device = new Lab().join(1, PROFILE, { reading: "examples" });
  assertEquals(device.nextFault(), Close.badFrame.code);
});

test("a session takes a payload of 1 MiB and closes one byte more", () => {
  const lab = new Lab({ bytesPerSecond: 0 });
  const a = lab.join(1, PROFILE);
  const b = lab.join(2, PROFILE).forget();
  a.frame(FrameType.operation, new Uint8Array(MAX_PAYLOAD));
  assertEquals(b.next().payload.length, MAX_PAYLOAD);
  const over = new Uint8Array(MAX_PAYLOAD + 8);
  over.set([0xbf, 0x01, 0x02, 0x00, 0x10, 0x00, 0x01]);
  a.forget().send(over);
  assertEquals(a.nextFault(), Close.tooLarge.code);
  assertEquals(a.closedWith?.code, 1009);
  b.send(new Uint8Array(MAX_MESSAGE + 1));
  assertEquals(b.closedWith?.code, 1009);
});

test("a session hears nothing after it has closed the link", () => {
  const lab = new Lab();
  const other = lab.join(1, PROFILE);
  // A peer that goes on sending after the close: the events still come.
  const late = lab.sessions.accept({ grant: everything, layout: "drawing" });
  let closed = false;
  const events = late({ remote: "late", buffered: 0, send() {}, close: () => closed = true });
  events.message(Uint8Array.of(1, 2, 3));
  assert(closed);
  other.forget();
  const handshake = lab.connect().greet(9, PROFILE);
  other.forget();
  events.message(handshake);
  assertEquals(other.received, []);
});

// -- Profile members

test("profile members see each other's Handshakes, byte for byte", () => {
  const lab = new Lab();
  const a = lab.connect();
  const greetingOfA = a.greet(1, PROFILE);
  assertEquals(a.nextExtension(), { subtype: "joined", node: nodeId(1), members: 1 });
  const b = lab.connect();
  const greetingOfB = b.greet(2, PROFILE);
  assertEquals(a.received, [greetingOfB]);
  assertEquals(b.take(), greetingOfA);
  assertEquals(b.nextExtension(), { subtype: "joined", node: nodeId(2), members: 2 });
});

test("above 64 members newcomers and members get a count instead", () => {
  const lab = new Lab();
  const members = Array.from({ length: 64 }, (_, i) => lab.join(i + 1, PROFILE));
  // The 64th still saw the 63 others.
  assertEquals(members[63]!.received.length, 64);
  for (const member of members) member.forget();
  const newcomer = lab.join(100, PROFILE);
  const joined = { subtype: "joined", node: nodeId(100), members: 65 } as const;
  assertEquals(newcomer.nextExtension(), joined);
  assertEquals(newcomer.received, []);
  assertEquals(members[0]!.nextExtension(), joined);
  assertEquals(members[0]!.received, []);
});

test("a frame of a profile member reaches the others as the very bytes that came", () => {
  const lab = new Lab();
  const [a, b, c] = [1, 2, 3].map((node) => lab.join(node, PROFILE));
  const elsewhere = lab.join(4, PROFILE, { database: "notes" }).forget();
  for (const device of [a!, b!, c!]) device.forget();
  const types = [
    ...[FrameType.operation, FrameType.operationAck, FrameType.query, FrameType.queryResult],
    ...[FrameType.compress, FrameType.decompress],
  ];
  for (const type of types) {
    const message = a!.frame(type, sealed, true);
    assertEquals(b!.take(), message);
    assertEquals(c!.take(), message);
  }
  const short = encodeFrame({ type: FrameType.operation, payload: sealed }, { short: true });
  a!.send(short);
  assert(b!.take() === short, "the same object, not a copy");
  assertEquals(a!.received, []);
  assertEquals(elsewhere.received, []);
});

test("nobody introduces devices but the relay: no Ack of a member's, no Handshake in an envelope", () => {
  const lab = new Lab();
  const [stranger, member] = [lab.join(1, PROFILE), lab.join(2, PROFILE).forget()];
  stranger.forget();
  for (const length of [32, 111]) {
    stranger.frame(FrameType.handshakeAck, new Uint8Array(length));
    assertEquals(stranger.nextFault(), Refused.notAllowed.code);
    for (const type of [FrameType.handshake, FrameType.handshakeAck]) {
      for (const short of [false, true]) {
        const frame = encodeFrame({ type, payload: new Uint8Array(length) }, { short });
        for (const node of [2, 9]) {
          stranger.extension({ subtype: "direct", node: nodeId(node), frame });
          assertEquals(stranger.nextFault(), Refused.notAllowed.code);
        }
        stranger.extension({ subtype: "tagged", tag: new Uint8Array(8), frame });
        assertEquals(stranger.nextFault(), Refused.notAllowed.code);
      }
    }
    lab.host.pass(2_000);
  }
  assertEquals([member.received, stranger.closedWith], [[], undefined]);
});

test("channels of different tenants never meet", () => {
  const lab = new Lab();
  const a = lab.join(1, PROFILE);
  const b = lab.join(2, PROFILE, { terms: { grant: { ...everything, tenant: "other" } } });
  a.forget();
  a.frame(FrameType.operation, sealed, true);
  assertEquals(b.nextExtension().subtype, "joined");
  assertEquals(b.received, []);
});

test("Ping is answered with Pong and its payload, Pong with nothing", () => {
  const device = new Lab().join(1, PROFILE).forget();
  device.frame(FrameType.ping, Uint8Array.of(1, 2, 3));
  const pong = device.next();
  assertEquals([pong.type, [...pong.payload]], [FrameType.pong, [1, 2, 3]]);
  device.frame(FrameType.pong);
  assertEquals(device.received, []);
});

test("Disconnect leaves cleanly, and the others hear it once", () => {
  const lab = new Lab();
  const [a, b] = [lab.join(1, PROFILE), lab.join(2, PROFILE)];
  b.forget();
  a.frame(FrameType.disconnect);
  assertEquals(a.closedWith?.code, 1000);
  assertEquals(b.nextExtension(), { subtype: "left", node: nodeId(1), members: 1 });
  assertEquals(b.received, []);
});

test("a node id that joins again replaces the older link of the same subject", () => {
  const lab = new Lab();
  const [older, other] = [lab.join(1, PROFILE), lab.join(2, PROFILE)];
  other.forget();
  const newer = lab.join(1, PROFILE);
  assertEquals(older.closedWith?.code, Close.replaced.code);
  assertEquals(newer.closedWith, undefined);
  assertEquals(other.nextExtension(), { subtype: "left", node: nodeId(1), members: 1 });
  assertEquals(other.next().type, FrameType.handshake);
  newer.frame(FrameType.operation, sealed, true);
  assertEquals(other.next().type, FrameType.operation);
});

test("a paired node that comes back before its old link is gone meets its partner again", () => {
  const lab = new Lab();
  const [older, partner] = [lab.join(1, LITERAL), lab.join(2, LITERAL)];
  const newer = lab.join(1, LITERAL);
  assertEquals(older.closedWith?.code, Close.replaced.code);
  assertEquals(partner.closedWith?.code, Close.partnerLeft.code);
  assertEquals(newer.received, [], "nobody is left to introduce");
  const again = lab.join(2, LITERAL);
  assertEquals(newer.next().type, FrameType.handshakeAck);
  assertEquals(again.next().type, FrameType.handshakeAck);
  assertEquals(lab.sessions.rooms, 1);
});

test("a node id of another subject is refused", () => {
  const lab = new Lab();
  const holder = lab.join(1, PROFILE);
  const thief = lab.join(1, PROFILE, { terms: { grant: { ...everything, subject: "thief" } } });
  assertEquals(thief.nextFault(), Close.nodeTaken.code);
  assertEquals(holder.closedWith, undefined);
});

test("a token that may not write is told so, and nobody gets the operation", () => {
  const lab = new Lab();
  const grant = { ...everything, write: ["notes"] };
  const reader = lab.join(1, PROFILE, { terms: { grant } });
  const other = lab.join(2, PROFILE).forget();
  reader.forget();
  reader.frame(FrameType.operation, sealed, true);
  assertEquals(reader.nextFault(), Refused.readOnly.code);
  const frame = encodeFrame({ type: FrameType.operation, payload: sealed });
  reader.extension({ subtype: "tagged", tag: new Uint8Array(8), frame });
  assertEquals(reader.nextFault(), Refused.readOnly.code);
  reader.extension({ subtype: "direct", node: nodeId(2), frame });
  assertEquals(reader.nextFault(), Refused.readOnly.code);
  const snapshot = { subtype: "device", code: Subtype.checkpoint, body: sealed } as const;
  reader.extension(snapshot);
  assertEquals(reader.nextFault(), Refused.readOnly.code);
  const inside = encodeFrame({ type: FrameType.extension, payload: encodeExtension(snapshot) });
  reader.extension({ subtype: "direct", node: nodeId(2), frame: inside });
  assertEquals(reader.nextFault(), Refused.readOnly.code);
  assertEquals(other.received, []);
  reader.frame(FrameType.query, sealed, true);
  assertEquals(other.next().type, FrameType.query);
});

test("the reserved type is refused, and the link goes on", () => {
  const device = new Lab().join(1, PROFILE).forget();
  device.frame(FrameType.reserved);
  assertEquals(device.nextFault(), Refused.notAllowed.code);
  assertEquals(device.closedWith, undefined);
});

// -- Extensions

test("direct frames reach one node, with their source in place of the target", () => {
  const lab = new Lab();
  const [a, b, c] = [1, 2, 3].map((node) => lab.join(node, PROFILE));
  for (const device of [a!, b!, c!]) device.forget();
  const frame = encodeFrame({ type: FrameType.query, payload: sealed });
  a!.extension({ subtype: "direct", node: nodeId(3), frame });
  assertEquals(c!.nextExtension(), { subtype: "direct", node: nodeId(1), frame });
  assertEquals(b!.received, []);
  a!.extension({ subtype: "direct", node: nodeId(9), frame });
  assertEquals(a!.nextFault(), Refused.noPartner.code);
});

test("tagged frames reach members that subscribed to the tag, or to nothing", () => {
  const lab = new Lab();
  const [a, b, c, d] = [1, 2, 3, 4].map((node) => lab.join(node, PROFILE));
  const [red, blue] = [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)];
  b!.frame(FrameType.subscribe, encodeTags([red]));
  c!.frame(FrameType.subscribe, encodeTags([blue]));
  d!.frame(FrameType.subscribe, new TextEncoder().encode("bugs"));
  for (const device of [a!, b!, c!, d!]) device.forget();
  const frame = encodeFrame({ type: FrameType.operation, payload: sealed, encrypted: true });
  const message = a!.extension({ subtype: "tagged", tag: red, frame });
  assertEquals([b!.take(), c!.take(), d!.take()], [message, undefined, message]);
  b!.frame(FrameType.unsubscribe, encodeTags([red]));
  a!.extension({ subtype: "tagged", tag: red, frame });
  assertEquals([b!.take(), d!.take()], [undefined, message]);
  // Untagged frames reach everybody, and so does everything once a subscription is empty.
  const plain = a!.frame(FrameType.operation, sealed, true);
  assertEquals([b!.take(), c!.take()], [plain, plain]);
  b!.frame(FrameType.subscribe);
  a!.extension({ subtype: "tagged", tag: blue, frame });
  assert(b!.take() !== undefined);
});

test("a Subscribe that makes no sense changes nothing and is answered", () => {
  const lab = new Lab({ tagsPerMember: 2 });
  const device = lab.join(1, PROFILE).forget();
  device.frame(FrameType.subscribe, fromHex("424c415a4501000109"));
  assertEquals(device.nextFault(), Refused.badPayload.code);
  const tags = [1, 2, 3].map((tag) => new Uint8Array(8).fill(tag));
  device.frame(FrameType.subscribe, encodeTags(tags));
  assertEquals(device.nextFault(), Refused.badPayload.code);
  assertEquals(device.closedWith, undefined);
});

test("device subtypes pass unread; the relay's own words are refused", () => {
  const lab = new Lab();
  const [a, b] = [lab.join(1, PROFILE), lab.join(2, PROFILE)];
  a.forget();
  b.forget();
  const message = a.extension({ subtype: "device", code: 0x11, body: sealed });
  assertEquals(b.take(), message);
  a.extension({ subtype: "left", node: nodeId(2), members: 0 });
  assertEquals(a.nextFault(), Refused.notAllowed.code);
  assertEquals(b.received, []);
  a.frame(FrameType.extension, Uint8Array.of(0x7f));
  assertEquals(a.nextFault(), Close.badFrame.code);
  assertEquals(a.closedWith?.code, Close.badFrame.code);
});

// -- Paired members

test("two literal clients get an Ack made of each other's Handshake, with one challenge", () => {
  const lab = new Lab();
  const a = lab.join(1, LITERAL);
  assertEquals(a.received, [], "nobody to introduce yet");
  const b = lab.join(2, LITERAL);
  const [ackOfA, ackOfB] = [a, b].map((device) => {
    const { type, payload } = device.next();
    assertEquals(type, FrameType.handshakeAck);
    assertEquals(payload.length, 111, "the drawing, to the byte");
    return decodeHandshakeAck(payload);
  });
  assertEquals([...ackOfA!.node], [...nodeId(2)]);
  assertEquals([...ackOfB!.node], [...nodeId(1)]);
  assertEquals(ackOfA!.publicKey[1], 2);
  assertEquals([ackOfA!.timestamp, ackOfA!.capabilities], [2n, LITERAL]);
  assertEquals(ackOfA!.challenge, ackOfB!.challenge);
});

test("the sample's layout is sent to who asks for it", () => {
  const lab = new Lab();
  const a = lab.join(1, LITERAL, { terms: { layout: "sample" } });
  lab.join(2, LITERAL);
  const { payload } = a.next();
  assertEquals(payload.length, 123);
  assertEquals(new TextDecoder().decode(payload.subarray(1, 12)), "blazedb/1.0");
});

test("frames of a paired client reach its partner only, rewritten for its reading", () => {
  const lab = new Lab();
  const a = lab.join(1, LITERAL);
  const b = lab.join(2, LITERAL, { reading: "examples" });
  const [c, d] = [lab.join(3, LITERAL), lab.join(4, LITERAL)];
  for (const device of [a, b, c, d]) device.forget();
  a.frame(FrameType.operation, sealed, true);
  assertEquals(b.received[0]?.[2], 0x52, "the examples' encrypted Operation");
  assertEquals(b.next(), {
    type: FrameType.operation,
    compressed: false,
    encrypted: true,
    payload: sealed,
  });
  b.frame(FrameType.operation, sealed, true);
  assertEquals(a.take()?.[2], 0x42);
  a.send(encodeFrame({ type: FrameType.query, payload: sealed }, { short: true }));
  assertEquals(b.take()?.length, 7 + sealed.length, "no short header to who did not ask for it");
  assertEquals([c.received, d.received], [[], []]);
});

test("Verify reaches a partner that knows trailing values, else it is dropped", () => {
  const lab = new Lab();
  const literal = lab.join(1, LITERAL);
  const modern = lab.join(2, PAIRED);
  literal.forget();
  modern.forget();
  literal.frame(FrameType.handshakeAck, new Uint8Array(32));
  assertEquals(modern.next().payload.length, 32);
  modern.frame(FrameType.handshakeAck, new Uint8Array(32));
  assertEquals(literal.received, []);
  literal.frame(FrameType.handshakeAck, new Uint8Array(111));
  assertEquals(literal.nextFault(), Refused.notAllowed.code);
});

test("a client's sponsor gets its Verify, and no Ack of its making", () => {
  const lab = new Lab();
  const sponsor = lab.join(1, PROFILE, SPONSORS);
  const client = lab.join(3, PAIRED).forget();
  sponsor.forget();
  for (const length of [111, 31, 33, 0]) {
    client.frame(FrameType.handshakeAck, new Uint8Array(length));
    assertEquals(client.nextFault(), Refused.notAllowed.code);
  }
  assertEquals(sponsor.received, []);
  client.frame(FrameType.handshakeAck, new Uint8Array(32));
  const verify = sponsor.nextExtension();
  assert(verify.subtype === "direct");
  assertEquals(decodeFrame(verify.frame).payload.length, 32);
  // And back, in a direct frame.
  const direct = (length: number) => {
    const payload = new Uint8Array(length);
    const frame = encodeFrame({ type: FrameType.handshakeAck, payload }, { short: true });
    sponsor.extension({ subtype: "direct", node: nodeId(3), frame });
  };
  direct(32);
  assertEquals(client.next().payload.length, 32);
  direct(111);
  assertEquals(sponsor.nextFault(), Refused.notAllowed.code);
  assertEquals(client.received, []);
});

test("trailing values reach a partner that knows them, and only that one", () => {
  const lab = new Lab();
  const tlvs = [{ type: TlvType.commitment, value: new Uint8Array(32) }];
  const literal = lab.join(1, LITERAL);
  lab.join(2, PAIRED, { tlvs });
  assertEquals(literal.next().payload.length, 111);
  const first = lab.join(3, PAIRED, { tlvs });
  const second = lab.join(4, PAIRED, { tlvs: [{ type: 99, value: Uint8Array.of(5) }] });
  assertEquals(decodeHandshakeAck(first.next().payload).tlvs.map(({ type }) => type), [99]);
  assertEquals(decodeHandshakeAck(second.next().payload).tlvs.map(({ type }) => type), [1]);
});

test("a paired client without a partner is told to wait", () => {
  const device = new Lab().join(1, LITERAL);
  device.frame(FrameType.operation, sealed, true);
  assertEquals(device.nextFault(), Refused.noPartner.code);
  device.frame(FrameType.ping);
  assertEquals(device.next().type, FrameType.pong);
  assertEquals(device.closedWith, undefined);
});

test("when a partner leaves, the other gets Disconnect and a close, and pairs again", () => {
  const lab = new Lab();
  const [a, b] = [lab.join(1, LITERAL), lab.join(2, LITERAL)];
  b.forget();
  a.close(1006);
  assertEquals(b.next().type, FrameType.disconnect);
  assertEquals(b.closedWith?.code, Close.partnerLeft.code);
  const [again, third] = [lab.join(2, LITERAL), lab.join(3, LITERAL)];
  assertEquals(again.next().type, FrameType.handshakeAck);
  assertEquals(third.next().type, FrameType.handshakeAck);
});

test("a third literal client waits, and meets the fourth", () => {
  const lab = new Lab();
  lab.join(1, LITERAL);
  lab.join(2, LITERAL);
  const third = lab.join(3, LITERAL);
  assertEquals(third.received, []);
  const fourth = lab.join(4, LITERAL);
  assertEquals([...decodeHandshakeAck(fourth.next().payload).node], [...nodeId(3)]);
});

test("a paired client sends Extensions only to a partner that knows them", () => {
  const lab = new Lab();
  const literal = lab.join(1, LITERAL);
  const modern = lab.join(2, PAIRED);
  modern.forget();
  literal.forget();
  modern.extension({ subtype: "device", code: 0x13, body: new Uint8Array(16) });
  assertEquals(modern.nextFault(), Refused.notAllowed.code);
  literal.extension({ subtype: "device", code: 0x13, body: new Uint8Array(16) });
  assertEquals(literal.nextFault(), Refused.notAllowed.code);
  const [a, b] = [lab.join(3, PAIRED), lab.join(4, PAIRED)];
  b.forget();
  const message = a.extension({ subtype: "device", code: 0x13, body: new Uint8Array(16) });
  assertEquals(b.next().payload, decodeFrame(message).payload);
});

test("a profile member sponsors paired clients: direct frames both ways", () => {
  const lab = new Lab();
  const [sponsor, other] = [lab.join(1, PROFILE, SPONSORS), lab.join(2, PROFILE)];
  sponsor.forget();
  other.forget();
  const client = lab.join(3, LITERAL, { reading: "examples" });
  const ack = decodeHandshakeAck(sponsor.next().payload);
  assertEquals([...ack.node], [...nodeId(3)]);
  assertEquals([...decodeHandshakeAck(client.next().payload).node], [...nodeId(1)]);

  client.frame(FrameType.operation, sealed, true);
  const direct = sponsor.nextExtension();
  assert(direct.subtype === "direct");
  assertEquals([...direct.node], [...nodeId(3)]);
  assertEquals(decodeFrame(direct.frame), {
    type: FrameType.operation,
    compressed: false,
    encrypted: true,
    payload: sealed,
  });
  const answer = encodeFrame(
    { type: FrameType.operation, payload: sealed, encrypted: true },
    { short: true },
  );
  sponsor.extension({ subtype: "direct", node: nodeId(3), frame: answer });
  assertEquals(client.next().type, FrameType.operation);
  // What the group says never reaches it, and nobody but its sponsor speaks to it.
  other.frame(FrameType.operation, sealed, true);
  other.extension({ subtype: "direct", node: nodeId(3), frame: answer });
  assertEquals(other.nextFault(), Refused.noPartner.code);
  assertEquals(client.received, []);
  // Nor does a frame that the text does not announce.
  const extension = encodeFrame({ type: FrameType.extension, payload: Uint8Array.of(0x13) });
  sponsor.forget().extension({ subtype: "direct", node: nodeId(3), frame: extension });
  assertEquals(sponsor.nextFault(), Refused.notAllowed.code);
  assertEquals(client.received, []);
});

test("a sponsor that leaves sends its paired clients to the next sponsor", () => {
  const lab = new Lab();
  const first = lab.join(1, PROFILE, SPONSORS);
  const second = lab.join(2, PROFILE, SPONSORS);
  const client = lab.join(3, LITERAL).forget();
  second.forget();
  first.close(1006);
  assertEquals(client.next().type, FrameType.disconnect);
  assertEquals(client.closedWith?.code, Close.partnerLeft.code);
  second.forget();
  const again = lab.join(3, LITERAL);
  assertEquals([...decodeHandshakeAck(again.next().payload).node], [...nodeId(2)]);
  again.close();
  second.next();
  assertEquals(second.nextExtension(), { subtype: "left", node: nodeId(3), members: 1 });
});

test("a waiting literal client is introduced to the first member that comes and sponsors", () => {
  const lab = new Lab();
  const client = lab.join(1, LITERAL);
  lab.join(2, PROFILE);
  assertEquals(client.received, []);
  lab.join(3, PROFILE, SPONSORS);
  assertEquals([...decodeHandshakeAck(client.next().payload).node], [...nodeId(3)]);
});

test("who was told no by its partner is closed so that it comes back later", () => {
  for (
    const [says, code] of [
      [{ code: Close.notConfirmed.code, message: "no" }, Close.notConfirmed.code],
      [{ code: 4405, message: "something else" }, Close.partnerLeft.code],
      [undefined, Close.partnerLeft.code],
    ] as const
  ) {
    const lab = new Lab();
    const [a, b] = [lab.join(1, PAIRED), lab.join(2, LITERAL)];
    b.forget();
    if (says) {
      a.frame(FrameType.error, encodeFault(says));
      assertEquals(b.nextFault(), says.code);
    }
    // No record at all, and one that is too long to be looked into.
    a.frame(FrameType.error, Uint8Array.of(1, 2, 3));
    a.frame(FrameType.error, encodeFault({ code: 4424, message: "x".repeat(2000) }));
    b.forget();
    a.close();
    assertEquals([b.next().type, b.closedWith?.code], [FrameType.disconnect, code]);
  }
});

test("two of whom one said no to the other meet others first, and each other after a minute", () => {
  const no = encodeFault({ code: Close.notConfirmed.code, message: "no" });
  const partner = (device: Device) => {
    const message = device.received.shift();
    return message && decodeHandshakeAck(decodeFrame(message).payload).node[0];
  };
  for (const leaves of ["who said it", "who was told"]) {
    const lab = new Lab();
    const [stranger, a] = [lab.join(9, PAIRED), lab.join(1, PAIRED)];
    a.forget().frame(FrameType.error, no);
    (leaves === "who said it" ? a : stranger).close();
    // The room was empty for a moment. Both come back, and wait.
    const again = lab.join(9, PAIRED);
    const back = lab.join(1, PAIRED);
    assertEquals([again.received, back.received], [[], []], leaves);
    // Whoever comes meets the longest-waiting one, and the next one the other.
    const b = lab.join(2, PAIRED);
    assertEquals([partner(b), partner(again)], [9, 2]);
    b.frame(FrameType.error, no);
    b.close();
    assertEquals(again.closedWith?.code, Close.notConfirmed.code);
    const more = lab.join(9, PAIRED);
    assertEquals(more.received, []);
    const knows = lab.join(2, PAIRED);
    assertEquals([partner(knows), partner(back)], [1, 2]);
    // Other rooms are none of this.
    const [x, y] = [9, 1].map((node) => lab.join(node, PAIRED, { database: "notes" }));
    assertEquals([partner(x!), partner(y!)], [1, 9]);
    knows.close();
    const late = lab.join(1, PAIRED);
    lab.host.pass(59_999);
    assertEquals(late.received, []);
    lab.host.pass(1);
    assertEquals([partner(late), partner(more)], [9, 1]);
    for (const device of [late, more, x!, y!]) device.close();
    assertEquals([lab.host.waiting, lab.sessions.rooms], [0, 0]);
  }
});

test("a stranger that comes under ever new node ids keeps two apart that say no to it for seconds only", () => {
  const lab = new Lab();
  const no = encodeFault({ code: Close.notConfirmed.code, message: "no" });
  const partner = (device: Device) => {
    const message = device.received.shift();
    return message && decodeHandshakeAck(decodeFrame(message).payload).node[0];
  };
  const refuse = (device: Device, stranger: number) => {
    assertEquals(partner(device), stranger);
    device.frame(FrameType.error, no);
    device.close();
  };
  lab.join(100, PAIRED);
  refuse(lab.join(1, PAIRED), 100);
  lab.join(101, PAIRED);
  const a = lab.join(1, PAIRED);
  // Its partner knows it, and has met nobody yet.
  refuse(lab.join(2, PAIRED), 101);
  const stranger = lab.join(102, PAIRED);
  assertEquals([a.received, stranger.received], [[], []]);
  lab.host.pass(4_999);
  const b = lab.join(2, PAIRED);
  assertEquals([partner(a), partner(b)], [2, 1]);
  // Who has nobody to wait for meets whoever is there.
  b.close();
  const alone = lab.join(1, PAIRED);
  assertEquals(alone.received, []);
  lab.host.pass(5_000);
  assertEquals([partner(alone), partner(stranger)], [102, 1]);
  assertEquals(lab.host.waiting, 0);
});

test("who waits for one it has to be kept apart from waits for nothing once it has left", () => {
  const lab = new Lab();
  const [a, b] = [lab.join(1, PAIRED), lab.join(2, PAIRED)];
  a.frame(FrameType.error, encodeFault({ code: Close.notConfirmed.code, message: "no" }));
  a.close();
  b.close();
  const [first, second] = [lab.join(1, PAIRED), lab.join(2, PAIRED)];
  assertEquals(lab.host.waiting, 1);
  second.close();
  assertEquals(lab.host.waiting, 0);
  const third = lab.join(2, PAIRED).forget();
  // A sponsor serves both.
  lab.join(3, PROFILE, SPONSORS);
  assertEquals([first.next().type, third.next().type], [
    FrameType.handshakeAck,
    FrameType.handshakeAck,
  ]);
  assertEquals(lab.host.waiting, 0);
});

test("a client is never introduced to a profile member that does not sponsor", () => {
  const lab = new Lab();
  lab.join(1, PROFILE);
  const [alone, sponsor] = [lab.join(2, LITERAL), lab.join(3, PROFILE, SPONSORS)];
  assertEquals([...decodeHandshakeAck(alone.next().payload).node], [...nodeId(3)]);
  sponsor.close(1006);
  alone.forget();
  // Nobody sponsors now: two of them have each other.
  const [one, two] = [lab.join(4, LITERAL), lab.join(5, LITERAL)];
  assertEquals([...decodeHandshakeAck(one.next().payload).node], [...nodeId(5)]);
  assertEquals([...decodeHandshakeAck(two.next().payload).node], [...nodeId(4)]);
});

test("a sponsor that declines a client sends it to the next one, and the last one to nobody", () => {
  const lab = new Lab();
  const sponsors = [1, 2].map((node) => lab.join(node, PROFILE, SPONSORS));
  const bystander = lab.join(9, PROFILE).forget();
  const goodbye = encodeFrame({ type: FrameType.disconnect }, { short: true });
  const decline = (by: Device) =>
    by.extension({ subtype: "direct", node: nodeId(5), frame: goodbye });
  const partner = (client: Device) => [...decodeHandshakeAck(client.next().payload).node];
  for (let round = 0; round < 2; round++) {
    for (const [i, sponsor] of sponsors.entries()) {
      const client = lab.join(5, LITERAL);
      assertEquals(partner(client), [...nodeId(i + 1)]);
      decline(bystander);
      assertEquals(bystander.nextFault(), Refused.noPartner.code);
      decline(sponsor);
      assertEquals(client.next().type, FrameType.disconnect);
      assertEquals(client.closedWith?.code, Close.partnerLeft.code);
      client.close();
    }
    // All have declined. It waits; when it comes once more, they may be asked anew.
    const client = lab.join(5, LITERAL);
    assertEquals([client.received, client.closedWith], [[], undefined]);
    // Another client is none of this.
    const other = lab.join(6, LITERAL);
    assertEquals(partner(other), [...nodeId(1)]);
    other.close();
    client.close();
  }
});

// -- Limits

test("a session that sends too fast is told and closed", () => {
  const lab = new Lab({ messagesPerSecond: 10, burstSeconds: 2 });
  const device = lab.join(1, PROFILE).forget();
  for (let i = 0; i < 19; i++) device.frame(FrameType.pong);
  assertEquals(device.closedWith, undefined);
  device.frame(FrameType.pong);
  assertEquals(device.nextFault(), Close.tooFast.code);
  assertEquals(device.closedWith?.code, Close.tooFast.code);
});

test("a session may go on for ever at the rate", () => {
  const lab = new Lab({ messagesPerSecond: 10, burstSeconds: 2 });
  const device = lab.join(1, PROFILE).forget();
  for (let i = 0; i < 500; i++) {
    lab.host.pass(100);
    device.frame(FrameType.pong);
  }
  assertEquals(device.closedWith, undefined);
});

test("a session closes a reader that falls too far behind, and the sender goes on", () => {
  const lab = new Lab({ bufferedBytes: 1000 });
  const [a, slow, fast] = [1, 2, 3].map((node) => lab.join(node, PROFILE).forget());
  for (const device of [a!, slow!, fast!]) device.forget();
  slow!.buffered = 990;
  a!.frame(FrameType.operation, sealed, true);
  assertEquals(slow!.closedWith?.code, Close.tooSlow.code);
  const types = [fast!.next().type, fast!.next().type].sort((one, other) => one - other);
  assertEquals(types, [FrameType.operation, FrameType.extension], "the operation, and who left");
  assertEquals(a!.closedWith, undefined);
});

test("Errors of a member are passed on, but not a flood of them", () => {
  const lab = new Lab({ faultsPerSecond: 5, burstSeconds: 1 });
  const [a, b] = [lab.join(1, LITERAL), lab.join(2, LITERAL)];
  b.forget();
  for (let i = 0; i < 50; i++) a.frame(FrameType.error);
  assertEquals(b.received.length, 5);
  assertEquals(a.closedWith, undefined);
});

test("an Error of a profile member goes to nobody but one: to all it would look like the relay's", () => {
  const lab = new Lab();
  const [a, b] = [lab.join(1, PROFILE), lab.join(2, PROFILE)];
  for (const device of [a, b]) device.forget();
  a.frame(FrameType.error, encodeFault({ code: 4406, message: "no_log" }));
  assertEquals(a.nextFault(), Refused.notAllowed.code);
  assertEquals(b.received, []);
});

test("a session that collects too many faults is closed", () => {
  const lab = new Lab({ faultsPerSecond: 5, burstSeconds: 1 });
  const device = lab.join(1, PROFILE).forget();
  for (let i = 0; i < 6; i++) device.frame(FrameType.reserved);
  assertEquals(device.closedWith?.code, Close.tooFast.code);
});

test("rooms and channels are forgotten when the last member leaves", () => {
  const lab = new Lab();
  const [a, b] = [lab.join(1, PROFILE), lab.join(2, LITERAL)];
  assertEquals(lab.channels.size, 1);
  a.close();
  b.close();
  assertEquals(lab.channels.size, 0);
  assertEquals(lab.sessions.rooms, 0);
});

test("capability bit 5 alone makes a profile member", () => {
  const lab = new Lab();
  const device = lab.join(1, Capability.group);
  assertEquals(device.nextExtension().subtype, "joined");
});
