#!/usr/bin/env python3
"""Checks an evidence bundle without any of the software that made it.

    python3 verify_bundle.py BUNDLE [--key LOG.PUB] [--checkpoint EARLIER]

Needs Python 3.9 and one library, `cryptography`, for Ed25519; reads files only. It follows the format of the
ledger (docs/verify.md explains each step) and shares no code with Proofstream. Exit codes: 0 all that was
checked holds, 2 wrong usage, 3 something cannot be read, 4 something does not hold.
"""

import argparse
import base64
import datetime
import hashlib
import json
import os
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ALWAYS = ("gap", "key", "source", "export", "erasure")
RECORD = {"v", "seq", "time", "cluster", "source", "source_epoch", "source_seq", "kind", "controls", "body"}
MANIFEST = {"v", "segment", "sha256", "size", "first", "count", "time_from", "time_to", "root", "kinds"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
MAX_LINE = 64 * 1024
MAX_INTEGER = 2**53 - 1


class Wrong(Exception):
    """Something does not hold."""


def need(condition, reason):
    if not condition:
        raise Wrong(reason)


# --- bytes, JSON and hashes -------------------------------------------------------------------------------


def unbase64(text, length=None):
    need(isinstance(text, str), "base64 is a text")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Wrong("not base64: %s" % error) from error
    need(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    need(length is None or len(data) == length, "base64 of another length than %s" % length)
    return data


def once(pairs):
    members = dict(pairs)
    need(len(members) == len(pairs), "a key stands there twice")
    return members


def no_fraction(text):
    raise Wrong("number `%s` is no integer" % text)


def strict(data):
    """JSON with every key once, integers alone, and no text that is no Unicode."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=once, parse_float=no_fraction, parse_constant=no_fraction)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Wrong("not JSON: %s" % error) from error
    return value


def canonical(data):
    """JSON whose bytes are the only ones for its value (RFC 8785; keys are ASCII, numbers integers)."""
    value = strict(data)
    need(within(value), "an integer beyond 2^53-1, or a key that is not ASCII")
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    need(text.encode("utf-8") == data, "not canonical JSON")
    return value


def within(value):
    if isinstance(value, dict):
        return all(key.isascii() for key in value) and all(map(within, value.values()))
    if isinstance(value, list):
        return all(map(within, value))
    return not isinstance(value, int) or abs(value) <= MAX_INTEGER


def keys_are(value, keys, optional=()):
    need(isinstance(value, dict), "this is an object")
    missing = set(keys) - set(value)
    unknown = set(value) - set(keys) - set(optional)
    need(not missing and not unknown, "keys missing: %s; unknown: %s" % (sorted(missing), sorted(unknown)))


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_time(value):
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return False
    try:
        datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return False
    return True


def moment(text):
    """Any RFC 3339 time, in the ledger's spelling, which sorts as time does."""
    need(isinstance(text, str), "a time is a text")
    try:
        spelled = re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace("Z", "+00:00"))
        fraction = re.search(r"\.(\d{1,6})", spelled)
        if fraction:
            spelled = spelled.replace(fraction.group(0), "." + fraction.group(1).ljust(6, "0"))
        time = datetime.datetime.fromisoformat(spelled)
        need(time.tzinfo is not None, "time `%s` has no zone" % text)
        return time.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    except ValueError as error:
        raise Wrong("`%s` is no time: %s" % (text, error)) from error


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(data):
    return sha256(b"\x00" + data)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


# --- Merkle proofs (RFC 9162, 2.1.3.2 and 2.1.4.2) --------------------------------------------------------


def check_inclusion(leaf, index, size, path, root):
    need(is_count(index) and index < size, "position %s is not below size %s" % (index, size))
    number, last, value = index, size - 1, leaf
    for sibling in path:
        need(last > 0, "the proof is too long")
        if number % 2 == 1 or number == last:
            value = node_hash(sibling, value)
            while number % 2 == 0 and number != 0:
                number, last = number >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        number, last = number >> 1, last >> 1
    need(last == 0, "the proof is too short")
    need(value == root, "the proof leads to another root")


def check_consistency(old_size, old_root, size, root, path):
    need(old_size <= size, "size %s is beyond %s" % (old_size, size))
    if old_size == size:
        need(not path and old_root == root, "the same size with another root")
        return
    if old_size == 0:
        need(not path and old_root == sha256(b""), "the empty tree has another root")
        return
    path = list(path)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    need(path, "the proof is too short")
    number, last = old_size - 1, size - 1
    while number % 2 == 1:
        number, last = number >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        need(last > 0, "the proof is too long")
        if number % 2 == 1 or number == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while number % 2 == 0 and number != 0:
                number, last = number >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        number, last = number >> 1, last >> 1
    need(last == 0 and before == old_root and after == root, "the proof leads to other roots")


# --- keys and checkpoints (C2SP signed-note, tlog-checkpoint) ---------------------------------------------


class Key:
    """A line NAME+HASH+BASE64 of Ed25519."""

    def __init__(self, line):
        parts = line.split("+", 2)
        need(len(parts) == 3, "`%s` is no verifier key" % line)
        self.name, identity, encoded = parts
        data = unbase64(encoded)
        need(len(data) == 33 and data[0] == 1, "not an Ed25519 key")
        self.public = data[1:]
        self.identity = sha256(self.name.encode() + b"\n" + data)[:4]
        need(self.identity.hex() == identity, "the key's hash is not `%s`" % identity)

    def __eq__(self, other):
        return (self.name, self.public) == (other.name, other.public)


def signature_holds(public, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Checkpoint:
    """A signed note: origin, size and root, then signatures."""

    def __init__(self, data):
        try:
            note = data.decode("utf-8")
        except ValueError as error:
            raise Wrong("not UTF-8") from error
        text, separator, signatures = note.rpartition("\n\n")
        need(separator and signatures.endswith("\n"), "not a signed note")
        self.text = text + "\n"
        lines = text.split("\n")
        need(len(lines) >= 3 and all(lines), "fewer than three lines, or an empty one")
        self.origin, size = lines[0], lines[1]
        need(re.fullmatch(r"0|[1-9][0-9]*", size), "the size is no number")
        self.size, self.root = int(size), unbase64(lines[2], 32)
        self.signatures = []
        for line in signatures[:-1].split("\n"):
            words = line.split(" ")
            need(len(words) == 3 and words[0] == "\u2014", "`%s` is no signature" % line)
            self.signatures.append((words[1], unbase64(words[2])))

    def check(self, key):
        need(self.origin == key.name, "the origin is not the key's name")
        for name, data in self.signatures:
            if name == key.name and data[:4] == key.identity:
                need(signature_holds(key.public, data[4:], self.text.encode()), "its signature does not hold")
                return
        raise Wrong("no signature by key %s" % key.identity.hex())


def read_keys(data):
    need(data.endswith(b"\n"), "the last line has no newline")
    keys = [Key(line) for line in data.decode("utf-8")[:-1].split("\n")]
    match = re.fullmatch(r"proofstream/.+/([0-9a-f]{8})", keys[0].name)
    first = sha256(keys[0].public).hex()[:8]
    need(match and match.group(1) == first, "the name does not end in the hash of the first key")
    need(all(key.name == keys[0].name for key in keys), "a key of another name")
    need(len({key.public for key in keys}) == len(keys), "a key stands there twice")
    return keys


# --- records and manifests --------------------------------------------------------------------------------


def read_record(line):
    need(len(line) <= MAX_LINE, "longer than 64 KiB")
    record = canonical(line)
    keys_are(record, RECORD)
    need(record["v"] == 1 and record["v"] is not True, "a version that is not known here")
    need(all(is_count(record[key]) for key in ("seq", "source_epoch", "source_seq")), "a number that is none")
    need(is_time(record["time"]), "`time` is none")
    need(all(isinstance(record[key], str) and record[key] for key in ("cluster", "source", "kind")), "an empty text")
    controls = record["controls"]
    need(isinstance(controls, list) and all(isinstance(it, str) for it in controls), "`controls` are texts")
    need(controls == sorted(controls), "`controls` are not sorted")
    need(isinstance(record["body"], dict), "`body` is no object")
    return record


def read_manifest(value):
    data = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")
    keys_are(value, MANIFEST)
    need(value["v"] == 1, "a version that is not known here")
    need(all(is_count(value[key]) for key in ("size", "first", "count")), "a number that is none")
    need(1 <= value["count"] <= 65536, "`count` is not between 1 and 65536")
    need(isinstance(value["sha256"], str) and re.fullmatch("[0-9a-f]{64}", value["sha256"]), "`sha256` is none")
    unbase64(value["root"], 32)
    need(is_time(value["time_from"]) and is_time(value["time_to"]), "a time that is none")
    need(value["time_from"] <= value["time_to"], "`time_from` is after `time_to`")
    kinds = value["kinds"]
    need(isinstance(kinds, dict) and all(is_count(count) and count for count in kinds.values()), "`kinds` is none")
    need(sum(kinds.values()) == value["count"], "`kinds` do not add up to `count`")
    day = value["time_from"][:10].replace("-", "/")
    need(value["segment"] == "segments/%s/%020d.jsonl.zst" % (day, value["first"]), "`segment` is not its path")
    return data


# --- claims -----------------------------------------------------------------------------------------------


def same(left, right):
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def leads(value, path, wanted):
    """Whether some reading of a dotted path leads to the value, or to a list that has it."""
    if isinstance(value, list):
        return any(leads(item, path, wanted) for item in value)
    if not isinstance(value, dict):
        return False
    found = value.get(path)
    if path in value and (same(found, wanted) or isinstance(found, list) and any(same(it, wanted) for it in found)):
        return True
    dots = (match.start() for match in re.finditer(r"\.", path))
    return any(path[:dot] in value and leads(value[path[:dot]], path[dot + 1 :], wanted) for dot in dots)


def meets(record, path, wanted):
    if not path.startswith("event."):
        return leads(record, path, wanted)
    try:
        event = json.loads(record["body"].get("raw", ""))
    except (TypeError, ValueError, RecursionError):
        return False
    return leads(event, path[len("event.") :], wanted)


# --- the bundle -------------------------------------------------------------------------------------------


class Bundle:
    """A folder, what of it was checked, and what does not hold."""

    def __init__(self, folder):
        self.folder = folder
        self.failures, self.checked, self.unchecked = [], [], []

    def fail(self, place, reason):
        self.failures.append("%s: %s" % (place, reason))

    def bytes(self, path):
        with open(os.path.join(self.folder, *path.split("/")), "rb") as file:
            return file.read()

    def lines(self, path):
        """Each line with its number; what is after the last newline is no line."""
        data = self.bytes(path)
        need(not data or data.endswith(b"\n"), "the last line has no newline")
        return list(enumerate(data.split(b"\n")[:-1], 1))

    def each(self, path, work):
        """Does something with each line; what does not hold is told with its place."""
        count = 0
        for number, line in self.lines(path):
            try:
                work(line)
                count += 1
            except Wrong as error:
                self.fail("%s line %s" % (path, number), error)
        return count

    def files(self):
        for folder, folders, names in os.walk(self.folder):
            folders.sort()
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self.folder).replace(os.sep, "/")

    # manifest.json: every file by its hash, and no other

    def inventory(self):
        data = self.bytes("manifest.json")
        inventory = strict(data)
        keys_are(inventory, {"v", "files"})
        need(inventory["v"] == 1, "a version that is not known here")
        paths = []
        for file in inventory["files"]:
            keys_are(file, {"path", "sha256", "size"})
            path = file["path"]
            plain = isinstance(path, str) and not re.search(r"[\\:\0]", path)
            need(plain and all(part not in ("", ".", "..") for part in path.split("/")), "lists `%s`" % path)
            need(path not in ("manifest.json", "manifest.dsse.json"), "lists `%s`" % path)
            paths.append(path)
            try:
                content = self.bytes(path)
            except FileNotFoundError:
                self.fail(path, "missing, though manifest.json lists it")
                continue
            if len(content) != file["size"] or sha256(content).hex() != file["sha256"]:
                self.fail(path, "is not the file that manifest.json lists")
        need(paths == sorted(set(paths)), "its files are not sorted, each once")
        for path in self.files():
            if path not in paths and path not in ("manifest.json", "manifest.dsse.json"):
                self.fail(path, "is in the bundle and not in manifest.json")
        self.paths = paths
        self.checked.append("%s files by hash and size" % len(paths))
        return sha256(data).hex()

    # log.pub, keys/ and checkpoint: whose log this is, and what it says of itself

    def log(self):
        self.keys = read_keys(self.bytes("log.pub"))
        handovers = {}
        for path in self.paths:
            match = re.fullmatch(r"keys/(0|[1-9][0-9]*)", path)
            if match:
                handovers[int(match.group(1))] = Checkpoint(self.bytes(path))
        need(len(self.keys) == len(handovers) + 1, "log.pub and keys/ do not have as many changes of key")
        self.changes = sorted(handovers)
        for size in self.changes:
            need(handovers[size].size == size, "keys/%s is of another size" % size)
            self.signed(handovers[size])
        self.checkpoint = Checkpoint(self.bytes("checkpoint"))
        self.signed(self.checkpoint)
        self.checked.append("checkpoint of %s segments by its signature" % self.checkpoint.size)

    def signed(self, checkpoint):
        """By the key that counts at its size; at a change by both."""
        position = sum(change < checkpoint.size for change in self.changes)
        count = 2 if checkpoint.size in self.changes else 1
        for key in self.keys[position : position + count]:
            checkpoint.check(key)

    # manifests.jsonl: the segments, each in the log

    def segments(self):
        self.range, self.kinds = [], {}

        def segment(line):
            entry = strict(line)
            keys_are(entry, {"index", "manifest", "outer"})
            manifest = entry["manifest"]
            data = read_manifest(manifest)
            need(data in line, "the manifest is not canonical")
            outer = [unbase64(it, 32) for it in entry["outer"]]
            check_inclusion(leaf_hash(data), entry["index"], self.checkpoint.size, outer, self.checkpoint.root)
            if self.range:
                index, last = self.range[-1]
                need(entry["index"] == index + 1, "segment %s does not follow" % entry["index"])
                need(manifest["first"] == last["first"] + last["count"], "its records do not follow")
            self.range.append((entry["index"], manifest))
            for kind, count in manifest["kinds"].items():
                self.kinds[kind] = self.kinds.get(kind, 0) + count

        self.each("manifests.jsonl", segment)
        need(self.range, "manifests.jsonl has no manifest")
        self.checked.append("%s segments by their proof to the checkpoint" % len(self.range))

    # records/ and proofs.jsonl: every record, in its segment

    def records(self):
        self.by_seq, self.counts = {}, {}
        for path in self.paths:
            match = re.fullmatch(r"records/(.+)\.jsonl", path)
            if match is None:
                continue
            kind = match.group(1)

            def record(line, path=path, kind=kind):
                parsed = read_record(line)
                need(parsed["kind"] == kind, "a record of kind `%s`" % parsed["kind"])
                need(parsed["seq"] not in self.by_seq, "seq %s is there twice" % parsed["seq"])
                self.by_seq[parsed["seq"]] = [parsed, leaf_hash(line), False]

            self.counts[kind] = self.each(path, record)
        segments = dict(self.range)

        def proof(line):
            entry = strict(line)
            keys_are(entry, {"seq", "segment", "index", "inner"})
            seq, manifest = entry["seq"], segments.get(entry["segment"])
            need(seq in self.by_seq, "seq %s is not in the bundle" % seq)
            need(manifest is not None, "segment %s is not in manifests.jsonl" % entry["segment"])
            found = self.by_seq[seq]
            need(is_count(entry["index"]) and manifest["first"] + entry["index"] == seq, "seq %s is elsewhere" % seq)
            inner = [unbase64(it, 32) for it in entry["inner"]]
            check_inclusion(found[1], entry["index"], manifest["count"], inner, unbase64(manifest["root"], 32))
            need(manifest["time_from"] <= found[0]["time"] <= manifest["time_to"], "seq %s: its time" % seq)
            need(not found[2], "seq %s is proven twice" % seq)
            found[2] = True

        proven = self.each("proofs.jsonl", proof)
        for seq, (_, _, seen) in sorted(self.by_seq.items()):
            if not seen:
                self.fail("seq %s" % seq, "no proof shows it")
        self.checked.append("%s records by their proof to a segment" % proven)

    def completeness(self):
        first_line = self.bytes("README.md").split(b"\n")[0].decode("utf-8", "replace")
        selection = "SELECTION" in first_line
        for kind, count in sorted(self.counts.items()):
            expected = self.kinds.get(kind, 0)
            if count != expected and selection and kind not in ALWAYS and count < expected:
                self.unchecked.append("completeness of `%s`: a SELECTION of %s out of %s" % (kind, count, expected))
            elif count != expected:
                self.fail("records/%s.jsonl" % kind, "%s records, the segments have %s" % (count, expected))
        for kind in ALWAYS:
            if self.kinds.get(kind, 0) and kind not in self.counts:
                self.fail("records/%s.jsonl" % kind, "missing, and every bundle has these")
        absent = sorted(set(self.kinds) - set(self.counts))
        if absent:
            self.unchecked.append("records of kinds that are not exported: %s" % ", ".join(absent))
        self.checked.append("%s kinds for all their records" % len(self.counts))

    # claims.json: every number, counted again

    def claims(self):
        document = strict(self.bytes("claims.json"))
        keys_are(document, {"v", "claims"})
        need(document["v"] == 1, "a version that is not known here")
        for number, claim in enumerate(document["claims"]):
            keys_are(claim, {"text", "kind", "where", "value"}, {"from", "to"})
            begin, end = (moment(claim[key]) if claim.get(key) is not None else None for key in ("from", "to"))
            counted = sum(
                record["kind"] == claim["kind"]
                and (begin is None or begin <= record["time"])
                and (end is None or record["time"] < end)
                and all(meets(record, path, wanted) for path, wanted in claim["where"].items())
                for record, _, _ in self.by_seq.values()
            )
            exported = claim["kind"] in self.counts or claim["kind"] not in self.kinds
            if not exported:
                self.fail("claims.json", "claim %s counts `%s`, which is not exported" % (number, claim["kind"]))
            elif not is_count(claim["value"]) or counted != claim["value"]:
                said = (number, claim["text"], claim["value"], counted)
                self.fail("claims.json", "claim %s (%s) says %s, the records say %s" % said)
        self.checked.append("%s claims by counting again" % len(document["claims"]))

    # blobs, by their name

    def blobs(self):
        blobs = [path for path in self.paths if path.startswith("blobs/")]
        for path in blobs:
            name = sha256(self.bytes(path)).hex()
            if path != "blobs/%s/%s" % (name[:2], name):
                self.fail(path, "is not the blob that its name says")
        sizes = {}
        pending = [record["body"] for record, _, _ in self.by_seq.values()]
        while pending:
            value = pending.pop()
            if isinstance(value, dict):
                if isinstance(value.get("blob"), str) and is_count(value.get("size")):
                    sizes[value["blob"]] = value["size"]
                pending.extend(value.values())
            elif isinstance(value, list):
                pending.extend(value)
        for name, size in sorted(sizes.items()):
            path = "blobs/%s/%s" % (name[:2], name)
            if path in blobs and len(self.bytes(path)) != size + 32:
                self.fail(path, "has another size than its record says")
        absent = sum("blobs/%s/%s" % (name[:2], name) not in blobs for name in sizes)
        if absent:
            self.unchecked.append("%s blobs that records refer to and that the bundle leaves out" % absent)
        self.checked.append("%s blobs by their hash" % len(blobs))

    # manifest.dsse.json: who says that this is the bundle

    def export_keys(self):
        records = [record for record, _, _ in self.by_seq.values() if record["kind"] == "key"]
        if "export-key.json" in self.paths:
            data = self.bytes("export-key.json")
            proof = strict(data)
            keys_are(proof, {"v", "record", "index", "inner", "segment", "manifest", "outer"})
            line = json.dumps(proof["record"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            record, manifest = read_record(line.encode("utf-8")), proof["manifest"]
            leaf = read_manifest(manifest)
            need(line.encode("utf-8") in data and leaf in data, "export-key.json is not canonical")
            need(record["kind"] == "key", "export-key.json proves no key record")
            need(manifest["first"] + proof["index"] == record["seq"], "export-key.json: the record is elsewhere")
            inner = [unbase64(it, 32) for it in proof["inner"]]
            outer = [unbase64(it, 32) for it in proof["outer"]]
            root = unbase64(manifest["root"], 32)
            check_inclusion(leaf_hash(line.encode("utf-8")), proof["index"], manifest["count"], inner, root)
            check_inclusion(leaf_hash(leaf), proof["segment"], self.checkpoint.size, outer, self.checkpoint.root)
            records.append(record)
        of_log = {key.public for key in self.keys}
        public = [unbase64(it["body"].get("public_key"), 32) for it in records if it["body"].get("use") == "export"]
        need(not of_log & set(public), "a key of the log is named as an export key")
        return public

    def envelope(self, inventory):
        envelope = strict(self.bytes("manifest.dsse.json"))
        keys_are(envelope, {"payload", "payloadType", "signatures"})
        kind, payload = envelope["payloadType"], unbase64(envelope["payload"])
        need(kind == "application/vnd.in-toto+json", "its payload is `%s`" % kind)
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        for signature in envelope["signatures"]:
            keys_are(signature, {"sig"}, {"keyid"})
        signatures = [unbase64(it["sig"]) for it in envelope["signatures"]]
        of_log = [key.public for key in self.keys]
        need(
            not any(signature_holds(key, it, message) for key in of_log for it in signatures),
            "is signed by a key of the log, which must not sign bundles",
        )
        by_export = any(signature_holds(key, it, message) for key in self.export_keys() for it in signatures)
        need(by_export, "no signature holds by an export key that a key record names")
        statement = strict(payload)
        subject = [{"name": "manifest.json", "digest": {"sha256": inventory}}]
        need(statement.get("_type") == "https://in-toto.io/Statement/v1", "its statement is of another type")
        need(statement.get("subject") == subject, "its statement is not about this manifest.json")
        self.checked.append("the envelope by a key that a key record names")

    # consistency.jsonl: that nothing was rewritten since earlier exports

    def history(self):
        self.roots = {self.checkpoint.size: self.checkpoint.root}

        def earlier(line):
            entry = strict(line)
            keys_are(entry, {"checkpoint", "proof"})
            old = Checkpoint(entry["checkpoint"].encode("utf-8"))
            path = [unbase64(it, 32) for it in entry["proof"]]
            check_consistency(old.size, old.root, self.checkpoint.size, self.checkpoint.root, path)
            self.signed(old)
            self.roots[old.size] = old.root

        count = self.each("consistency.jsonl", earlier)
        self.checked.append("%s earlier checkpoints by their proof to this one" % count)

    def step(self, place, work, *arguments):
        """One part of the work. What cannot be read is no reason to stop the others, nor to believe them."""
        try:
            return work(*arguments)
        except Wrong as error:
            self.fail(place, error)
        except FileNotFoundError as error:
            self.fail(os.path.relpath(error.filename, self.folder), "missing")
        except (AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
            self.fail(place, "has another shape: %r" % error)
        return None

    def verify(self):
        inventory = self.step("manifest.json", self.inventory)
        if inventory is None:
            return
        before = len(self.failures)
        self.step("log.pub, keys/ and checkpoint", self.log)
        if len(self.failures) > before:
            return
        self.step("manifests.jsonl", self.segments)
        if len(self.failures) > before:
            return
        self.step("records/ and proofs.jsonl", self.records)
        if not hasattr(self, "counts"):
            return
        self.step("records/", self.completeness)
        self.step("claims.json", self.claims)
        self.step("blobs/", self.blobs)
        self.step("manifest.dsse.json", self.envelope, inventory)
        self.step("consistency.jsonl", self.history)
        self.unchecked.append("numbers that claims.json does not state; sources without a hole; cosignatures of witnesses")


def grade(bundle, options):
    """How much the bundle proves, given what the auditor has from elsewhere."""
    known = False
    if options.key:
        given = [Key(line) for line in open(options.key, encoding="utf-8").read().split("\n") if line]
        known = any(key == own for key in given for own in bundle.keys)
        if not known:
            bundle.fail("log.pub", "none of its keys is one of --key")
    if options.checkpoint:
        with open(options.checkpoint, "rb") as file:
            earlier = Checkpoint(file.read())
        bundle.signed(earlier)
        if earlier.size not in bundle.roots:
            bundle.unchecked.append("--checkpoint: the bundle has no proof from its size %s" % earlier.size)
        elif bundle.roots[earlier.size] != earlier.root:
            bundle.fail("--checkpoint", "the log had another root at size %s: it was rewritten" % earlier.size)
        else:
            return "ANCHORED by a checkpoint of size %s" % earlier.size
    return "AUTHENTICATED, HISTORY NOT ANCHORED" if known else "SELF-CONSISTENT, NOT AUTHENTICATED"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", help="the folder of the bundle")
    parser.add_argument("--key", help="verifier keys of the log, from elsewhere")
    parser.add_argument("--checkpoint", help="an earlier checkpoint of the log, from elsewhere")
    options = parser.parse_args()
    bundle = Bundle(options.bundle)
    said = None
    try:
        bundle.verify()
        if not bundle.failures:
            said = grade(bundle, options)
    except Wrong as error:
        bundle.fail("--key or --checkpoint", error)
    except OSError as error:
        print("cannot be read: %s" % error, file=sys.stderr)
        return 3
    for line in bundle.failures:
        print("FAILED     %s" % line)
    if bundle.failures:
        return 4
    print(said)
    for line in bundle.checked:
        print("checked    %s" % line)
    for line in bundle.unchecked:
        print("unchecked  %s" % line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
