// The page of the prototype's --test: its document turned into code and nothing else.
const say = (value) => webkit.messageHandlers.say.postMessage(value);
const PING = 9, PONG = 10, CLOSE = 8;

/** A frame with a mask, four bytes in each word. */
function send(opcode, payload) {
  const key = crypto.getRandomValues(new Uint8Array(4));
  const masked = payload.map((byte, at) => byte ^ key[at % 4]);
  const frame = new Uint8Array([0x80 | opcode, 0x80 | payload.length, ...key, ...masked]);
  const data = new Uint32Array(Math.ceil(frame.length / 4));
  new Uint8Array(data.buffer).set(frame);
  globalThis.saucer.internal.sendBinary({ length: frame.length, data });
}

try {
  const response = await fetch("wsock://localhost/connect");
  const reader = response.body.getReader();
  let bytes = [];
  for (let done, value; { done, value } = await reader.read(), !done;) {
    bytes = [...bytes, ...value];
    while (bytes.length >= 2 && bytes.length >= 2 + bytes[1]) {
      const [first, length] = bytes;
      const payload = Uint8Array.from(bytes.slice(2, 2 + length));
      bytes = bytes.slice(2 + length);
      const opcode = first & 15;
      if (opcode === PING) send(PONG, payload);
      if (opcode === CLOSE) send(CLOSE, payload);
      say([opcode, new TextDecoder().decode(opcode === CLOSE ? payload.slice(2) : payload)]);
    }
  }
  say("end");
} catch (error) {
  say(`error: ${error}`);
}
