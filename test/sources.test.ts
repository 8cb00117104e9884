import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { EcgClient, MessageType } from "../src/client/mod.ts";
import { ARRHYTHMIAS, Heart, type HeartOptions, LEADS } from "../tools/formats/heart.ts";
import { openRecording } from "../tools/formats/open.ts";
import { physical } from "../tools/formats/recording.ts";
import { chunkPayload, heartSource, play, recordingSource, scaleOf } from "../tools/player.ts";
import { Recorder } from "../tools/recorder.ts";
import { root } from "../tools/runtimes.ts";
import { spread } from "../tools/stats.ts";
import { StreamWatch } from "../tools/stream_watch.ts";
import { sizesOf } from "../tools/encodings.ts";
import { complaintsOf } from "../tools/error_log.ts";
import { decode, encode } from "../src/wire/ecg/ecg_message.ts";
import { readChunk } from "../web/viewer/lead_samples.ts";
import { withRelay } from "./kit/relay.ts";
import { vectors } from "./kit/vectors.ts";
import { fromHex, type WireError } from "../src/wire/bytes.ts";

const heart = (more: Partial<HeartOptions> = {}): Heart =>
  new Heart({ rate: 500, leads: 2, bpm: 60, noise: 0, arrhythmia: "none", seed: 1, ...more });
const real = () => openRecording(`${root}data/ecg/mitdb100_60s.json`);

test("Heart beats at the rate it is told, with R where it says and as high as a heart's", () => {
  for (const bpm of [45, 60, 90, 150]) {
    const one = heart({ bpm });
    const [lead] = one.read(500 * 60) as [Float64Array, Float64Array];
    const beats = one.beats();
    assert(Math.abs(beats.length - bpm) <= 3, `${beats.length} beats at ${bpm} /min`);
    // The first beats are on their way to the circle.
    for (const { sample, symbol } of beats.slice(3, -1)) {
      assertEquals(symbol, "N");
      const around = lead.subarray(sample - 25, sample + 25);
      const peak = Math.max(...around);
      assert(peak > 0.6 && peak < 2.2, `R of ${peak} mV at ${bpm} /min`);
      const next = lead.subarray(sample + 25, sample + 100);
      assert(Math.max(...next) < peak, "R is the highest of its beat");
    }
  }
});

test("Heart: equal seeds give equal hearts, others do not; every lead and arrhythmia is finite", () => {
  const samples = (seed: number) => [...heart({ seed, noise: 0.1 }).read(1000)[0]!];
  assertEquals(samples(7), samples(7));
  assert(samples(7).some((value, i) => value !== samples(8)[i]));
  for (const arrhythmia of ARRHYTHMIAS) {
    const rows = heart({ arrhythmia, leads: Object.keys(LEADS).length, noise: 0.05 }).read(5000);
    assertEquals(rows.length, 12);
    for (const row of rows) assert(row.every((value) => Math.abs(value) < 6));
  }
});

test("Heart: arrhythmias are what they are called", () => {
  const intervals = (one: Heart): { rr: number[]; symbols: string[] } => {
    one.read(500 * 60);
    const beats = one.beats().slice(2);
    const rr = beats.slice(1).map(({ sample }, i) => (sample - beats[i]!.sample) / 500);
    return { rr, symbols: beats.map(({ symbol }) => symbol) };
  };
  const deviation = (values: number[]) => {
    const mean = values.reduce((sum, one) => sum + one) / values.length;
    return Math.sqrt(values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / values.length) /
      mean;
  };
  const [calm, fibrillating] = [heart(), heart({ arrhythmia: "af" })].map((one) =>
    intervals(one).rr
  );
  assert(deviation(calm!) < 0.06 && deviation(fibrillating!) > 0.12);
  const pvc = intervals(heart({ arrhythmia: "pvc" }));
  const early = pvc.symbols.flatMap((symbol, i) =>
    symbol === "V" && i > 0 && i < pvc.rr.length ? [i] : []
  );
  assert(early.length >= 3, `${early.length} early beats`);
  for (const i of early) {
    assert(pvc.rr[i - 1]! < 0.9 && pvc.rr[i]! > pvc.rr[i - 1]!, "early, then a pause");
  }
  assert(intervals(heart({ arrhythmia: "pause" })).rr.some((rr) => rr > 3));
});

