"""
Reads the logs of a group's epochs, after docs/protocol/group.md, and prints what they come to.

    python group_log.py FILE

It prints JSON. FILE, JSON too, has `database`, `group` (hex) and `logs`, oldest
first: `secret` (hex), `ring`, and `frames`, from the first entry on. A log that was truncated has
`first` too, the first sequence, and `before`, the chain hash before that. MLS is not read: the
first commit that opens is taken as valid, and who announces itself is a member: `members` (node:
signature key, both hex) tells the keys of those whose announces were truncated.
"""
import json
import struct
import sys

from group_bytes import (
    ANNOUNCE,
    COMMIT,
    ENDORSEMENT,
    EXTENSION,
    HOLD,
    OPERATION,
    PART,
    Reader,
    Refused,
    additional,
    chain,
    chain_start,
    check_signature,
    decompressed,
    of_epoch,
    parsed,
    record,
    require,
    sender,
    sha256,
    unpad,
    unseal,
)
from group_records import Ledger, read_body, read_contents, read_vector, vector_bytes

INSTANCES = 8


class Log:
    """The log of one epoch, entry by entry."""

    def __init__(self, world, secret, ledger, ring=b"", first=1, before=None):
        self.database, self.group, self.members, self.signs = world
        self.secret, self.ledger, self.ring = secret, ledger, ring
        self.keys = of_epoch(secret, self.group)
        self.sequence = first - 1
        self.hash = before or chain_start(self.keys["logId"])
        self.hashes = {self.sequence: self.hash}
        self.instances = {}
        self.upload = None
        self.ended = False

    def speaker(self, node, instance, counter=0):
        """What opens the payloads of an instance, which is listened to or not yet."""
        if (node, instance) in self.instances:
            return self.instances[node, instance]
        key, hint = sender(self.secret, self.group, node, instance)
        require(all(one["hint"] != hint for one in self.instances.values()), "HINT_TAKEN")
        name = {"node": node, "instance": instance, "key": key, "hint": hint}
        return {**name, "next": counter}

    def admit(self, speaker):
        """Listens to an instance from now on, and to the last eight of its device."""
        self.instances[speaker["node"], speaker["instance"]] = speaker
        same = [one for one in self.instances if one[0] == speaker["node"]]
        if len(same) > INSTANCES:
            del self.instances[same[0]]

    def open(self, speaker, kind, subtype, compressed, sealed):
        node, instance, hint = speaker["node"], speaker["instance"], speaker["hint"]
        require(compressed < 2, "BAD_FLAG")
        require(len(sealed) >= 28 and sealed[:4] == hint, "AUTH_FAILED")
        count = struct.unpack("!Q", sealed[4:12])[0]
        require(count >= speaker["next"], "REPLAY")
        epoch_id = self.keys["epochId"]
        data = additional(kind, subtype, compressed, epoch_id, node, instance, self.database)
        content = unpad(unseal(speaker["key"], sealed, data))
        speaker["next"] = count + 1
        return decompressed(content) if compressed else content

    def opened(self, kind, subtype, compressed, sealed):
        """Opens what a known instance sealed; its hint says which one."""
        for speaker in self.instances.values():
            if speaker["hint"] == sealed[:4]:
                return speaker["node"], self.open(speaker, kind, subtype, compressed, sealed)
        raise Refused("UNKNOWN_SENDER")

    def signed(self, label, node, what, signature):
        require(node in self.members, "UNKNOWN_KEY")
        check_signature(self.members[node], label, self.group, node, what, signature)

    def entry(self, data):
        """Takes the next frame, and answers what it says."""
        try:
            require(not self.ended, "BEHIND_THE_END")
            return self.read(data)
        except Refused as refused:
            return {"refused": str(refused)}
        finally:
            self.sequence += 1
            self.hash = chain(self.hash, data)
            self.hashes[self.sequence] = self.hash

    def read(self, data):
        kind, sealed, compressed, payload = parsed(data)
        if kind == OPERATION:
            require(sealed, "NOT_SEALED")
            return self.operation(compressed, payload)
        require(kind == EXTENSION, "OTHER_TYPE")
        readers = {
            ANNOUNCE: self.announce,
            COMMIT: self.commit,
            PART: self.part,
            ENDORSEMENT: self.endorsement,
            HOLD: self.hold,
        }
        require(payload[0] in readers, "OTHER_SUBTYPE")
        return readers[payload[0]](Reader(payload[1:]))

    def place(self, r):
        """Ring, sequence and hash that somebody names, held against this log."""
        ring, sequence, named = r.take(8), r.number("Q"), r.take(32)
        if self.ring:
            require(ring == self.ring, "TWO_PASTS")
        require(self.hashes.get(sequence, named) == named, "TWO_PASTS")
        return {"ring": ring.hex(), "sequence": sequence, "hash": named.hex()}

    def announce(self, r):
        speaker = self.speaker(r.take(16), r.take(8))
        node = speaker["node"]
        content = self.open(speaker, EXTENSION, ANNOUNCE, 0, r.rest())
        what, signature = content[:-64], content[-64:]
        r = Reader(what)
        place, key, heads = r.take(48), r.take(r.number("B")), read_vector(r)
        r.end()
        check_signature(key, "BX2 announce", self.group, node, what, signature)
        # It speaks from now on, whatever past it was shown.
        self.admit(speaker)
        self.members[node] = key
        place = self.place(Reader(place))
        for counter, _ in heads.values():
            self.ledger.measure(counter, 2**31)
        return {
            "kind": "announce",
            "node": node.hex(),
            "instance": speaker["instance"].hex(),
            **place,
            "key": key.hex(),
            "vector": vector_bytes(heads).hex(),
        }

    def operation(self, compressed, sealed):
        node, content = self.opened(OPERATION, 0, compressed, sealed)
        this = read_body(content)
        require(this["signature"] or not self.signs, "UNSIGNED")
        # Nobody knows the key of a device that left before the checkpoint.
        if this["signature"] and node in self.members:
            self.signed("BX2 operation", node, this["unsigned"], this["signature"])
        self.ledger.take(node, this)
        return {
            "kind": "operation",
            "node": node.hex(),
            **({"client": this["client"].hex()} if this["client"] else {}),
            "counter": this["counter"],
            "previous": this["previous"],
            "link": this["link"].hex(),
            "collection": this["collection"],
            "id": this["id"].hex(),
            "operation": ["insert", "update", "delete"][this["kind"]],
            "fields": record(this["fields"]).hex(),
            "signed": bool(this["signature"]),
            "body": content.hex(),
        }

    def commit(self, r):
        data = b"BX2 commit" + self.keys["logId"]
        inside = Reader(unpad(unseal(self.keys["commitKey"], r.rest(), data)))
        seen = {"kind": "commit", "message": inside.take(inside.number("I")).hex()}
        if inside.left:
            seen["door"] = inside.take(32).hex()
            seen["welcome"] = inside.take(inside.number("I")).hex()
        inside.end()
        self.ended = True
        return seen

    def hold(self, r):
        node, content = self.opened(EXTENSION, HOLD, r.number("B"), r.rest())
        require(content == b"", "BYTES_BEHIND")
        return {"kind": "hold", "node": node.hex()}

    def part(self, r):
        speaker = self.speaker(r.take(16), r.take(8))
        node = speaker["node"]
        content = self.open(speaker, EXTENSION, PART, r.number("B"), r.rest())
        self.admit(speaker)
        r = Reader(content)
        index, last, contents = r.number("I"), r.number("B"), r.rest()
        require(last < 2 and 1 <= len(contents) <= 256 * 1024, "BAD_PART")
        if index == 0:
            for instance in read_base(Reader(contents))["instances"]:
                self.admit(self.speaker(*instance))
            base = (self.sequence, self.hash)
            own = self.ledger.digest()
            self.upload = {"by": speaker, "next": 0, "bytes": b"", "base": base, "own": own}
        up = self.upload
        require(up and up["by"] is speaker and up["next"] == index, "OTHER_CHECKPOINT")
        up["next"] += 1
        up["bytes"] += contents
        seen = {"kind": "part", "node": node.hex(), "index": index, "last": bool(last)}
        if not last:
            return seen
        self.upload = None
        return {**seen, **self.checkpoint(node, up)}

    def checkpoint(self, node, up):
        r = Reader(up["bytes"])
        base = read_base(r)
        require((base["sequence"], base["hash"]) == up["base"], "TWO_PASTS")
        if node in self.members:
            self.signed("BX2 checkpoint", node, base["signed"], base["signature"])
        contents = r.rest()
        require(sha256("BX2 checkpoint", contents) == base["digest"], "BAD_DIGEST")
        self.ledger.absorb(*read_contents(contents))
        return {
            "ring": base["ring"].hex(),
            "sequence": base["sequence"],
            "hash": base["hash"].hex(),
            "instances": [
                {"node": node.hex(), "instance": instance.hex(), "counter": counter}
                for node, instance, counter in base["instances"]
            ],
            "digest": base["digest"].hex(),
            "contents": contents.hex(),
            "same": up["own"] == base["digest"],
        }

    def endorsement(self, r):
        node, content = self.opened(EXTENSION, ENDORSEMENT, r.number("B"), r.rest())
        require(len(content) == 96, "BAD_ENDORSEMENT")
        self.signed("BX2 endorsement", node, content[:32], content[32:])
        return {"kind": "endorsement", "node": node.hex(), "digest": content[:32].hex()}


