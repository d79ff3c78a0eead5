"""The local repository: content by digest, whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.errors import PortError


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    return LocalRepository(tmp_path / "kept")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


@pytest.mark.rule("ART-1")
def test_what_is_put_can_be_got_by_its_digest(tmp_path: Path, repository: LocalRepository) -> None:
    data = bytes(range(256)) * 3000
    digest, size = repository.put(write(tmp_path / "a", data))
    assert digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert size == len(data)
    repository.get(digest, tmp_path / "deep" / "er" / "b")
    assert (tmp_path / "deep" / "er" / "b").read_bytes() == data


def test_equal_content_is_kept_once(tmp_path: Path, repository: LocalRepository) -> None:
    first = repository.put(write(tmp_path / "a", b"same"))
    (only,) = kept(tmp_path)
    made = only.stat().st_ino
    assert repository.put(write(tmp_path / "b", b"same")) == first
    assert [path.stat().st_ino for path in kept(tmp_path)] == [made]
    assert only.stat().st_mode & 0o222 == 0


def test_a_damaged_content_is_an_error_and_the_target_stays(tmp_path: Path, repository: LocalRepository) -> None:
    digest, _ = repository.put(write(tmp_path / "a", b"good"))
    (only,) = kept(tmp_path)
    only.chmod(0o644)
    only.write_bytes(b"evil")
    target = write(tmp_path / "target", b"before")
    with pytest.raises(PortError, match="is damaged"):
        repository.get(digest, target)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "kept", "target"]
    only.write_bytes(b"short of it")
    repository.put(tmp_path / "a")  # what has another size is plainly not it, and is replaced
    repository.get(digest, target)
    assert target.read_bytes() == b"good"


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "a" * 63, "sha256:../../etc", "md5:" + "a" * 64, "sha256:" + "A" * 64]
)
def test_what_is_no_digest(tmp_path: Path, repository: LocalRepository, digest: str) -> None:
    with pytest.raises(PortError, match="is not a digest"):
        repository.get(digest, tmp_path / "x")


def test_unknown_digests_and_unreadable_files(tmp_path: Path, repository: LocalRepository) -> None:
    with pytest.raises(PortError, match="not in the repository"):
        repository.get("sha256:" + "0" * 64, tmp_path / "x")
    with pytest.raises(PortError, match="cannot be kept"):
        repository.put(tmp_path / "missing")
    with pytest.raises(PortError, match="cannot be kept"):
        repository.put(tmp_path)
    digest, _ = repository.put(write(tmp_path / "a", b"x"))
    with pytest.raises(PortError):
        repository.get(digest, tmp_path / "a" / "below-a-file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PortError, match="cannot be written"):
        repository.get(digest, tmp_path / "folder")
    assert not list(tmp_path.rglob(".aether-*"))