test("recordingSource plays what is asked, once or for ever, and numbers its beats", () => {
  const recording = { ...real(), annotations: [{ sample: 105, symbol: "N" }] };
  const once = recordingSource(recording, { from: 100, to: 110 });
  assertEquals(once.length, 10);
  const wanted = [...recording.samples[1]!.subarray(100, 110)]
    .map((value) => physical(value, recording.leads[1]!));
  assertEquals([...once.read(6)[1]!, ...once.read(6)[1]!], wanted);
  assertEquals(once.beats(), [{ sample: 5, symbol: "N" }]);
  assertEquals(once.read(6)[0]!.length, 0);
  const loop = recordingSource(recording, { from: 100, to: 110, loop: true });
  let got = 0;
  while (got < 35) got += loop.read(10)[0]!.length;
  assertEquals(loop.beats().map(({ sample }) => sample), [5, 15, 25, 35]);
});

test("chunkPayload is read by the viewer, one lead and many", () => {
  for (const leads of [1, 2, 8]) {
    const source = heartSource(heart({ leads }));
    const rows = source.read(50);
    const sent = chunkPayload(source, rows, 100, 1_700_000_000_000);
    const chunk = readChunk(decode(encode({ version: 1, type: 1, payload: sent })).payload);
    assertEquals([chunk.rate, chunk.first, chunk.startMs], [500, 100, 1_700_000_000_000]);
    assertEquals(chunk.leads.map(({ name }) => name), Object.keys(LEADS).slice(0, leads));
    assertEquals(chunk.samples, rows.map((row) => Float32Array.from(row)));
  }
});

test("play --packed: the integers that were stored arrive, and cost a tenth", () =>
  withRelay(async ({ url }) => {
    const recording = real();
    const source = recordingSource(recording, { to: 720 });
    const watcher = EcgClient.open({ url, stream: "a" });
    const loop = await watcher.watch();
    const monitor = EcgClient.open({ url, stream: "a", scale: scaleOf(source) });
    await play(monitor, source, { speed: Infinity, chunk: 1, packed: true });
    const recorder = new Recorder("mine");
    for (const second of [0, 1]) {
      const { value } = await loop.next();
      assert(value.wireLength < 1000, `${value.wireLength} bytes`);
      value.signal.leads.forEach(({ raw }: { raw: Int32Array }, lead: number) => {
        const wanted = recording.samples[lead]!.subarray(360 * second, 360 * (second + 1));
        assertEquals([...raw], [...wanted]);
      });
      assertEquals(recorder.take(value, 0), undefined);
    }
    const found = recorder.finish(Infinity);
    assertEquals([found.rate, found.leads.map(({ name }) => name)], [360, ["MLII", "V5"]]);
    const [row, lead] = [found.samples[0]!, found.leads[0]!];
    assertEquals(
      physical(row[100]!, lead),
      physical(recording.samples[0]![100]!, recording.leads[0]!),
    );
    watcher.close();
    monitor.close();
  }));

test("play into a relay and record from it: every sample, beat and gap arrives", () =>
  withRelay(async ({ url }) => {
    const watcher = EcgClient.open({ url, stream: "a" });
    const loop = await watcher.watch();
    const monitor = EcgClient.open({ url, stream: "a" });
    const recording = real();
    const annotations = [{ sample: 300, symbol: "N" }];
    const source = recordingSource({ ...recording, annotations }, { to: 360 * 20 });
    const dropped = recordingSource(recording, { from: 360 * 20, to: 360 * 21 });
    const sent = await play(monitor, source, { speed: Infinity, chunk: 0.5, alarmEvery: 8 });
    assertEquals(sent, 7200);
    await monitor.publish(chunkPayload(source, dropped.read(100), 7300), { acknowledged: true });
    const [recorder, watch] = [new Recorder("mine"), new StreamWatch()];
    while (recorder.seconds < 7400 / 360) {
      const { value } = await loop.next();
      assertEquals(recorder.take(value, Date.now()), undefined);
      watch.take(value, Date.now());
    }
    const found = recorder.finish(Infinity);
    assertEquals([found.rate, recorder.missing], [360, 100]);
    for (const [lead, row] of found.samples.entries()) {
      const wanted = (i: number) => physical(recording.samples[lead]![i]!, recording.leads[lead]!);
      for (let i = 0; i < 7200; i++) {
        const value = physical(row[i]!, found.leads[lead]!);
        assert(Math.abs(value - wanted(i)) <= 0.00025, `sample ${i}: ${value}`);
      }
      assert(row.subarray(7200, 7300).every(Number.isNaN));
      assert(Math.abs(physical(row[7399]!, found.leads[lead]!) - wanted(7299)) <= 0.00025);
    }
    assertEquals(found.annotations.filter(({ symbol }) => symbol === "N"), annotations);
    assertEquals(found.annotations.length, 3);
    const total = watch.total();
    assertEquals([total.lost, total.alarms, total.messages], [100, 2, 44]);
    assert(total.latency.p50 >= 0 && total.latency.max < 60_000);
    watcher.close();
    monitor.close();
  }));

