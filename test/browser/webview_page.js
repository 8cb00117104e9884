// The page of the webview tests: a program's page that knows nothing of networks.
const { BlazeGroup, BlazePair, EcgClient, webview } = await import(`/blaze.js`);

const say = (value) => webkit.messageHandlers.say.postMessage(value);
const there = { url: "ws://localhost", transport: webview() };
const { count, invitation, samples } = JSON.parse(decodeURIComponent(location.hash.slice(1)));

/** Sends so many operations, and hears as many. */
async function exchange(device) {
  const titles = [];
  const heard = (async () => {
    for await (const { operation } of device) {
      if (titles.push(operation.changes.title) === count) return titles.sort();
    }
  })();
  for (let at = 0; at < count; at++) {
    await device.collection("bugs").insert({ title: `from the page ${at}` });
  }
  return await heard;
}

async function follow() {
  const watcher = EcgClient.open({ ...there, stream: "bed-3" });
  const messages = await watcher.watch();
  say({ watching: true });
  let [drawn, sum] = [0, 0];
  for await (const { payload } of messages) {
    for (const value of payload.signal) [drawn, sum] = [drawn + 1, sum + value];
    if (drawn >= samples) break;
  }
  watcher.close();
  return { samples: drawn, sum };
}

try {
  say({ secure: isSecureContext, origin: location.origin });
  const pair = BlazePair.open({ ...there, database: "bugs", trust: "first" });
  const { code } = await pair.ready;
  say({ code });
  say({ pair: await exchange(pair) });

  const group = BlazeGroup.open({ ...there, invitation });
  say({ group: await exchange(group) });

  say({ heart: await follow() });
} catch (error) {
  say({ error: `${error}` });
}
