"""Secrets of every shape, leaked by a task in every way it can: none can be found in anything that is shown or kept (DATA-12).

AETHER_FUZZ_SECRETS=10000 plays more of them than a usual run of the tests.
"""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.rule("DATA-12")

COUNT = int(os.environ.get("AETHER_FUZZ_SECRETS", "60"))
AT_ONCE = 20 if COUNT < 1_000 else 200  # secrets of one run

TELL = r"""
import base64, html, json, os, shlex, sys, time
from urllib.parse import quote, quote_plus
inputs = json.load(open(os.environ["AETHER_INPUTS"]))
secrets = [value for name, value in sorted(inputs.items()) if name.startswith("s")]
where = inputs["where"]

def forms(s):
    b = s.encode()
    base = base64.b64encode(b"user:" + b).decode()
    yield from (s, s.upper(), s.lower(), repr(s), repr([s, "it's \""]), json.dumps({"k": s}), json.dumps(json.dumps(s)))
    yield from (quote(s, ""), quote(s), quote_plus(s), quote(s, "").lower(), html.escape(s), shlex.quote(s))
    yield from (b.hex(), b.hex().upper(), base64.b32encode(b).decode(), base, base64.urlsafe_b64encode(b).decode())
    yield base64.encodebytes(b"x" * 50 + b + b"y" * 50).decode()
    yield f"https://me:{s}@host/path?token={s}"
    yield "padding " * 60 + s

if where == "stdout":
    for s in secrets:
        for form in forms(s):
            print(form)
if where == "pieces":
    for s in secrets:
        data = (s + "\n").encode()
        for cut in (1, len(data) // 2, len(data) - 2):
            os.write(1, data[:cut]); os.write(2, data[:cut]); time.sleep(0.002)
            os.write(1, data[cut:]); os.write(2, data[cut:])
if where == "outputs":
    told = {f"out{i}": [form for form in forms(s)] for i, s in enumerate(secrets)}
    told.update({s: {s: 1} for s in secrets})
    json.dump(told, open(os.environ["AETHER_OUTPUTS"], "w"))
if where == "lines":
    with open(os.environ["AETHER_OUTPUTS"], "w") as out:
        print("header: Bearer", " ".join(secrets), file=out)
if where.startswith("message"):
    number = int(where[7:])
    print("x" * int(inputs["pad"]) + " ".join([*forms(secrets[number])][:3]).replace("\n", " "), file=sys.stderr)
    sys.exit(1)
"""


def shapes(dice: random.Random) -> str:
    """One secret: a token, a password with odd characters, words, a long token, a key of several lines, not ASCII."""
    letters = string.ascii_letters + string.digits
    kind = dice.randrange(7)
    if kind == 0:
        return "".join(dice.choices(letters, k=dice.randint(6, 64)))
    if kind == 1:
        return "".join(dice.choices(letters + "/+=%&\"'\\<>?#@: $!*()", k=dice.randint(8, 40))).strip() + "/'\"q"
    if kind == 2:
        return "-".join("".join(dice.choices(string.ascii_lowercase, k=5)) for _ in range(dice.randint(2, 6)))
    if kind == 3:
        return "".join(dice.choices(letters + "._-", k=dice.randint(500, 1_500)))
    if kind == 4:
        body = "\n".join("".join(dice.choices(letters + "+/", k=64)) for _ in range(dice.randint(2, 6)))
        return f"-----BEGIN {dice.randint(1, 10**9)} KEY-----\n{body}\n-----END KEY-----\n"
    if kind == 5:
        return "".join(dice.choices("äößéЖ日本語😀" + letters, k=dice.randint(6, 30)))
    return str(dice.randint(10**8, 10**18))


def document(count: int) -> dict[str, Any]:
    wheres = ["stdout", "pieces", "outputs", "lines", *(f"message{number}" for number in range(count))]
    secret = [{"name": f"s{i:03}", "valueFrom": {"secretKeyRef": {"name": "fuzz", "key": f"k{i}"}}} for i in range(count)]
    told = {
        "name": "tell",
        "inputs": {"parameters": [*secret, {"name": "where"}, {"name": "pad"}]},
        "executor": {"type": "script", "config": {"runtime": "python3", "source": TELL}},
    }
    tasks = [
        {
            "name": where,
            "template": "tell",
            "arguments": {"parameters": [{"name": "where", "value": where}, {"name": "pad", "value": (number * 37) % 600}]},
        }
        for number, where in enumerate(wheres)
    ]
    dag = {"name": "main", "continueOn": {"failed": True, "error": True}, "tasks": tasks}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "fuzz"},
        "spec": {"entrypoint": "main", "templates": [{"dag": dag}, {"task": told}]},
    }


def aether(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "aether_protocol.cli", *arguments], cwd=folder, capture_output=True, timeout=240, check=False
    )
    assert done.returncode in (0, 1), (arguments, done.returncode, done.stderr[-2_000:])
    return done.stdout + done.stderr


def fragments(secret: str) -> set[bytes]:
    """What must be nowhere: the secret and each of its longer parts between characters that are written otherwise somewhere."""
    parts = "".join(one if one.isascii() and one.isalnum() else " " for one in secret).split()
    return {part.lower().encode() for part in parts if len(part) >= 12} | {secret.strip().lower().encode()}


@pytest.mark.parametrize("batch", range(max(COUNT // AT_ONCE, 1)))
def test_no_secret_is_in_anything_that_is_shown_or_kept(tmp_path: Path, batch: int) -> None:
    dice = random.Random(batch)
    secrets = [shapes(dice) for _ in range(AT_ONCE)]
    (tmp_path / "flow.json").write_text(json.dumps(document(AT_ONCE)), "utf-8")
    keys = {f"k{i}": text for i, text in enumerate(secrets)}
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"fuzz": keys}), "utf-8")
    shown = aether(tmp_path, "run", "flow.json", "--secrets-file", str(file), "--run-id", "fuzz", "--output", "json")
    shown += aether(tmp_path, "show", "fuzz") + aether(tmp_path, "logs", "fuzz") + aether(tmp_path, "events", "fuzz")
    aether(tmp_path, "export", "fuzz", "--to", "fuzz.export")
    file.unlink()
    kept = [one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()]
    places = [data.lower() for data in (shown, *kept)]
    found = [(secret, part) for secret in secrets for part in fragments(secret) if any(part in place for place in places)]
    assert found == []
    assert b"was withheld" in shown
