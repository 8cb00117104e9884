"""The real Blazeio as a client of a BMP port: does what it is told and says what came, as JSON.

    python blazeio_client.py PORT requests
    python blazeio_client.py PORT many STREAMS PATH
    python blazeio_client.py PORT bench STREAMS SECONDS
"""
import asyncio
import hashlib
import json
import sys
import time

import Blazeio as io
from Blazeio.Protocols.multiplexer import Protocols

PORT = int(sys.argv[1])
BODY = bytes((i * 7 + i // 251) % 256 for i in range(100_000))


async def connect():
    io.loop = asyncio.get_running_loop()
    return await io.Session(
        "http://127.0.0.1:%d/" % PORT, client_protocol=Protocols.client, connect_only=True
    )


async def request(conn, path, method="get", **rest):
    url = "http://127.0.0.1:%d%s" % (PORT, path)
    stream = await conn.protocol.create_stream()
    async with io.Session(url, method, use_protocol=stream, **rest) as r:
        body = bytearray()
        async for chunk in r.pull():
            body.extend(chunk)
        return int(r.status_code), bytes(body)


def shown(answer):
    status, body = answer
    return {"status": status, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


async def pieces():
    for at in range(0, 30_000, 7_000):
        yield BODY[at:min(at + 7_000, 30_000)]


async def requests():
    conn = await connect()
    out = {"version": io.__version__}
    timed = lambda coro: asyncio.wait_for(coro, 20)
    out["get"] = shown(await timed(request(conn, "/hello")))
    out["get100k"] = shown(await timed(request(conn, "/big")))
    out["post100k"] = shown(await timed(request(conn, "/echo", "post", body=BODY)))
    out["chunked"] = shown(await timed(request(conn, "/chunked")))
    out["upload"] = shown(await timed(request(
        conn, "/echo", "post", headers={"Transfer-Encoding": "chunked"}, content=pieces()
    )))
    two = await timed(asyncio.gather(request(conn, "/big"), request(conn, "/hello")))
    out["two"] = [shown(one) for one in two]
    out["missing"] = shown(await timed(request(conn, "/nothing-here")))
    out["early"] = shown(await timed(request(conn, "/nothing-here", "post", body=BODY[:50_000])))
    out["early100k"] = shown(await timed(request(conn, "/big", "post", body=BODY[:50_000])))
    out["head"] = shown(await timed(request(conn, "/big", "head")))
    print(json.dumps(out), flush=True)


async def many(streams, path):
    """All at once, each on a stream of its own; says which answers came, and how often."""
    conn = await connect()
    answers = await asyncio.gather(*[request(conn, path) for _ in range(streams)])
    kinds = {}
    for answer in answers:
        key = json.dumps(shown(answer))
        kinds[key] = kinds.get(key, 0) + 1
    print(json.dumps([[json.loads(key), times] for key, times in kinds.items()]), flush=True)


async def bench(streams, seconds):
    conn = await connect()
    end = time.perf_counter() + seconds
    count = 0

    async def worker():
        nonlocal count
        while time.perf_counter() < end:
            status, body = await request(conn, "/hello")
            if status != 200 or len(body) != 5:
                raise RuntimeError("%d %r" % (status, body))
            count += 1

    begin = time.perf_counter()
    await asyncio.gather(*[worker() for _ in range(streams)])
    print(json.dumps({"requests": count, "seconds": time.perf_counter() - begin}), flush=True)


if sys.argv[2] == "bench":
    main = bench(int(sys.argv[3]), float(sys.argv[4]))
elif sys.argv[2] == "many":
    main = many(int(sys.argv[3]), sys.argv[4])
else:
    main = requests()
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main)
sys.stdout.flush()
# Its own tasks never end by themselves.
import os
os._exit(0)
