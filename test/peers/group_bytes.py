"""
The bytes of a group, after docs/protocol/group.md and docs/protocol/record.md: derived values,
padding, seals, signatures, frames, and BlazeBinary. It shares no code with the relay or the SDK.
"""
import hashlib
import os
import re
import struct
import unicodedata

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

OPERATION, EXTENSION = 2, 15
ANNOUNCE, COMMIT, HOLD, PART, ENDORSEMENT = 0x10, 0x11, 0x12, 0x14, 0x15
KNOCK, WELCOME = 0x16, 0x19
EVERYBODY = bytes(16)
CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Refused(Exception):
    """What a reader leaves out, with its reason."""


def require(holds, why):
    if not holds:
        raise Refused(why)


class Reader:
    """Numbers and bytes, one behind the other; never past the end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(self.at + count <= len(self.data), "TRUNCATED")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack("!" + form, self.take(struct.calcsize("!" + form)))[0]

    @property
    def left(self):
        return len(self.data) - self.at

    def rest(self):
        return self.take(self.left)

    def end(self):
        require(self.left == 0, "BYTES_BEHIND")


# --- derived values -------------------------------------------------------------------------------


def derive(of, label, context, length):
    info = label.encode() + context
    return HKDF(algorithm=SHA256(), length=length, salt=b"blazedb-sync-v1", info=info).derive(of)


def sha256(label, data):
    return hashlib.sha256(label.encode() + data).digest()


def node_of(key):
    return sha256("BX2 node", key)[:16]


def of_database(constant, database):
    name = database.encode()
    return {
        "channel": derive(constant, "BX2 channel", name, 16),
        "group": derive(constant, "BX2 group", name, 16),
    }


def epoch_secret(confirmation_key, group):
    return derive(confirmation_key, "BX2 epoch", group, 32)


def of_epoch(secret, group):
    rows = [("epochId", "epoch id", 8), ("logId", "log id", 16), ("logKey", "log key", 32)]
    rows += [("commitKey", "commit", 32), ("membershipKey", "membership", 32)]
    return {name: derive(secret, "BX2 " + label, group, size) for name, label, size in rows}


def sender(secret, group, node, instance, label="BX2 sender"):
    both = derive(secret, label, group + node + instance, 36)
    return both[:32], both[32:]


def of_door(door):
    rows = [("logId", "door id", 16), ("logKey", "door key", 32), ("seal", "door seal", 32)]
    rows += [("psk", "psk", 32), ("pskId", "psk id", 16)]
    return {name: derive(door, "BX2 " + label, b"", size) for name, label, size in rows}


def invitation_door(key, group):
    return derive(key, "BX2 invitation", group, 32)


def member_door(seed, group, node):
    return derive(seed, "BX2 member door", group + node, 32)


def link_of(before, body):
    return sha256("BX2 link", before + body)[:8]


def chain_start(log_id):
    return sha256("BX2 log", log_id)


def chain(before, frame):
    return sha256("", before + frame)


# --- padding and compression ----------------------------------------------------------------------


def padme(length):
    """The next size of PADMÉ: as many zero bits at its end as leave log2 of log2 bits in front."""
    if length <= 32:
        return 32
    exponent = length.bit_length() - 1
    low = exponent - exponent.bit_length()
    return (length + (1 << low) - 1) >> low << low


def pad(content):
    return (content + b"\x80").ljust(padme(len(content) + 1), b"\0")


def unpad(padded):
    content = padded.rstrip(b"\0")
    require(content[-1:] == b"\x80", "BAD_PADDING")
    return content[:-1]


def decompressed(data):
    """One zstd frame (RFC 8878): without a package for it only blocks of raw bytes."""
    try:
        from compression import zstd  # Python 3.14

        return zstd.decompress(data)
    except ImportError:
        pass
    try:
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except ImportError:
        return raw_blocks(data)


def raw_blocks(data):
    r, out, last = Reader(data), b"", False
    require(r.take(4) == b"\x28\xb5\x2f\xfd", "NOT_ZSTD")
    flags = r.number("B")
    require(flags & 0x3F == 0x20, "NO_ZSTD")
    r.take(1 << (flags >> 6))
    while not last:
        header = int.from_bytes(r.take(3), "little")
        last, kind = bool(header & 1), header >> 1 & 3
        require(kind == 0, "NO_ZSTD")
        out += r.take(header >> 3)
    r.end()
    return out


# --- seals ----------------------------------------------------------------------------------------


def additional(kind, subtype, compressed, epoch_id, node, instance, database, to=EVERYBODY):
    name = database.encode()
    fixed = b"BX2\0" + bytes([kind, subtype, compressed]) + epoch_id + node + instance + to
    return fixed + struct.pack("!H", len(name)) + name


def seal(key, nonce, content, data):
    return nonce + AESGCM(key).encrypt(nonce, content, data)


def unseal(key, sealed, data):
    require(len(sealed) >= 28, "CIPHERTEXT_TOO_SHORT")
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], data)
    except InvalidTag:
        raise Refused("AUTH_FAILED") from None


# --- signatures -----------------------------------------------------------------------------------


def key_of(seed):
    """A signature key out of a seed, and its public form."""
    number = int.from_bytes(hashlib.sha256(seed).digest(), "big") % (ORDER - 1) + 1
    key = ec.derive_private_key(number, CURVE)
    return key, key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def sign(key, label, group, node, what):
    der = key.sign(label.encode() + group + node + what, ec.ECDSA(SHA256()))
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))


def verified(public, message, signature):
    require(len(signature) == 64, "BAD_SIGNATURE")
    try:
        if len(public) == 32:
            return Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, public)
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise Refused("BAD_SIGNATURE") from None


def check_signature(public, label, group, node, what, signature):
    require(node_of(public) == node, "BAD_SIGNATURE")
    verified(public, label.encode() + group + node + what, signature)


# --- frames ---------------------------------------------------------------------------------------


def frame(kind, payload, sealed=False):
    """With the short header where it fits."""
    form = "!HBH" if len(payload) < 65536 else "!HBI"
    return struct.pack(form, 0xBF01, (0x40 if sealed else 0) | kind, len(payload)) + payload


def parsed(data):
    """Type, whether it is sealed, whether it is compressed, payload: legend, either header."""
    require(len(data) >= 5 and data[:2] == b"\xbf\x01", "BAD_FRAME")
    long = len(data) >= 7 and struct.unpack("!I", data[3:7])[0] == len(data) - 7
    require(long or struct.unpack("!H", data[3:5])[0] == len(data) - 5, "BAD_FRAME")
    flags = data[2]
    require(flags & 0x30 == 0, "BAD_FRAME")
    return flags & 15, bool(flags & 0x40), bool(flags & 0x80), data[7 if long else 5 :]


# --- BlazeBinary ----------------------------------------------------------------------------------

here = os.path.dirname(os.path.abspath(__file__))
names = {
    int(key, 16): name
    for line in open(os.path.join(here, "../../docs/protocol/record.md"), encoding="utf-8")
    for key, name in re.findall(r"\| ([0-9a-f]{2}) +\| `(\w+)` +(?=\|)", line)
}
ids = {name: key for key, name in names.items()}


def form(name):
    """Names that are equal in this form are one name."""
    return unicodedata.normalize("NFC", name)


def order(name):
    return form(name).encode()


def record(fields):
    """Fields, each a name and the bytes of its value, as a record."""
    out = b"BLAZE" + struct.pack("!BH", 1, len(fields))
    for name in sorted(fields, key=order):
        text = name.encode()
        spelled = b"\xff" + struct.pack("!H", len(text)) + text
        out += (bytes([ids[name]]) if name in ids else spelled) + fields[name]
    return out


def read_record(data):
    r = Reader(data)
    require(r.take(5) == b"BLAZE" and r.number("B") == 1, "BAD_RECORD")
    fields = {}
    for _ in range(r.number("H")):
        key = r.number("B")
        require(key == 0xFF or key in names, "BAD_RECORD")
        name = r.take(r.number("H")).decode() if key == 0xFF else names[key]
        require(all(order(name) != order(other) for other in fields), "BAD_RECORD")
        fields[name] = canonical(r)
    r.end()
    return fields


def value(this):
    """A value as bytes. Bytes are `data`, a tuple is a tag with what follows it."""
    if this is None:
        return b"\x0b"
    if isinstance(this, bool):
        return bytes([4, this])
    if isinstance(this, int):
        return bytes([0x12, this]) if 0 <= this < 256 else b"\x02" + struct.pack("!q", this)
    if isinstance(this, float):
        return b"\x03" + struct.pack("!d", this)
    if isinstance(this, bytes):
        return b"\x07" + struct.pack("!I", len(this)) + this
    if isinstance(this, str):
        text = this.encode()
        if len(text) < 16:
            return bytes([0x20 + len(text)]) + text if text else b"\x11"
        return b"\x01" + struct.pack("!I", len(text)) + text
    if isinstance(this, list):
        return listed(list(map(value, this)))
    return mapped({key: value(one) for key, one in this.items()})


def listed(values):
    return b"\x08" + struct.pack("!H", len(values)) + b"".join(values) if values else b"\x18"


def mapped(entries):
    out = b"\x09" + struct.pack("!H", len(entries)) if entries else b"\x19"
    for key in sorted(entries, key=order):
        text = key.encode()
        out += struct.pack("!H", len(text)) + text + entries[key]
    return out


def canonical(r):
    """Reads one value, and answers the one encoding of it."""
    tag = r.number("B")
    if 0x20 <= tag <= 0x2F:
        return value(r.take(tag & 15).decode())
    if tag == 0x09:
        count = r.number("H")
        return mapped({r.take(r.number("H")).decode(): canonical(r) for _ in range(count)})
    forms = {
        0x01: lambda: value(r.take(r.number("I")).decode()),
        0x02: lambda: value(r.number("q")),
        0x03: lambda: b"\x03" + r.take(8),
        0x04: lambda: value(r.number("B") != 0),
        0x05: lambda: b"\x05" + r.take(16),
        0x06: lambda: b"\x06" + r.take(8),
        0x07: lambda: value(r.take(r.number("I"))),
        0x08: lambda: listed([canonical(r) for _ in range(r.number("H"))]),
        0x0A: lambda: vector(r),
        0x0B: lambda: value(None),
        0x11: lambda: value(""),
        0x12: lambda: value(r.number("B")),
        0x18: lambda: value([]),
        0x19: lambda: value({}),
    }
    require(tag in forms, "BAD_RECORD")
    return forms[tag]()


def vector(r):
    count = r.take(4)
    return b"\x0a" + count + r.take(4 * struct.unpack("!I", count)[0])
