"""The local repository: content by digest, whole or not at all."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aether_protocol.adapters.artifacts.repository import LocalRepository, TemporaryRepository
from aether_protocol.errors import PortError


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    return LocalRepository(tmp_path / "kept")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "kept" / "sha256").rglob("*") if path.is_file()]


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
    assert only.stat().st_mode & 0o777 == 0o400


def test_all_of_it_is_its_owners_alone(tmp_path: Path, repository: LocalRepository) -> None:
    before = os.umask(0)
    try:
        digest, _ = repository.put(write(tmp_path / "a", b"secret"))
        repository.put(tmp_path / "a")
        repository.get(digest, tmp_path / "got")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "kept", *(tmp_path / "kept").rglob("*")) if path.is_dir()}
    assert modes == {0o700}
    files = {path.stat().st_mode & 0o777 for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert files == {0o400, 0o600}
    assert (tmp_path / "got").stat().st_mode & 0o777 == 0o600


def test_what_a_dead_process_was_writing_goes_after_the_grace(tmp_path: Path, repository: LocalRepository) -> None:
    repository.put(write(tmp_path / "a", b"a"))
    incoming = tmp_path / "kept" / "incoming"
    os.utime(write(incoming / ".aether-dead", b"half"), (1, 1))
    write(incoming / ".aether-now", b"half")
    repository.tidy(2_000_000)
    assert [path.name for path in incoming.iterdir()] == [".aether-now"]


def test_a_content_that_is_put_while_it_is_deleted_stays(tmp_path: Path, repository: LocalRepository) -> None:
    """The one who deletes has the lock, and looks at the time only then."""
    digest, _ = repository.put(write(tmp_path / "a", b"same"))
    (only,) = kept(tmp_path)
    os.utime(only, (1, 1))
    with ThreadPoolExecutor(1) as pool:
        with repository._locked(fcntl.LOCK_EX):
            deleting = pool.submit(repository.delete, digest, 2_000_000)
            os.utime(only)  # as `put` does under its lock
        assert deleting.result(10) is False
    repository.get(digest, tmp_path / "got")


def test_a_repository_of_this_process_is_gone_with_it(tmp_path: Path) -> None:
    made = TemporaryRepository()
    digest, _ = made.put(write(tmp_path / "a", b"same"))
    made.get(digest, tmp_path / "got")
    folder = made._folder
    assert folder.is_dir()
    del made
    gc.collect()
    assert not folder.exists()


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
