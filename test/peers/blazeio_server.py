"""The real Blazeio as a BMP server on a port of 127.0.0.1: /hello, /big, /chunked, /echo.

    python blazeio_server.py PORT
"""
import sys

import Blazeio as io
from Blazeio.Protocols.multiplexer import Protocols

PORT = int(sys.argv[1])
BODY = bytes((i * 7 + i // 251) % 256 for i in range(100_000))

web = io.App("127.0.0.1", PORT, name="web")
web.set_protocol(Protocols.server)


@web.attach
class Routes:
    async def _hello(self, r):
        await r.prepare({"Content-Type": "text/plain", "Content-Length": "5"}, 200)
        await r.write(b"hello")

    async def _big(self, r):
        await r.prepare({"Content-Type": "application/octet-stream", "Content-Length": "100000"}, 200)
        await r.write(BODY)

    async def _chunked(self, r):
        await r.prepare({"Content-Type": "text/plain", "Transfer-Encoding": "chunked"}, 200)
        for n in range(5):
            await r.write(b"piece %d\n" % n)
        await r.eof()

    async def _echo(self, r):
        body = bytearray()
        async for chunk in r.pull():
            body.extend(chunk)
        await r.prepare({"Content-Length": str(len(body))}, 200)
        await r.write(bytes(body))


if __name__ == "__main__":
    with web:
        web.runner()
