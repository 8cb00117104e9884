"""
A client of WebSocket over a stream, from docs/protocol/stream.md and RFC 6455 alone: it shares no
code with the relay, and needs nothing but Python 3.

    python3 stream_client.py RELAY TOKEN OTHER_RELAY SEED [WHAT …]

Takes a stream through everything that the text says, and prints what became of each as JSON:
{"what": "ok", or what was wrong}. OTHER_RELAY is another instance that takes the same token. WHAT
names what is tried; without it, all but "alive", which waits for a long time.
"""
import http.client
import json
import queue
import random
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

RELAY, TOKEN, OTHER, SEED = sys.argv[1:5]
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


# --- requests -------------------------------------------------------------------------------------


def connection(relay=RELAY):
    return http.client.HTTPConnection(urlsplit(relay).netloc, timeout=30)


def call(method, path, headers={}, body=None, relay=RELAY, token=TOKEN):
    """One request; its status and what it said, as JSON where it is some."""
    link = connection(relay)
    try:
        if token:
            headers = {"Authorization": "Bearer " + token, **headers}
        link.request(method, path, body, headers)
        answer = link.getresponse()
        said = answer.read()
        try:
            return answer.status, json.loads(said)
        except ValueError:
            return answer.status, said
    finally:
        link.close()


def opened(to="/echo", **also):
    status, said = call("POST", "/stream", body=json.dumps({"to": to, **also}))
    assert status == 201, (status, said)
    return said


# --- frames ---------------------------------------------------------------------------------------


