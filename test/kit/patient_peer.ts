/**
 * A BMP client that behaves as the real Blazeio does: it writes its whole request, a frame and then
 * its ack, before it reads anything; it acks nothing of the answer until then (binary4 and binary3;
 * text acks at once); a stream that is closed while it writes is a request that has failed.
 *
 * @module
 */
import { connect } from "node:net";
import { BmpDecoder } from "../../src/wire/bmp/bmp_decoder.ts";
import { encode } from "../../src/wire/bmp/bmp_encoder.ts";
import { carriesPayload, type Form, type Kind } from "../../src/wire/bmp/bmp_frame.ts";
import { bytes, text } from "./mux.ts";

export interface PatientAnswer {
  /** Status lines and bodies of all heads that came, undone from chunks. */
  readonly status: number;
  readonly body: string;
  /** What the server sent, without its payloads, and `data` only once in a row. */
  readonly kinds: Kind[];
}

const CHUNK = 8_192;

/** Makes one request on a connection of its own. Answers when the stream has ended. */
export async function patiently(port: number, form: Form, request: string): Promise<PatientAnswer> {
  const socket = connect(port, "127.0.0.1");
  const id = "io_0";
  const seen: { kind: Kind; sid: string }[] = [];
  let wake = () => {};
  let got = "";
  let lost = false;
  const decoder = new BmpDecoder({ form });
  socket.on("data", (chunk: Uint8Array) => {
    for (const piece of decoder.feed(chunk)) {
      if (carriesPayload(piece.head.kind)) got += text(piece.bytes);
      if (piece.last) seen.push({ kind: piece.head.kind, sid: piece.head.sid });
    }
    wake();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    lost = true;
    wake();
  });
  const count = (kind: Kind) => seen.filter((frame) => frame.kind === kind).length;
  const until = async (done: () => boolean) => {
    while (!done()) {
      if (lost) throw new Error("the connection is gone");
      await new Promise<void>((resolve) => wake = resolve);
    }
  };
  let acked = 0;
  const ackAll = () => {
    const data = seen.filter(({ kind }) => carriesPayload(kind));
    for (; acked < data.length; acked++) {
      if (form === "binary4" && data[acked]!.sid === "") continue;
      socket.write(encode(form, { kind: "ack", id, sid: data[acked]!.sid }));
    }
  };
  try {
    await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
    for (let at = 0, n = 0; at < request.length; at += CHUNK, n++) {
      if (count("close") > 0) throw new Error("closed while the request was written");
      const payload = bytes(request.slice(at, at + CHUNK));
      socket.write(
        encode(form, { kind: n === 0 ? "create" : "data", id, sid: String(n), payload }),
      );
      await until(() => {
        if (form === "text") ackAll();
        return count("ack") > n || count("close") > 0;
      });
      if (count("ack") <= n) throw new Error("closed, and the request was not acked");
    }
    await until(() => {
      ackAll();
      return count("close") > 0;
    });
    return { ...undone(got), kinds: seen.map(({ kind }) => kind) };
  } finally {
    socket.destroy();
  }
}

/** The last answer in these bytes. */
function undone(got: string): { status: number; body: string } {
  const heads = [...got.matchAll(/HTTP\/1\.1 (\d{3})[^]*?\r\n\r\n/g)];
  const head = heads.findLast(([, status]) => status !== "100");
  if (!head) throw new Error(`no answer in ${JSON.stringify(got.slice(0, 200))}`);
  let body = got.slice(head.index + head[0].length);
  if (/transfer-encoding: chunked/i.test(head[0])) {
    let whole = "";
    for (let size; (size = /^([0-9a-f]+)\r\n/i.exec(body)) && size[1] !== "0";) {
      const [start, length] = [size[0].length, parseInt(size[1]!, 16)];
      whole += body.slice(start, start + length);
      body = body.slice(start + length + 2);
    }
    body = whole;
  }
  return { status: Number(head[1]), body };
}