test("Recorder says what it cannot take, and goes on", () => {
  const recorder = new Recorder("x");
  const message = (payload: unknown, type: MessageType = MessageType.ECG_DATA) =>
    ({ version: 3, type, flags: 0, timestamp: 0n, payload, wireLength: 1 }) as never;
  assertEquals(recorder.take(message({ beats: [1] }, MessageType.FEATURE_DATA), 0), undefined);
  assert(recorder.take(message({ signal: "x", sampling_rate: 1 }), 0)?.includes("signal"));
  assertEquals(recorder.take(message({ signal: [1], sampling_rate: 1 }), 0), undefined);
  assert(recorder.take(message({ signal: [1], sampling_rate: 2 }), 0)?.includes("rate"));
  assertEquals([...recorder.finish(9).samples[0]!], [2000]);
});

test("sizesOf: the seed's promises hold on a real recording", () => {
  const recording = real();
  const [leads, samples] = [recording.leads.slice(0, 1), recording.samples.slice(0, 1)];
  const rows = new Map(
    sizesOf({ ...recording, leads, samples }, 1).map(({ name, bytes }) => [name, bytes]),
  );
  const json = rows.get("JSON, shortest")!;
  // "50-70 % smaller than JSON" takes zlib: a list of float 64 alone is larger.
  assert(rows.get("V2, floats, zlib")! < 0.5 * json);
  assert(rows.get("V1, floats")! > json);
  assert(rows.get("V3, integers, zlib")! < rows.get("V3, integers")!);
  assert(rows.get("V3, packed signal")! < 0.14 * json);
});

test("complaintsOf names the code of every malformed vector, and finds nothing in good ones", () => {
  type Case = { name: string; wire: string; error: string; code?: number };
  const bad = vectors<{ vectors: Case[] }>("ecg/malformed.json").vectors;
  assert(bad.length > 20);
  let refused = 0;
  for (const { name, wire } of bad) {
    // A few are well-formed, and wrong only for the relay that gets them.
    let code: string | undefined;
    try {
      decode(fromHex(wire));
    } catch (error) {
      code = (error as WireError).code;
      refused++;
    }
    assertEquals(complaintsOf(fromHex(wire)).map((one) => one.code), code ? [code] : [], name);
  }
  assert(refused > 20);
  const good = vectors<{ vectors: { name: string; wire: string }[] }>("ecg/messages.json").vectors;
  for (const { name, wire } of good) {
    const complaints = complaintsOf(fromHex(wire));
    const expected = fromHex(wire)[1] === MessageType.ERROR ? 1 : 0;
    assertEquals(complaints.length, expected, name);
  }
  const [refusal] = complaintsOf(encode({
    version: 1,
    type: MessageType.ERROR,
    payload: { code: 0x203, message: "bed-3" },
  }));
  assertEquals([refusal?.code, refusal?.text], ["0x203", "bed-3"]);
  assert(refusal!.detail[0]!.startsWith("Permission denied"));
});

test("spread finds quantiles by nearest rank", () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  assertEquals(spread(values), { p50: 50, p95: 95, p99: 99, max: 100 });
  assertEquals(spread([7]), { p50: 7, p95: 7, p99: 7, max: 7 });
  assert(Number.isNaN(spread([]).p50));
});
