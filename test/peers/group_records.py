"""
Operations, records and checkpoints of a group, after docs/protocol/group.md: rules 4, 6 and 7.
A stamp is a counter and a node id; a record keeps the stamps of its insert, update and delete, and
of each field its stamp with the bytes of its value.
"""
import hashlib
import struct

from group_bytes import Reader, Refused, form, link_of, order, read_record, record, require, sha256

INSERT, UPDATE, DELETE = 0, 1, 2
FIELDS = 60_000
AHEAD = 2**32
AUTHORS = 1_000


def body(previous, link, operation, signed=None, client=b""):
    """A body as it is sealed; `signed` makes the signature of what stands before it."""
    flags = (1 if signed else 0) | (2 if client else 0)
    out = bytes([flags]) + struct.pack("!Q", previous) + link + client + operation
    return out + (signed(out) if signed else b"")


def hash_of(node):
    return hashlib.sha256(node).digest()[:4]


def operation(kind, collection, identity, counter, node_hash, fields):
    name = collection.encode()
    out = bytes([kind, len(name)]) + name + identity + struct.pack("!Q", counter)
    return out + node_hash + record(fields)


def read_body(data):
    r = Reader(data)
    flags = r.number("B")
    require(flags < 4, "BAD_BODY")
    this = {"previous": r.number("Q"), "before": r.take(8)}
    this["client"] = r.take(16) if flags & 2 else b""
    require(r.left >= (64 if flags & 1 else 0), "TRUNCATED")
    end = len(data) - (64 if flags & 1 else 0)
    this["unsigned"], this["signature"] = data[:end], data[end:]
    this["link"] = link_of(this["before"], data)
    r = Reader(data[r.at : end])
    this["kind"] = r.number("B")
    require(this["kind"] <= DELETE, "BAD_OPERATION")
    this["collection"] = r.take(r.number("B")).decode()
    this["id"] = r.take(16)
    this["counter"] = r.number("Q")
    this["hash"] = r.take(4)
    this["fields"] = read_record(r.rest())
    require(this["counter"] > this["previous"], "BAD_BODY")
    return this


class State:
    """One record. Names of fields are in their normal form."""

    def __init__(self):
        self.marks = [None, None, None]
        self.fields = {}

    def merge(self, marks, fields):
        """What is higher wins; what is below the delete goes."""
        if len(self.fields | fields) > FIELDS:
            return
        for kind, stamp in enumerate(marks):
            if stamp and (self.marks[kind] is None or stamp > self.marks[kind]):
                self.marks[kind] = stamp
        for name, field in fields.items():
            if name not in self.fields or field > self.fields[name]:
                self.fields[name] = field
        end = self.marks[DELETE]
        if end:
            self.fields = {name: field for name, field in self.fields.items() if field[0] > end}

    @property
    def there(self):
        inserted, updated, deleted = self.marks
        if deleted:
            return inserted is not None and inserted > deleted
        return inserted is not None or updated is not None

    def encoded(self, collection, identity):
        fields = sorted(self.fields, key=order)
        stamps = {stamp for stamp in self.marks if stamp} | {self.fields[one][0] for one in fields}
        stamps = sorted(stamps)
        name = collection.encode()
        out = bytes([len(name)]) + name + identity + struct.pack("!H", len(stamps))
        out += b"".join(struct.pack("!Q", counter) + node for counter, node in stamps)
        for stamp in self.marks:
            out += struct.pack("!H", 1 + stamps.index(stamp) if stamp else 0)
        out += struct.pack("!H", len(fields))
        for one in fields:
            out += struct.pack("!H", stamps.index(self.fields[one][0]))
        return out + record({one: self.fields[one][1] for one in fields})


def read_state(data):
    """Collection, id, marks, fields."""
    r = Reader(data)
    collection, identity = r.take(r.number("B")).decode(), r.take(16)
    stamps = [(r.number("Q"), r.take(16)) for _ in range(r.number("H"))]
    marks = [r.number("H") for _ in range(3)]
    indexes = [r.number("H") for _ in range(r.number("H"))]
    require(max([*marks, *(1 + index for index in indexes)]) <= len(stamps), "BAD_STATE")
    fields = read_record(r.rest())
    require(len(fields) == len(indexes), "BAD_STATE")
    of_name = {
        form(name): (stamps[index], fields[name])
        for name, index in zip(sorted(fields, key=order), indexes)
    }
    return collection, identity, [stamps[mark - 1] if mark else None for mark in marks], of_name


