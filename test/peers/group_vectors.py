"""
Computes the vectors of groups once more, after docs/protocol/group.md: of each file in a
folder its `gives`, out of its `given`.

    python group_vectors.py FOLDER
"""
import json
import os
import struct
import sys

from group_bytes import (
    Refused,
    additional,
    chain_start,
    epoch_secret,
    invitation_door,
    link_of,
    member_door,
    node_of,
    of_database,
    of_door,
    of_epoch,
    pad,
    padme,
    read_record,
    seal,
    sender,
    verified,
)
from group_doors import opened, read_text, sealed, text_of
from group_log import read
from group_records import body, operation, read_body


def hexed(values):
    return {name: value.hex() for name, value in values.items()}


def derived(given):
    take = {name: bytes.fromhex(given[name]) for name in given if name != "database"}
    base = of_database(take["constant"], given["database"])
    group, node = base["group"], node_of(take["signatureKey"])
    secret = epoch_secret(take["confirmationKey"], group)
    epoch = of_epoch(take["secret"], group)
    senders = {
        name: b"".join(sender(take["secret"], group, node, take["instance"], label))
        for name, label in (("sender", "BX2 sender"), ("ecgSender", "BX2 ecg sender"))
    }
    doors = {
        "invitation": invitation_door(take["key"], group),
        "member": member_door(take["seed"], group, node),
    }
    return {
        **hexed({**base, "epochSecret": secret, **epoch, "node": node, **senders}),
        **{name: hexed({"door": door, **of_door(door)}) for name, door in doors.items()},
        "chainStart": chain_start(epoch["logId"]).hex(),
    }


def padding(given):
    return {
        "contents": [pad(bytes.fromhex(one)).hex() for one in given["contents"]],
        "sizes": [padme(one) for one in given["sizes"]],
    }


def bodies(given):
    gives = []
    for one in given:
        take = {
            name: bytes.fromhex(one[name])
            for name in ("before", "client", "id", "hash", "fields", "signature")
        }
        kind = ["insert", "update", "delete"].index(one["kind"])
        fields = read_record(take["fields"])
        plain = operation(
            kind, one["collection"], take["id"], one["counter"], take["hash"], fields
        )
        signed = (lambda _: take["signature"]) if take["signature"] else None
        whole = body(one["previous"], take["before"], plain, signed, take["client"])
        assert read_body(whole)["fields"] == fields
        gives.append({"body": whole.hex(), "link": link_of(take["before"], whole).hex()})
    return gives


def seals(given):
    group, secret, node, instance, content = (
        bytes.fromhex(given[name]) for name in ("group", "secret", "node", "instance", "content")
    )
    key, hint = sender(secret, group, node, instance)
    epoch_id, gives = of_epoch(secret, group)["epochId"], []
    for counter, one in enumerate(given["payloads"]):
        what = (one["type"], one["subtype"], one["compressed"])
        to = bytes.fromhex(one["receiver"])
        data = additional(*what, epoch_id, node, instance, given["database"], to)
        whole = seal(key, hint + struct.pack("!Q", counter), pad(content), data)
        gives.append({"additional": data.hex(), "sealed": whole.hex()})
    return gives


def doors(given):
    constant, key, anchor, door = (
        bytes.fromhex(given[name]) for name in ("constant", "key", "anchor", "door")
    )
    texts = []
    for one in given["texts"]:
        text = (one["database"], constant, key, one["flags"])
        texts.append(text_of(*text, anchor))
        assert read_text(texts[-1]) == (*text, b"" if one["flags"] & 2 else anchor)
    frames = []
    for one in given["entries"]:
        nonce, content = bytes.fromhex(one["nonce"]), bytes.fromhex(one["content"])
        frames.append(sealed(door, one["subtype"], nonce, content))
        assert opened(door, frames[-1]) == (one["subtype"], content)
    return {"texts": texts, "frames": [frame.hex() for frame in frames]}


def log(given):
    whole = read(given)
    logs = [{name: one[name] for name in ("hashes", "entries")} for one in whole["logs"]]
    return {**whole, "logs": logs}


def signatures(given):
    gives = []
    for one in given:
        key, message, signature = (
            bytes.fromhex(one[name]) for name in ("key", "message", "signature")
        )
        try:
            verified(key, message, signature)
            gives.append(True)
        except Refused:
            gives.append(False)
    return gives


FILES = {
    "derived.json": derived,
    "padding.json": padding,
    "bodies.json": bodies,
    "seals.json": seals,
    "doors.json": doors,
    "log.json": log,
    "signatures.json": signatures,
}

if __name__ == "__main__":
    told = {}
    for name, compute in FILES.items():
        with open(os.path.join(sys.argv[1], name), encoding="utf-8") as file:
            told[name] = compute(json.load(file)["given"])
    print(json.dumps(told))
