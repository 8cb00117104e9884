"""
A device of a pair, from PROTOCOL.md and docs/protocol/record.md alone: it shares no code with the
relay or the SDK. Keys, HKDF and AES-GCM are those of the `cryptography` package; the WebSocket, the
frames and the records are done by hand. The names of one byte are read out of the page.

    python pair_client.py RELAY DATABASE KIND RECORD_PAGE [NODE BOND]

KIND is `literal` (the seed's text: no trailing values, no Extensions) or `pair` (a commitment, a yes,
a bond). With NODE and BOND (the side, then the
bond) it comes back as a device that was confirmed before. It says yes to
whatever code comes, sends one insert, waits for one operation, and prints what it saw as JSON.
"""
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import struct
import sys
import time
import unicodedata
import uuid
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RELAY, DATABASE, KIND, PAGE = sys.argv[1:5]
NODE, BOND = (bytes.fromhex(text) for text in sys.argv[5:7]) if len(sys.argv) > 6 else (os.urandom(16), None)
SALT = b"blazedb-sync-v1"
LITERAL = KIND == "literal"
# End-to-end encryption, tags, grants; no compression, no short headers. Bit 7: trailing values follow.
CAPABILITIES = 0x0D if LITERAL else 0x8D


# --- WebSocket (RFC 6455) ---------------------------------------------------------------------------