def read_base(r):
    """What stands before the vector in a checkpoint."""
    begin = r.at
    base = {"ring": r.take(8), "sequence": r.number("Q"), "hash": r.take(32), "digest": r.take(32)}
    signed = r.data[begin : r.at]
    base["signature"], at = r.take(64), r.at
    count = r.number("H")
    base["instances"] = [(r.take(16), r.take(8), r.number("Q")) for _ in range(count)]
    base["signed"] = signed + r.data[at : r.at]
    return base


def read(given):
    members = given.get("members", {})
    members = {bytes.fromhex(node): bytes.fromhex(key) for node, key in members.items()}
    group = bytes.fromhex(given["group"])
    world = (given["database"], group, members, given.get("signed", False))
    ledger, logs = Ledger(), []
    for one in given["logs"]:
        before = bytes.fromhex(one["before"]) if "before" in one else None
        ring = bytes.fromhex(one.get("ring", ""))
        log = Log(world, bytes.fromhex(one["secret"]), ledger, ring, one.get("first", 1), before)
        entries = [log.entry(bytes.fromhex(text)) for text in one["frames"]]
        logs.append({
            "keys": {name: value.hex() for name, value in log.keys.items()},
            "head": {"sequence": log.sequence, "hash": log.hash.hex()},
            "hashes": [value.hex() for value in log.hashes.values()],
            "entries": entries,
        })
    records = [
        {"collection": collection.decode(), "id": identity.hex(), "fields": fields_of(state)}
        for (collection, identity), state in sorted(ledger.records.items(), key=lambda x: x[0])
        if state.there
    ]
    return {
        "logs": logs,
        "vector": vector_bytes(ledger.heads).hex(),
        "records": records,
        "contents": ledger.contents().hex(),
        "digest": ledger.digest().hex(),
    }


def fields_of(state):
    return record({name: value for name, (_, value) in state.fields.items()}).hex()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(read(json.load(file))))
