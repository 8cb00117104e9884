/**
 * Tries HTTP streams: `/stream/try`. A whole client in a hundred lines, and deliberately not the SDK: it
 * follows the protocol's text, docs/protocol/stream.md.
 *
 * @module
 */
import { element, write } from "../common/dom.ts";
import { askToken, readHash } from "../common/token.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
const NAME: Readonly<Record<number, string>> = {
  1: "TEXT",
  2: "BINARY",
  8: "CLOSE",
  9: "PING",
  10: "PONG",
};
/** Failures in a row after which a stream is given up, and the wait after each. */
const PATIENCE = 10;
const WAIT_MS = 500;
const LINES = 500;

const utf8 = new TextEncoder();
const text = new TextDecoder();
const wait = () => new Promise((resolve) => setTimeout(resolve, WAIT_MS));

/** A masked frame: 2 bytes, a long length if need be, 4 bytes of key, the payload. */
function frame(opcode: number, payload: Bytes): Bytes {
  const { length } = payload;
  const size = length < 126
    ? [0x80 | length]
    : length < 65536
    ? [0x80 | 126, length >> 8, length & 255]
    : [
      0x80 | 127,
      0,
      0,
      0,
      0,
      length >>> 24,
      length >>> 16 & 255,
      length >>> 8 & 255,
      length & 255,
    ];
  const key = crypto.getRandomValues(new Uint8Array(4));
  const masked = payload.map((byte, i) => byte ^ key[i & 3]!);
  return new Uint8Array([0x80 | opcode, ...size, ...key, ...masked]);
}

/** Takes whole, unmasked frames off the front of `bytes`; answers what is left. */
function unframe(bytes: Bytes, each: (opcode: number, payload: Bytes) => void): Bytes {
  for (;;) {
    if (bytes.length < 2) return bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    let [length, at] = [bytes[1]!, 2];
    if (length === 126) {
      if (bytes.length < 4) return bytes;
      [length, at] = [view.getUint16(2), 4];
    } else if (length === 127) {
      if (bytes.length < 10) return bytes;
      [length, at] = [Number(view.getBigUint64(2)), 10];
    }
    if (bytes.length < at + length) return bytes;
    each(bytes[0]! & 15, bytes.slice(at, at + length));
    bytes = bytes.slice(at + length);
  }
}

function show(kind: "" | "up" | "down" | "fault", line: string): void {
  const [log, row] = [element("log"), document.createElement("div")];
  row.className = kind;
  row.textContent = `${new Date().toLocaleTimeString()}  ${line}`;
  log.append(row);
  if (log.childElementCount > LINES) log.firstChild!.remove();
  log.scrollTop = log.scrollHeight;
}

function state(name: "closed" | "connecting" | "open" | "not let in"): void {
  write(element("state"), name);
  element<HTMLButtonElement>("connect").disabled = name !== "closed";
  for (const id of ["disconnect", "send", "ping"]) {
    element<HTMLButtonElement>(id).disabled = name !== "open";
  }
}

class Stream {
  #address = "";
  #authorization: Record<string, string> = {};
  #received = 0;
  #number = 0;
  #turn = Promise.resolve();
  #closing = false;
  #over = false;

  /** False: the relay does not take the token. Throws what else it says. */
  async open(to: string, token: string | undefined): Promise<boolean> {
    if (token !== undefined) this.#authorization = { authorization: `Bearer ${token}` };
    const answer = await fetch("/stream", {
      method: "POST",
      headers: { ...this.#authorization, "content-type": "application/json" },
      body: JSON.stringify({ to }),
    });
    if (answer.status === 401) return false;
    const said = await answer.json() as { id: string; error?: string };
    if (answer.status !== 201) throw new Error(said.error ?? `HTTP ${answer.status}`);
    this.#address = `/stream/${said.id}`;
    show("", `stream ${said.id.slice(0, 16)}… is open`);
    void this.#read();
    return true;
  }

  /** One request after the other, each with its number, again until it is answered. */
  send(opcode: number, payload: Bytes): void {
    const said = opcode === OPCODE.close ? "1000" : `"${text.decode(payload)}"`;
    show("up", `→ ${NAME[opcode]} ${said}`);
    if (opcode === OPCODE.close) this.#closing = true;
    const [number, body] = [this.#number++, frame(opcode, payload)];
    this.#turn = this.#turn.then(async () => {
      for (let failures = 0; failures < PATIENCE; failures++) {
        const answer = await fetch(this.#address, {
          method: "POST",
          headers: {
            ...this.#authorization,
            "stream-number": `${number}`,
            "stream-received": `${this.#received}`,
          },
          body,
        }).catch(() => undefined);
        if (answer && answer.status < 500) return;
        await wait();
      }
    });
  }

  /** Each response begins where the last one broke off. */
  async #read(): Promise<void> {
    let rest: Bytes = new Uint8Array(0);
    for (let failures = 0; !this.#over && failures < PATIENCE; failures++) {
      try {
        const answer = await fetch(this.#address, {
          headers: { ...this.#authorization, "stream-received": `${this.#received}` },
        });
        if (answer.status !== 200) break;
        const reader = answer.body!.getReader();
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          failures = 0;
          this.#received += value.length;
          rest = unframe(new Uint8Array([...rest, ...value]), (op, payload) => {
            this.#take(op, payload);
          });
        }
      } catch {
        await wait();
      }
    }
    this.#end("lost");
  }

  #take(opcode: number, payload: Bytes): void {
    const said = opcode === OPCODE.close
      ? `${payload.length > 1 ? payload[0]! << 8 | payload[1]! : ""} ${
        text.decode(payload.slice(2))
      }`
      : `"${text.decode(payload)}"`;
    show("down", `← ${NAME[opcode]} ${said}`);
    if (opcode === OPCODE.ping) this.send(OPCODE.pong, payload);
    if (opcode !== OPCODE.close) return;
    if (!this.#closing) this.send(OPCODE.close, payload);
    this.#end("closed");
  }

  #end(why: "closed" | "lost"): void {
    if (this.#over) return;
    this.#over = true;
    if (why === "lost") show("fault", "the stream is lost");
    state("closed");
  }
}

let { token } = readHash();
let stream: Stream;

async function connect(): Promise<void> {
  state("connecting");
  try {
    for (;;) {
      stream = new Stream();
      if (await stream.open("/echo", token)) return state("open");
      state("not let in");
      token = await askToken(element("ask"), token);
    }
  } catch (error) {
    show("fault", error instanceof Error ? error.message : String(error));
    state("closed");
  }
}

const onSubmit = (id: string, run: () => void) =>
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
const onClick = (id: string, run: () => void) => element(id).addEventListener("click", run);

onSubmit("connection", () => void connect());
onSubmit("message", () => {
  stream.send(OPCODE.binary, utf8.encode(element<HTMLInputElement>("text").value));
});
onClick("disconnect", () => stream.send(OPCODE.close, Uint8Array.of(1000 >> 8, 1000 & 255)));
onClick("ping", () => stream.send(OPCODE.ping, utf8.encode("ping")));
addEventListener("hashchange", () => location.reload());
