"""Packing and unpacking (ART-1, ART-2): round trips, equal bytes for equal folders, and archives made to do harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Limits
from aether_protocol.execution.staging.packing import pack
from aether_protocol.execution.staging.unpacking import unpack

LIMITS = Limits(size=1_000_000, count=100)
KINDS = ["tar", "tar.gz", "zip"]


def content(folder: Path) -> dict[str, Any]:
    """All below `folder`: the text of files, None for folders, ("->", target) for links; `!` marks executables."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("->", os.readlink(path))
        elif path.is_dir():
            found[name] = None
        else:
            found[name + ("!" if path.stat().st_mode & 0o100 else "")] = path.read_bytes()
    return found


def fill(folder: Path) -> Path:
    (folder / "b" / "empty").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha")
    (folder / "b" / "tool").write_bytes(b"#!")
    (folder / "b" / "tool").chmod(0o700)
    (folder / "b" / "größe.bin").write_bytes(os.urandom(3) * 100_000)
    (folder / "b" / "up").symlink_to("../a.txt")
    (folder / "b" / "here").symlink_to("tool")
    (folder / "zero").write_bytes(b"")
    return folder


@pytest.mark.rule("ART-1", "ART-2")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    source = fill(tmp_path / "in")
    pack(source, kind, tmp_path / "packed", LIMITS)
    assert unpack(tmp_path / "packed", kind, tmp_path / "out", LIMITS) is False
    assert content(tmp_path / "out") == content(source)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_file_and_a_folder_with_one_file_are_told_apart(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(b"1")
    pack(tmp_path / "in", kind, tmp_path / "folder", LIMITS)
    pack(tmp_path / "in" / "x", kind, tmp_path / "file", LIMITS)
    assert unpack(tmp_path / "folder", kind, tmp_path / "o1", LIMITS) is False
    assert unpack(tmp_path / "file", kind, tmp_path / "o2", LIMITS) is True
    assert content(tmp_path / "o1") == content(tmp_path / "o2") == {"x": b"1"}


@pytest.mark.rule("ART-1")
@pytest.mark.parametrize("kind", KINDS)
def test_equal_folders_give_equal_bytes(tmp_path: Path, kind: str) -> None:
    for i, order in enumerate((["a", "b", "c/d"], ["c/d", "b", "a"])):
        for name in order:
            path = tmp_path / str(i) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name, "utf-8")
            path.chmod(0o664 if i else 0o644)
            os.utime(path, (i * 1000, i * 1000))
        pack(tmp_path / str(i), kind, tmp_path / f"packed{i}", LIMITS)
    assert (tmp_path / "packed0").read_bytes() == (tmp_path / "packed1").read_bytes()


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(PortError, match="leads out of the artifact"):
        pack(folder, "tar", tmp_path / "p", LIMITS)
    (folder / "link").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(PortError, match="neither a file"):
        pack(folder, "zip", tmp_path / "p", LIMITS)
    (folder / "pipe").unlink()
    (folder / "big").write_bytes(b"0" * 1_000_001)
    with pytest.raises(PortError, match="larger than 1000000 bytes"):
        pack(folder, "tar.gz", tmp_path / "p", LIMITS)
    for i in range(101):
        (folder / str(i)).mkdir()
    with pytest.raises(PortError, match=r"more than 100 entries|larger"):
        pack(folder, "tar", tmp_path / "p", LIMITS)
    with pytest.raises(PortError, match="unknown archive type 'rar'"):
        pack(folder, "rar", tmp_path / "p", LIMITS)


# --- archives made to do harm -----------------------------------------------------------------------------------

Member = tuple[str, bytes, str]  # name, type, link target; a regular file holds b"evil"


def make_tar(*members: Member, gz: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if gz else "w") as tar:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o6777
            info.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"evil"))
    return buffer.getvalue()


