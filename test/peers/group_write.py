"""
A device of a group that writes into a log, after docs/protocol/group.md: one instance, which
announces itself, inserts, updates, deletes, and uploads a checkpoint. Its key comes from a seed.

    python group_write.py FILE

It prints JSON: its node and key, and the frames. FILE, JSON too, has `database` and `signed`, and
in hex `group`, `secret`, `ring`, `seed`, `instance`.
"""
import json
import struct
import sys

from group_bytes import (
    ANNOUNCE,
    ENDORSEMENT,
    EXTENSION,
    OPERATION,
    PART,
    additional,
    chain,
    chain_start,
    frame,
    key_of,
    node_of,
    of_epoch,
    pad,
    seal,
    sender,
    sha256,
    sign,
    value,
)
from group_records import (
    DELETE,
    INSERT,
    UPDATE,
    Ledger,
    body,
    hash_of,
    operation,
    read_body,
    vector_bytes,
)


class Writer:
    def __init__(self, given):
        self.database = given["database"]
        self.group, self.secret, self.ring, seed, self.instance = (
            bytes.fromhex(given[name]) for name in ("group", "secret", "ring", "seed", "instance")
        )
        self.signs = given["signed"]
        self.key, self.public = key_of(seed)
        self.node = node_of(self.public)
        self.keys = of_epoch(self.secret, self.group)
        self.sealing, self.hint = sender(self.secret, self.group, self.node, self.instance)
        self.count = 0
        self.sequence, self.hash = 0, chain_start(self.keys["logId"])
        self.ledger = Ledger()
        self.frames = []

    def append(self, data):
        self.frames.append(data)
        self.sequence += 1
        self.hash = chain(self.hash, data)

    def sealed(self, kind, subtype, content):
        epoch_id = self.keys["epochId"]
        data = additional(
            kind, subtype, 0, epoch_id, self.node, self.instance, self.database
        )
        nonce = self.hint + struct.pack("!Q", self.count)
        self.count += 1
        return seal(self.sealing, nonce, pad(content), data)

    def signed(self, label, what):
        return sign(self.key, label, self.group, self.node, what)

    @property
    def place(self):
        return self.ring + struct.pack("!Q", self.sequence) + self.hash

    def announce(self):
        content = self.place + bytes([len(self.public)]) + self.public
        content += vector_bytes(self.ledger.heads)
        content += self.signed("BX2 announce", content)
        sealed = self.sealed(EXTENSION, ANNOUNCE, content)
        self.append(frame(EXTENSION, bytes([ANNOUNCE]) + self.node + self.instance + sealed))

    def write(self, kind, identity, fields):
        previous, link = self.ledger.heads.get(self.node, (0, bytes(8)))
        counter = self.ledger.highest + 1
        plain = {name: value(one) for name, one in fields.items()}
        plain = operation(kind, "bugs", identity, counter, hash_of(self.node), plain)
        signed = (lambda what: self.signed("BX2 operation", what)) if self.signs else None
        content = body(previous, link, plain, signed)
        self.ledger.take(self.node, read_body(content))
        self.append(frame(OPERATION, self.sealed(OPERATION, 0, content), sealed=True))

    def checkpoint(self):
        contents = self.ledger.contents()
        digest = sha256("BX2 checkpoint", contents)
        instances = struct.pack("!H", 1) + self.node + self.instance + struct.pack("!Q", self.count)
        signature = self.signed("BX2 checkpoint", self.place + digest + instances)
        whole = self.place + digest + signature + instances + contents
        half = len(whole) // 2
        for index, part in enumerate((whole[:half], whole[half:])):
            content = struct.pack("!IB", index, index) + part
            sealed = self.sealed(EXTENSION, PART, content)
            payload = bytes([PART]) + self.node + self.instance + b"\0" + sealed
            self.append(frame(EXTENSION, payload))
        endorsed = self.sealed(
            EXTENSION, ENDORSEMENT, digest + self.signed("BX2 endorsement", digest)
        )
        self.append(frame(EXTENSION, bytes([ENDORSEMENT, 0]) + endorsed))


def write(given):
    """Three records: one that stays and was changed, one that was deleted, one that came again."""
    this = Writer(given)
    this.announce()
    one, two, three = (bytes([number]) * 16 for number in (1, 2, 3))
    this.write(INSERT, one, {"title": "Crash on start", "priority": 5, "überfällig": True})
    this.write(UPDATE, one, {"title": "Crash at the very start", "ratio": 0.25, "tags": ["a", 7]})
    this.write(INSERT, two, {"title": "twice"})
    this.write(DELETE, two, {})
    this.write(INSERT, three, {"title": "before", "count": -70_000})
    this.write(DELETE, three, {})
    this.write(INSERT, three, {"title": "after"})
    this.checkpoint()
    this.announce()
    this.write(UPDATE, one, {"metadata": {"z": None, "a": b"\1\2"}})
    return {
        "node": this.node.hex(),
        "key": this.public.hex(),
        "frames": [one.hex() for one in this.frames],
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(write(json.load(file))))
