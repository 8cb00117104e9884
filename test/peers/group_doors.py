"""
Invitations and doors of a group, after docs/protocol/group.md.

    python group_doors.py TEXT FRAME...

It prints as JSON what the text of an invitation gives, and what stands in frames of its door, which
are given in hex.
"""
import base64
import json
import sys
from urllib.parse import quote, unquote

from group_bytes import (
    EXTENSION,
    KNOCK,
    WELCOME,
    frame,
    invitation_door,
    of_database,
    of_door,
    parsed,
    require,
    seal,
    sha256,
    unseal,
)

PERMANENT = 2
LABELS = {KNOCK: b"BX2 knock", WELCOME: b"BX2 welcome"}


def text_of(database, constant, key, flags, anchor):
    packed = constant + key + bytes([flags]) + (b"" if flags & PERMANENT else anchor)
    packed += sha256("BX2 text", database.encode() + packed)[:4]
    packed = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return quote(database, safe="!~*'()") + "." + packed


def read_text(text):
    name, _, packed = text.rpartition(".")
    database, data = unquote(name), base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    require(len(data) > 32, "BAD_TEXT")
    constant, key, flags = data[:16], data[16:32], data[32]
    anchor = b"" if flags & PERMANENT else data[33:49]
    require(len(data) == 37 + len(anchor), "BAD_TEXT")
    require(flags < 4 and text_of(database, constant, key, flags, anchor) == text, "BAD_TEXT")
    return database, constant, key, flags, anchor


def of_text(text):
    """Everything that an invitation gives whoever has it."""
    database, constant, key, flags, anchor = read_text(text)
    values = of_database(constant, database)
    door = invitation_door(key, values["group"])
    text = {"database": database, "constant": constant, "key": key, "flags": flags}
    return {**text, "anchor": anchor, **values, "door": door}


def sealed(door, subtype, nonce, content):
    """The frame of a knock or a welcome."""
    values = of_door(door)
    body = seal(values["seal"], nonce, content, LABELS[subtype] + values["logId"])
    return frame(EXTENSION, bytes([subtype]) + body)


def opened(door, data):
    """Subtype and content of a frame in a door."""
    kind, _, _, payload = parsed(data)
    require(kind == EXTENSION and payload[0] in LABELS, "OTHER_TYPE")
    values = of_door(door)
    label = LABELS[payload[0]] + values["logId"]
    return payload[0], unseal(values["seal"], payload[1:], label)


if __name__ == "__main__":
    values = of_text(sys.argv[1])
    entries = [opened(values["door"], bytes.fromhex(one)) for one in sys.argv[2:]]
    values["logId"] = of_door(values["door"])["logId"]
    told = {name: one.hex() if isinstance(one, bytes) else one for name, one in values.items()}
    told["entries"] = [{"subtype": kind, "content": content.hex()} for kind, content in entries]
    print(json.dumps(told))