def make_zip(*members: tuple[str, int, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as box:
        for name, mode, data in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            box.writestr(info, data)
    return buffer.getvalue()


R, S, L, D = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
TARS: dict[str, tuple[Member, ...]] = {
    "absolute": (("/tmp/aether-evil", R, ""),),
    "up": (("../evil", R, ""),),
    "up inside": (("a/../../evil", R, ""),),
    "link to root": (("x", S, "/etc"),),
    "link up": (("x", S, "../outside"),),
    "link then through it": (("x", S, "."), ("x/evil", R, "")),
    "link out then write": (("x", S, "../outside"), ("x/evil", R, "")),
    "chain": (("a/b/x", S, "../.."), ("a/b/y", S, "x/.."), ("a/b/y/evil", R, "")),
    "late chain": (("a/x", S, ".."), ("a/y", S, "x/../../outside")),
    "folder over link": (("x", S, "a"), ("x", D, ""), ("x/evil", R, "")),
    "hard link out": (("x", L, "/etc/passwd"),),
    "hard link up": (("x", L, "../outside/secret"),),
    "hard link to nothing": (("x", L, "later"), ("later", R, "")),
    "hard link through link": (("s", S, "../outside"), ("x", L, "s/secret")),
    "device": (("x", tarfile.CHRTYPE, ""),),
    "pipe": (("x", tarfile.FIFOTYPE, ""),),
    "file over folder": (("x/y", R, ""), ("x", R, "")),
    "folder over file": (("x", R, ""), ("x/y", R, "")),
    "deep": (("/".join("a" * 300), R, ""),),
    "no name": ((".", R, ""),),
    "many": tuple((f"f{i}", R, "") for i in range(200)),
    "empty link": (("x", S, ""),),
}
ZIPS: dict[str, tuple[tuple[str, int, bytes], ...]] = {
    "absolute": (("/tmp/aether-evil", 0o100644, b"evil"),),
    "up": (("../evil", 0o100644, b"evil"),),
    "link to root": (("x", 0o120777, b"/etc"),),
    "link up": (("x", 0o120777, b"../outside"),),
    "link then through it": (("x", 0o120777, b"../outside"), ("x/evil", 0o100644, b"evil")),
    "long link": (("x", 0o120777, b"a/" * 5000),),
    "device": (("x", 0o020666, b""),),
    "bomb": (("x", 0o100644, b"0" * 5_000_000),),
    "many": tuple((f"f{i}", 0o100644, b"") for i in range(200)),
}


def outside(tmp_path: Path) -> dict[str, Any]:
    """What lies beside the folder that is unpacked into."""
    return {name: value for name, value in content(tmp_path).items() if not name.startswith("out/")}


@pytest.mark.rule("ART-2")
@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("name", TARS)
def test_hostile_tar(tmp_path: Path, name: str, gz: bool) -> None:
    check_hostile(tmp_path, make_tar(*TARS[name], gz=gz), "tar.gz" if gz else "tar")


@pytest.mark.rule("ART-2")
@pytest.mark.parametrize("name", ZIPS)
def test_hostile_zip(tmp_path: Path, name: str) -> None:
    check_hostile(tmp_path, make_zip(*ZIPS[name]), "zip")


def check_hostile(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "packed").write_bytes(data)
    before = outside(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(PortError):
        unpack(tmp_path / "packed", kind, tmp_path / "out", LIMITS)
    after = outside(tmp_path)
    after.pop("out")
    assert after == before
    assert not Path("/tmp/aether-evil").exists()
    for path in (tmp_path / "out").rglob("*"):
        assert path.resolve().is_relative_to((tmp_path / "out").resolve())


def test_links_that_lie_there_already_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"safe")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").symlink_to("../outside")
    (tmp_path / "out" / "f").symlink_to("../outside/f")
    (tmp_path / "packed").write_bytes(make_tar(("f", R, "")))
    unpack(tmp_path / "packed", "tar", tmp_path / "out", LIMITS)
    (tmp_path / "packed").write_bytes(make_tar(("d/f", R, "")))
    with pytest.raises(PortError, match="in the way"):
        unpack(tmp_path / "packed", "tar", tmp_path / "out", LIMITS)
    assert (tmp_path / "outside" / "f").read_bytes() == b"safe"
    assert (tmp_path / "out" / "f").read_bytes() == b"evil"
    assert not (tmp_path / "out" / "f").is_symlink()


def test_modes_and_hard_links_inside(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(make_tar(("d/f", R, ""), ("g", L, "d/f"), ("d", D, ""), ("d/f", R, "")))
    unpack(tmp_path / "packed", "tar", tmp_path / "out", LIMITS)
    assert content(tmp_path / "out") == {"d": None, "d/f!": b"evil", "g!": b"evil"}
    assert (tmp_path / "out" / "g").stat().st_mode & 0o7022 == 0


def tar_bomb() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("x")
        info.size = 20_000_000
        tar.addfile(info, io.BytesIO(bytes(20_000_000)))
    return buffer.getvalue()


def header_bomb() -> bytes:
    """A pax header that claims, and has, many megabytes."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 50_000_000
    return gzip.compress(info.tobuf() + bytes(50_000_000), 1)


def many_headers() -> bytes:
    """One long name after another, and never a file."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 512
    return gzip.compress((info.tobuf(format=tarfile.GNU_FORMAT) + b"n" * 512) * 5000, 1)


def sparse() -> bytes:
    info = tarfile.TarInfo("x")
    block = bytearray(info.tobuf(format=tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[482] = 1
    block[148:156] = b"        "
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    extended = bytearray(512)
    extended[504] = 1
    return gzip.compress(bytes(block) + bytes(extended) * 100_000, 1)


def lying_zip() -> bytes:
    """A table of contents that claims to be enormous."""
    data = bytearray(make_zip(("x", 0o100644, b"a")))
    at = data.rfind(b"PK\5\6")
    data[at + 12 : at + 16] = struct.pack("<I", 0x7FFFFFFF)
    return bytes(data)


def encrypted_zip() -> bytes:
    data = bytearray(make_zip(("x", 0o100644, b"a")))
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(mark) + flags] |= 1
    return bytes(data)


BOMBS: list[tuple[Callable[[], bytes], str]] = [
    (tar_bomb, "tar.gz"),
    (header_bomb, "tar.gz"),
    (many_headers, "tar.gz"),
    (sparse, "tar.gz"),
    (lying_zip, "zip"),
    (encrypted_zip, "zip"),
]


@pytest.mark.rule("ART-2")
@pytest.mark.parametrize(("bomb", "kind"), BOMBS)
def test_bombs_are_defused(tmp_path: Path, bomb: Callable[[], bytes], kind: str) -> None:
    check_hostile(tmp_path, bomb(), kind)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(KINDS),
    st.binary(max_size=600),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
)
def test_damaged_archives_are_port_errors(tmp_path: Path, kind: str, noise: bytes, flips: list[tuple[int, int]]) -> None:
    source = tmp_path / "in"
    if not source.exists():
        fill(source)
    pack(source, kind, tmp_path / "packed", LIMITS)
    data = bytearray((tmp_path / "packed").read_bytes())
    for at, value in flips:
        data[at % len(data)] = value
    for damaged in (bytes(data), noise, bytes(data)[: len(data) // 2]):
        (tmp_path / "damaged").write_bytes(damaged)
        before = len(list(tmp_path.iterdir()))
        with contextlib.suppress(PortError):
            unpack(tmp_path / "damaged", kind, tmp_path / "out", LIMITS)
        assert len(list(tmp_path.iterdir())) <= before + 1
        remove(tmp_path / "out")


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    if folder.exists():
        folder.rmdir()
