// The page of the stream tests: a device that syncs, and a heart that is drawn as it comes.
// The address is the test server's, so a type check must not follow it.
const { BlazePair, EcgClient } = await import(`/blaze.js`);

let device, incoming;
let drawn = 0;

/** Joins a database and answers the code to compare. */
export async function sync(options) {
  device = BlazePair.open({ ...options, database: "bugs", trust: "first" });
  incoming = device[Symbol.asyncIterator]();
  return (await device.ready).code;
}

export const insert = (title) => device.collection("bugs").insert({ title });

export const next = async () => (await incoming.next()).value.operation.changes.title;

/** Watches a stream and draws it. */
export async function watch(options) {
  const watcher = EcgClient.open({ ...options, stream: "bed-3" });
  const loop = await watcher.watch();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [760, 300];
  document.body.replaceChildren(canvas);
  const pen = canvas.getContext("2d");
  pen.strokeStyle = "#b00020";
  (async () => {
    for await (const { payload } of loop) {
      pen.beginPath();
      for (const value of payload.signal) pen.lineTo(drawn++ * 760 / 1800, 170 - 90 * value);
      pen.stroke();
    }
  })();
}

export const samples = () => drawn;

/** Pixels that have ink. */
export function ink() {
  const canvas = document.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, at) => at % 4 === 3 && value > 0).length;
}