def frame(opcode, payload=b"", fin=True, key=None):
    """A masked frame."""
    key = key or random.randbytes(4)
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", fin << 7 | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", fin << 7 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", fin << 7 | opcode, 0x80 | 127, length)
    mask = int.from_bytes((key * (length // 4 + 1))[:length], "big")
    return head + key + (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")


def frames(buffer):
    """Takes whole frames without mask off the front of a bytearray."""
    while len(buffer) >= 2:
        length, at = buffer[1], 2
        assert length < 128, "a mask from a relay"
        if length >= 126:
            at = 4 if length == 126 else 10
            if len(buffer) < at:
                return
            length = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + length:
            return
        first, payload = buffer[0], bytes(buffer[at:at + length])
        del buffer[:at + length]
        yield first >> 7, first & 15, payload


# --- a client that obeys --------------------------------------------------------------------------


class Client:
    """
    `wild`: posts go out of order and twice, responses are broken off. `chance` decides where.
    """

    def __init__(self, to="/echo", chance=None, poll=False, wild=False):
        self.said = opened(to)
        self.path = "/stream/" + self.said["id"]
        self.chance, self.poll, self.wild = chance or random.Random(SEED), poll, wild
        self.events = queue.Queue()  # ("message", payload), ("close", code), ("lost", status)
        self.received = self.acknowledged = 0
        self.heard = time.monotonic()
        self.gets = self.pings = 0
        self.over = False
        self.closing = False
        self.lock = threading.Condition()
        self.outgoing = bytearray()
        self.number = 0
        for run in (self.read, self.tell, *[self.write] * (4 if wild else 2)):
            threading.Thread(target=run, daemon=True).start()

    # up: whole frames are put one behind the other, then cut anywhere

    def send(self, opcode, payload=b"", fin=True):
        with self.lock:
            if self.closing:
                return
            self.closing = opcode == CLOSE
            self.put(frame(opcode, payload, fin))

    def put(self, wire):
        with self.lock:
            self.outgoing += wire
            self.lock.notify()

    def close(self, code):
        self.send(CLOSE, struct.pack("!H", code))

    def take(self):
        with self.lock:
            while not self.outgoing:
                if self.over:
                    return None
                self.lock.wait(1)
            most = self.said["httpPostBytes"]
            if self.wild:
                most = min(most, self.chance.randint(1, 20000))
            piece = bytes(self.outgoing[:most])
            del self.outgoing[:most]
            self.number += 1
            return self.number - 1, piece

    def write(self):
        while True:
            taken = self.take()
            if taken is None:
                return
            number, piece = taken
            if self.wild and self.chance.random() < 0.3:
                time.sleep(self.chance.random() / 200)
            for again in range(2 if self.wild and self.chance.random() < 0.2 else 1):
                if not self.post(number, piece):
                    return

    def post(self, number, piece):
        for failures in range(100):
            received = self.received
            try:
                status, said = call("POST", self.path, {
                    "Stream-Number": str(number),
                    "Stream-Received": str(received),
                }, piece)
            except OSError:
                status = 599
            if status == 200:
                self.acknowledged = max(self.acknowledged, received)
                assert isinstance(said["next"], int), said
                return True
            if status not in (409, 429) and status < 500:
                self.end("lost", status)
                return False
            time.sleep(0.005 * 2 ** min(failures, 6))
        self.end("lost", 0)
        return False

    def tell(self):
        """Acknowledges what no piece has acknowledged."""
        since = time.monotonic()
        while not self.over:
            time.sleep(0.02)
            behind = self.received - self.acknowledged
            if behind == 0:
                since = time.monotonic()
            elif behind >= 262144 or time.monotonic() - since >= 1:
                received = self.received
                status, _ = call("POST", self.path, {"Stream-Received": str(received)})
                if status == 200:
                    self.acknowledged = max(self.acknowledged, received)

    # down: one response after the other

    def read(self):
        buffer, parts, failures = bytearray(), [], 0
        while not self.over:
            before = self.received
            link = connection()
            try:
                self.gets += 1
                headers = {
                    "Authorization": "Bearer " + TOKEN,
                    "Stream-Received": str(self.received),
                }
                if self.poll:
                    headers["Stream-Poll"] = "1"
                link.request("GET", self.path, None, headers)
                answer = link.getresponse()
                if answer.status != 200:
                    if answer.status < 500:
                        return self.end("lost", answer.status)
                    raise OSError(answer.status)
                breaks = self.wild and self.received + self.chance.randint(1, 60000)
                while not self.over:
                    chunk = answer.read1(65536)
                    if not chunk:
                        break
                    if breaks and self.received + len(chunk) > breaks:
                        chunk = chunk[:breaks - self.received]  # the rest got lost on the way
                    self.received += len(chunk)
                    buffer += chunk
                    for one in frames(buffer):
                        self.hear(parts, *one)
                    if breaks and self.received >= breaks:
                        break
            except (OSError, http.client.HTTPException):
                pass
            finally:
                link.close()
            failures = 0 if self.received > before else failures + 1
            if failures:
                time.sleep(min(1, 0.02 * 2 ** failures))

    def hear(self, parts, fin, opcode, payload):
        if opcode == PING:
            self.pings += 1
            self.send(PONG, payload)
        elif opcode == PONG:
            self.events.put(("pong", payload))
        elif opcode == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self.close(code)
            self.end("close", code)
        else:
            assert (opcode == CONTINUATION) == bool(parts), "fragments in order"
            parts.append(payload)
            if fin:
                self.events.put(("message", b"".join(parts)))
                parts.clear()

    def end(self, what, code):
        with self.lock:
            if self.over:
                return
            self.over = True
            self.events.put((what, code))
            self.lock.notify_all()

    def next(self, seconds=20):
        while True:
            event = self.events.get(timeout=seconds)
            if event[0] != "pong":
                return event


# --- what the text says ---------------------------------------------------------------------------


def echoes(count, most, **how):
    chance = random.Random(SEED)
    client = Client(chance=chance, **how)
    sent = []
    for at in range(count):
        message = chance.randbytes(chance.choice([0, 1, 125, 126, 65535, chance.randint(0, most)]))
        sent.append(message)
        if at % 3:
            client.send(BINARY, message)
            continue
        # in fragments, with a ping between
        cut = chance.randint(0, len(message))
        client.send(BINARY, message[:cut], fin=False)
        client.send(PING, b"between")
        client.send(CONTINUATION, message[cut:])
        if at % 6 == 0:
            for one in sent:
                expect(client.next() == ("message", one), "an echo as it was sent")
            sent = []
    for one in sent:
        expect(client.next() == ("message", one), "an echo as it was sent")
    client.close(1000)
    expect(client.next() == ("close", 1000), "the answer to the close")


def expect(true, what):
    assert true, what


def equal(got, wanted):
    assert got == wanted, f"{got} instead of {wanted}"


def piece(path, number, body, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call("POST", path, {"Stream-Number": str(number), **named}, body)


def read_to_end(path, received=0):
    link = connection()
    link.request("GET", path, None, {
        "Authorization": "Bearer " + TOKEN,
        "Stream-Received": str(received),
    })
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, body


def requests_of(path):
    """Every request that a stream knows."""
    return [
        call("GET", path)[0],
        call("GET", path, {"Stream-Poll": "1"})[0],
        piece(path, 0, frame(BINARY, b"x"))[0],
        call("POST", path, {"Stream-Received": "0"})[0],
        call("POST", path, {"Stream-Leave": "1"})[0],
    ]


def out_of_order():
    path = "/stream/" + opened()["id"]
    wire = frame(BINARY, b"one") + frame(BINARY, b"two") + frame(BINARY, b"three")
    parts = [wire[:5], wire[5:17], b"", wire[17:]]
    equal(piece(path, 3, parts[3]), (200, {"next": 0}))  # held: at or above `next`
    equal(piece(path, 1, parts[1]), (200, {"next": 0}))
    equal(piece(path, 1, parts[1]), (200, {"next": 0}))
    equal(piece(path, 0, parts[0]), (200, {"next": 2}))
    equal(piece(path, 0, parts[0]), (200, {"next": 2}))  # taken once
    equal(piece(path, 2, parts[2]), (200, {"next": 4}))  # empty, and a number all the same
    equal(piece(path, 3, parts[3]), (200, {"next": 4}))
    equal(piece(path, 4, frame(CLOSE, b"\x03\xe8")), (200, {"next": 5}))
    buffer = bytearray(read_to_end(path)[1])
    heard = [payload for _, opcode, payload in frames(buffer) if opcode == BINARY]
    equal(heard, [b"one", b"two", b"three"])


def a_pong_inside_a_frame():
    """What the text forbids: the relay reads it as the frame's bytes, and nothing tells it."""
    path = "/stream/" + opened()["id"]
    wire = frame(BINARY, b"0123456789abcdef", key=bytes(4))
    piece(path, 0, wire[:10])
    piece(path, 1, frame(PONG, key=bytes(4)))
    piece(path, 2, wire[10:])
    status, body = read_to_end(path)
    equal(status, 200)
    expect(b"0123456789abcdef" not in body, "the message came through whole")


def refused_pieces():
    said = opened()
    path = "/stream/" + said["id"]
    far = said["httpPostsAhead"] + 1
    equal(piece(path, far, frame(BINARY, b"x"))[0], 409)
    equal(piece(path, far, frame(BINARY, b"x"))[1]["next"], 0)
    equal(piece(path, far - 1, b""), (200, {"next": 0}))
    equal(piece(path, 0, bytes(said["httpPostBytes"] + 1))[0], 413)
    for count in ("-1", "1.5", "0x1", "1" * 16, "x"):
        equal(piece(path, count, b"")[0], 400)
        equal(call("POST", path, {"Stream-Received": count})[0], 400)
    # Nothing of this has taken a number.
    equal(piece(path, 0, frame(BINARY, b"still here")), (200, {"next": 1}))
    equal(call("POST", path), (200, {"next": 1}))


def too_many_at_once():
    said = opened()
    path = "/stream/" + said["id"]
    slow = []
    for at in range(10 * said["httpPostsAtOnce"]):
        link = socket.create_connection(urlsplit(RELAY).netloc.split(":"))
        link.sendall((
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Stream-Number: 0\r\nContent-Length: 1\r\n\r\n"
        ).encode())
        slow.append(link)
        # Some of them may have to be made again: a question like this takes a place, too.
        if at >= said["httpPostsAtOnce"] - 1:
            status, answer = piece(path, 0, frame(BINARY, b"x"))
            if status == 429:
                break
    equal(status, 429)
    for link in slow:
        link.close()
    for _ in range(500):
        status, _ = piece(path, answer["next"], b"")
        if status != 429:
            break
        time.sleep(0.01)
    equal(status, 200)


def elsewhere():
    path = "/stream/" + opened()["id"]
    equal(call("GET", path, relay=OTHER)[0], 421)
    equal(call("POST", path, {"Stream-Number": "0"}, b"", relay=OTHER)[0], 421)
    equal(call("POST", path, {"Stream-Received": "0"})[0], 200)


def token_with_every_request():
    path = "/stream/" + opened()["id"]
    for token in (None, "another-token-altogether"):
        equal(call("POST", "/stream?to=/echo", token=token)[0], 401)
        equal(call("GET", path, token=token)[0], 401)
        equal(call("POST", path, {"Stream-Number": "0"}, b"", token=token)[0], 401)
        equal(call("POST", path, {"Stream-Leave": "1"}, token=token)[0], 401)
    equal(call("POST", path), (200, {"next": 0}))


def openings():
    equal(call("POST", "/stream?to=/echo")[0], 201)
    equal(opened(protocols=["blaze-relay", "other"])["protocol"], "blaze-relay")
    equal(opened()["protocol"], "")
    for body, status in [
        ("", 400), ("{", 400), ("{}", 400), ('{"to": "echo"}', 400), ('{"to": "//a/echo"}', 400),
        ('{"to": "/stream/x"}', 400), ('{"to": "/health"}', 400), ('{"to": "/nothing"}', 404),
        (json.dumps({"to": "/echo", "protocols": ["a"] * 17}), 400), (" " * 8193, 413),
    ]:
        equal((body[:30], call("POST", "/stream", body=body)[0]), (body[:30], status))


def lost(lose):
    """A client that obeys notices at once, and asks no more than a few times."""
    client = Client()
    client.send(BINARY, b"hello")
    equal(client.next(), ("message", b"hello"))
    asked = client.gets
    equal(lose(client)[0], 410)
    equal(client.next(), ("lost", 410))
    expect(client.gets - asked <= 2, f"{client.gets - asked} requests of a lost stream")
    equal(requests_of(client.path), [410] * 5)


def left():
    client = Client()
    client.send(BINARY, b"hello")
    equal(client.next(), ("message", b"hello"))
    equal(call("POST", client.path, {"Stream-Leave": "1"})[0], 204)
    equal(client.next(), ("lost", 410))
    equal(requests_of(client.path), [410] * 5)


def acknowledged_bytes_are_gone():
    path = "/stream/" + opened()["id"]
    piece(path, 0, frame(BINARY, b"hello") + frame(CLOSE, b"\x03\xe8"))
    status, body = read_to_end(path)
    equal((status, body[-4:]), (200, b"\x88\x02\x03\xe8"))
    equal(read_to_end(path), (200, body))  # again: nothing was acknowledged
    equal(read_to_end(path, 3), (200, body[3:]))  # from the middle of a frame
    equal(read_to_end(path, len(body))[0], 410)  # after the close nothing follows
    equal(piece(path, 0, b"")[0], 200)


def closed_by_the_relay():
    client = Client()
    client.put(b"\x82\x01\x00")  # a frame without a mask
    equal(client.next(), ("close", 1002))


def too_large_a_message():
    said = opened()
    path = "/stream/" + said["id"]
    head = struct.pack("!BBQ", 0x82, 0x80 | 127, said["httpMessageBytes"] + 1) + bytes(4)
    equal(piece(path, 0, head)[0], 200)
    buffer = bytearray(read_to_end(path)[1])
    equal([struct.unpack("!H", said[:2])[0] for _, code, said in frames(buffer) if code == CLOSE], [1009])


def too_large_for_the_address():
    status, limits = call("GET", "/limits")
    equal(status, 200)
    client = Client()
    client.send(BINARY, bytes(limits["messageBytes"]["value"]))
    equal(len(client.next()[1]), limits["messageBytes"]["value"])
    client.send(BINARY, bytes(limits["messageBytes"]["value"] + 1))
    equal(client.next(), ("close", 1009))


def alive():
    """Longer than the relay's patience, in which nothing but pings and their pongs travels."""
    client = Client()
    seconds = 3 * client.said["idleSeconds"]
    try:
        event = client.next(seconds)
    except queue.Empty:
        event = None
    equal(event, None)
    expect(client.pings >= 2 and client.number >= 2, f"{client.pings} pings")
    client.send(BINARY, b"still here")
    equal(client.next(), ("message", b"still here"))
    client.close(1000)
    equal(client.next(), ("close", 1000))


SCENARIOS = {
    "openings": openings,
    "the token comes with every request": token_with_every_request,
    "echoes": lambda: echoes(60, 100000),
    "echoes in short responses": lambda: echoes(40, 50000, poll=True),
    "echoes over responses that break and posts that go astray":
        lambda: echoes(60, 100000, wild=True),
    "echoes in short responses that break": lambda: echoes(30, 50000, poll=True, wild=True),
    "out of order and twice": out_of_order,
    "a pong never lands inside a frame": a_pong_inside_a_frame,
    "400, 409 and 413": refused_pieces,
    "429": too_many_at_once,
    "421": elsewhere,
    "lost: acknowledges what was never sent":
        lambda: lost(lambda it: call("POST", it.path, {"Stream-Received": "1000000"})),
    "lost: asks for what was never sent":
        lambda: lost(lambda it: call("GET", it.path, {"Stream-Received": "1000000"})),
    "lost: asks for what is gone": lambda: lost(lambda it: (
        call("POST", it.path, {"Stream-Received": str(it.received)}) and call("GET", it.path))),
    "left": left,
    "bytes can be had until they are acknowledged": acknowledged_bytes_are_gone,
    "closed by the relay": closed_by_the_relay,
    "too large a message for the stream": too_large_a_message,
    "too large a message for the address": too_large_for_the_address,
}
LONG = {"alive": alive}


def run(scenario):
    try:
        scenario()
        return "ok"
    except BaseException as error:  # noqa: BLE001: whatever it was, it is told
        at = error.__traceback__
        while at.tb_next:
            at = at.tb_next
        return f"{type(error).__name__} at line {at.tb_lineno}: {error}"[:500]


chosen = {name: {**SCENARIOS, **LONG}[name] for name in sys.argv[5:]} or SCENARIOS
with ThreadPoolExecutor(len(chosen)) as pool:
    results = dict(zip(chosen, pool.map(run, chosen.values())))
print(json.dumps(results))