class Socket:
    def __init__(self, url, path):
        to = urlsplit(url)
        self.socket = socket.create_connection((to.hostname, to.port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {to.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"HTTP/1.1 101")
        while self.file.readline() != b"\r\n":
            pass

    def send(self, payload, opcode=2):
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
        key = os.urandom(4)
        masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + length + key + masked)

    def receive(self):
        while True:
            first, second = self.file.read(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self.file.read(2))
            payload = self.file.read(size)
            if first == 0x89:
                self.send(payload, 10)
            elif first == 0x82:
                return payload
            else:
                raise SystemExit(f"opcode {first & 15}: {payload!r}")


# --- frames -----------------------------------------------------------------------------------------

HANDSHAKE, ACK, OPERATION, PING, PONG, ERROR, EXTENSION = 0, 1, 2, 8, 9, 10, 15
KNOWN, REVEAL, AGREED = 0x17, 0x13, 0x18


def frame(kind, payload, sealed=False):
    return struct.pack("!HBI", 0xBF01, (0x40 if sealed else 0) | kind, len(payload)) + payload


def parsed(message):
    """Type, whether it is sealed, payload. This client set no bit for short headers."""
    magic, flags, length = struct.unpack("!HBI", message[:7])
    assert magic == 0xBF01 and length == len(message) - 7, message.hex()
    assert flags & 0xB0 == 0, "compressed, or reserved bits"
    return flags & 15, bool(flags & 0x40), message[7:]


# --- records ----------------------------------------------------------------------------------------

names = {
    int(key, 16): name
    for line in open(PAGE, encoding="utf-8")
    for key, name in re.findall(r"\| ([0-9a-f]{2}) +\| `(\w+)` +(?=\|)", line)
}
assert sorted(names) == list(range(1, 59))
ids = {name: key for key, name in names.items()}


def record(fields):
    out = b"BLAZE" + struct.pack("!BH", 1, len(fields))
    for name in sorted(fields, key=lambda name: unicodedata.normalize("NFC", name).encode()):
        spelled = name.encode()
        out += bytes([ids[name]]) if name in ids else b"\xff" + struct.pack("!H", len(spelled)) + spelled
        out += value(fields[name])
    return out


def value(this):
    if this is None:
        return b"\x0b"
    if isinstance(this, bool):
        return bytes([4, this])
    if isinstance(this, int):
        return bytes([0x12, this]) if 0 <= this < 256 else b"\x02" + struct.pack("!q", this)
    if isinstance(this, float):
        return b"\x03" + struct.pack("!d", this)
    if isinstance(this, str):
        text = this.encode()
        if not text:
            return b"\x11"
        return bytes([0x20 + len(text)]) + text if len(text) < 16 else b"\x01" + struct.pack("!I", len(text)) + text
    if isinstance(this, list):
        return b"\x08" + struct.pack("!H", len(this)) + b"".join(map(value, this)) if this else b"\x18"
    if isinstance(this, dict):
        out = b"\x09" + struct.pack("!H", len(this)) if this else b"\x19"
        for key in sorted(this, key=lambda key: unicodedata.normalize("NFC", key).encode()):
            out += struct.pack("!H", len(key.encode())) + key.encode() + value(this[key])
        return out
    raise TypeError(this)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "past the end"
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack("!" + form, self.take(struct.calcsize("!" + form)))[0]

    def record(self):
        assert self.take(5) == b"BLAZE" and self.number("B") == 1
        fields = {}
        for _ in range(self.number("H")):
            key = self.number("B")
            name = names[key] if key != 0xFF else self.take(self.number("H")).decode()
            fields[name] = self.value()
        assert self.at == len(self.data), "bytes after the last field"
        return fields

    def value(self):
        tag = self.number("B")
        if 0x20 <= tag <= 0x2F:
            return self.take(tag & 15).decode()
        return {
            0x01: lambda: self.take(self.number("I")).decode(),
            0x02: lambda: self.number("q"),
            0x03: lambda: self.number("d"),
            0x04: lambda: self.number("B") != 0,
            0x05: lambda: str(uuid.UUID(bytes=self.take(16))),
            0x06: lambda: {"unix": self.number("d") + 978307200},
            0x07: lambda: self.take(self.number("I")).hex(),
            0x08: lambda: [self.value() for _ in range(self.number("H"))],
            0x09: lambda: {self.take(self.number("H")).decode(): self.value() for _ in range(self.number("H"))},
            0x0A: lambda: [self.number("f") for _ in range(self.number("I"))],
            0x0B: lambda: None,
            0x11: lambda: "",
            0x12: lambda: self.number("B"),
            0x18: lambda: [],
            0x19: lambda: {},
        }[tag]()


# --- keys -------------------------------------------------------------------------------------------


def hkdf(secret, info, salt=SALT):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def sha256(data):
    return hashlib.sha256(data).digest()


key = ec.generate_private_key(ec.SECP256R1())
public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
nonce = os.urandom(16)
name = DATABASE.encode()
fixed = b"\x0bblazedb/1.0" + NODE + bytes([len(name)]) + name + public
fixed += struct.pack("!BQ", CAPABILITIES, time.time_ns() // 1_000_000)
handshake = fixed if LITERAL else fixed + struct.pack("!BH", 1, 32) + sha256(nonce)

link = Socket(RELAY, "/sync/" + quote(DATABASE, safe=""))
link.send(frame(HANDSHAKE, handshake))


def until(kind, subtype=None):
    """The next frame of a type; keeps the link alive meanwhile, and refuses whatever is not expected."""
    while True:
        found, sealed, payload = parsed(link.receive())
        if found == PING:
            link.send(frame(PONG, payload))
        elif found == ERROR:
            raise SystemExit(f"error {Reader(payload).record()}")
        elif found == kind and (subtype is None or payload[0] == subtype):
            assert sealed == (kind == OPERATION), "sealed or not, the other way round"
            return payload if subtype is None else payload[1:]
        elif found == EXTENSION and payload[0] == KNOWN:
            proofs.append(payload[1:])
        else:
            raise SystemExit(f"type {found}: {payload.hex()}")


proofs = []
ack = Reader(until(ACK))
node = ack.take(16)
database = ack.take(ack.number("B"))
theirs = ack.take(65)
capabilities = ack.number("B")
clock = ack.take(8)
challenge = ack.take(16)
trailing = ack.data[ack.at :]
assert LITERAL == (trailing == b"")
partner = b"\x0bblazedb/1.0" + node + bytes([len(database)]) + database + theirs + bytes([capabilities]) + clock

secret = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
aes = AESGCM(hkdf(secret, b":".join(sorted([name, database]))))
verify = hmac.new(secret, challenge, "sha256").digest()
link.send(frame(ACK, verify))


def code(sides, digits):
    (first, one), (second, two) = sorted(sides)
    digest = sha256(b"BX1 code" + first + second + one + two)
    if digits == 30:
        digest = hashlib.pbkdf2_hmac("sha256", digest, b"BX1 code", 200_000)
    return str(int.from_bytes(digest, "big") % 10**digits).zfill(digits)


seen = {"node": NODE.hex(), "partner": node.hex()}
if LITERAL:
    seen["code"] = code([(fixed, b""), (partner, b"")], 30)
else:
    values, at = {}, 0
    while at < len(trailing):
        kind, length = struct.unpack("!BH", trailing[at : at + 3])
        values[kind] = trailing[at + 3 : at + 3 + length]
        at += 3 + length
    partner += trailing
    assert until(ACK) == verify, "the partner does not hold the secret"
    own, other = sha256(handshake), sha256(partner)
    if BOND:
        side, bond = BOND[:1], BOND[1:]
        link.send(frame(EXTENSION, bytes([KNOWN]) + hkdf(secret, b"BX1 known" + side + own + other, bond)))
    link.send(frame(EXTENSION, bytes([REVEAL]) + nonce))
    revealed = until(EXTENSION, REVEAL)
    assert len(revealed) == 16 and sha256(revealed) == values[1], "another nonce than it committed to"
    seen["code"] = code([(handshake, nonce), (partner, revealed)], 6)
    seen["known"] = bool(BOND) and hkdf(secret, b"BX1 known" + bytes([1 - side[0]]) + other + own, bond) in proofs
    link.send(frame(EXTENSION, bytes([AGREED]) + hkdf(secret, b"BX1 agreed" + own + other)))
    assert until(EXTENSION, AGREED) == hkdf(secret, b"BX1 agreed" + other + own), "nobody said yes"
    bond = hkdf(secret, b"BX1 bond" + b"".join(sorted([own, other])))
    seen["bond"] = (bytes([own > other]) + bond).hex()

fields = {
    "title": "Crash on start",
    "priority": 5,
    "überfällig": True,
    "ratio": 0.25,
    "createdBy": None,
    "count": -70000,
    "tags": ["bug", "", 7, []],
    "metadata": {"id": 1, "z": {"long": "sixteen bytes and more"}},
}
collection = b"bugs"
operation = bytes([0, len(collection)]) + collection + os.urandom(16) + struct.pack("!Q", 1)
operation += sha256(NODE)[:4] + record(fields)
iv = os.urandom(12)
link.send(frame(OPERATION, iv + aes.encrypt(iv, operation, None), sealed=True))

payload = until(OPERATION)
got = Reader(aes.decrypt(payload[:12], payload[12:], None))
seen["kind"] = got.number("B")
seen["collection"] = got.take(got.number("B")).decode()
seen["id"] = str(uuid.UUID(bytes=got.take(16)))
seen["counter"] = got.number("Q")
seen["hash"] = got.take(4) == sha256(node)[:4]
seen["changes"] = Reader(got.data[got.at :]).record()
print(json.dumps(seen))