def read_vector(r):
    """Of each author the counter and the link of its last operation that counts."""
    heads, last = {}, b""
    count = r.number("H")
    require(count <= AUTHORS, "BAD_VECTOR")
    for _ in range(count):
        node, counter, link = r.take(16), r.number("Q"), r.take(8)
        require(node > last and counter > 0, "BAD_VECTOR")
        heads[node] = (counter, link)
        last = node
    return heads


def vector_bytes(heads):
    out = struct.pack("!H", len(heads))
    for node in sorted(heads):
        out += node + struct.pack("!Q", heads[node][0]) + heads[node][1]
    return out


class Ledger:
    """What counted so far: of each author its last operation, and the records."""

    def __init__(self):
        self.heads = {}
        self.links = {}
        self.gaps = {}
        self.records = {}
        self.highest = 0

    def measure(self, counter, ahead=AHEAD):
        require(counter <= self.highest + ahead, "BAD_COUNTER")

    def take(self, author, this):
        """An operation that was read: rule 4."""
        counter, link = self.heads.get(author, (0, bytes(8)))
        self.measure(this["counter"])
        require(author in self.heads or len(self.heads) < AUTHORS, "GROUP_FULL")
        links = self.links.setdefault(author, {})
        behind = (this["previous"], this["before"])
        after, until = self.gaps.get(author, (None, None))
        if after == behind and (this["counter"] < until[0] or (this["counter"], this["link"]) == until):
            return self.fill(author, this, until)
        if this["previous"] <= counter and behind != (counter, link):
            # What is older than all that was read is a repetition, as far as anybody can tell.
            old = all(this["counter"] < one for one in links)
            same = links.get(this["counter"]) == this["link"]
            raise Refused("REPEATED" if same or old else "ID_TAKEN")
        if this["previous"] > counter:
            after = self.gaps[author][0] if author in self.gaps else (counter, link)
            self.gaps[author] = (after, behind)
        links[this["counter"]] = this["link"]
        self.heads[author] = (this["counter"], this["link"])
        self.put(author, this)

    def fill(self, author, this, until):
        """What was missing, or the first of it."""
        head = (this["counter"], this["link"])
        if head == until:
            del self.gaps[author]
        else:
            self.gaps[author] = (head, until)
        self.put(author, this)

    def put(self, author, this):
        self.highest = max(self.highest, this["counter"])
        stamp = (this["counter"], author)
        marks = [stamp if kind == this["kind"] else None for kind in (INSERT, UPDATE, DELETE)]
        fields = {form(name): (stamp, value) for name, value in this["fields"].items()}
        self.of(this["collection"], this["id"]).merge(marks, fields)

    def of(self, collection, identity):
        return self.records.setdefault((collection.encode(), identity), State())

    def absorb(self, heads, states):
        """A checkpoint: what is higher wins; of one author and counter its link."""
        stamps = [stamp for _, _, marks, _ in states for stamp in marks if stamp]
        stamps += [field[0] for _, _, _, fields in states for field in fields.values()]
        counters = [counter for counter, _ in [*heads.values(), *stamps]]
        for counter in counters:
            self.measure(counter)
        require(len(self.heads | heads) <= AUTHORS, "GROUP_FULL")
        self.highest = max([self.highest, *counters])
        for author, head in heads.items():
            if head[0] >= self.heads.get(author, (0, b""))[0]:
                self.heads[author] = head
                self.gaps.pop(author, None)
        for collection, identity, marks, fields in states:
            self.of(collection, identity).merge(marks, fields)

    def contents(self):
        """What a digest covers: vector, count, records."""
        out = vector_bytes(self.heads) + struct.pack("!I", len(self.records))
        for (collection, identity), state in sorted(self.records.items(), key=lambda one: one[0]):
            encoded = state.encoded(collection.decode(), identity)
            out += struct.pack("!I", len(encoded)) + encoded
        return out

    def digest(self):
        return sha256("BX2 checkpoint", self.contents())


def read_contents(data):
    """The heads and the records of a checkpoint's contents."""
    r = Reader(data)
    heads = read_vector(r)
    states = [read_state(r.take(r.number("I"))) for _ in range(r.number("I"))]
    r.end()
    return heads, states


