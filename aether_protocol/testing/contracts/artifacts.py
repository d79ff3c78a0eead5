"""What every artifact repository must keep (the ArtifactRepository port, ART-1; of several namespaces, RT-140).

Law: subclass `ArtifactRepositoryContract` and give `make`; every test here then holds for it.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from aether_protocol.errors import PortError
from aether_protocol.ports.artifacts import ArtifactRepository, NamespacedRepository, keeps_apart, part_of

CONTENTS = (b"", b"text\n", bytes(range(256)) * 5000)


class ArtifactRepositoryContract:
    """Subclass it as `TestMyRepository`; pytest then collects the tests below."""

    def make(self, folder: Path) -> ArtifactRepository:
        """A repository. Two made for the same `folder` see the same contents."""
        raise AssertionError("a contract needs `make`")

    def _put(self, repository: ArtifactRepository, folder: Path, content: bytes) -> tuple[str, int]:
        (folder / "given").write_bytes(content)
        return repository.put(folder / "given")

    def test_the_digest_is_that_of_the_content(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        for content in CONTENTS:
            expected = (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
            assert self._put(repository, tmp_path, content) == expected
            assert self._put(repository, tmp_path, content) == expected

    def test_contents_come_back_in_folders_not_yet_there_and_over_files(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        for content in CONTENTS:
            digest, _ = self._put(repository, tmp_path, content)
            repository.get(digest, tmp_path / "deep" / "er" / "got")
            assert (tmp_path / "deep" / "er" / "got").read_bytes() == content

    def test_what_is_kept_stays_whatever_becomes_of_the_files(self, tmp_path: Path) -> None:
        digest, _ = self._put(self.make(tmp_path / "kept"), tmp_path, b"before")
        (tmp_path / "given").write_bytes(b"after")
        self.make(tmp_path / "kept").get(digest, tmp_path / "got")
        (tmp_path / "got").write_bytes(b"changed by a task")
        self.make(tmp_path / "kept").get(digest, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == b"before"

    def test_unknown_digests_are_port_errors_and_leave_the_target(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        (tmp_path / "target").write_bytes(b"before")
        for digest in ("sha256:" + "0" * 64, "sha256:../../etc/passwd", "", "md5:" + "0" * 32):
            try:
                repository.get(digest, tmp_path / "target")
            except PortError:
                assert (tmp_path / "target").read_bytes() == b"before"
            else:
                raise AssertionError(f"{digest!r} must be a PortError")

    def test_a_missing_file_is_a_port_error(self, tmp_path: Path) -> None:
        try:
            self.make(tmp_path / "kept").put(tmp_path / "missing")
        except PortError:
            return
        raise AssertionError("a missing file must be a PortError")

    def test_what_is_kept_can_be_listed_and_deleted(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        assert list(repository.kept()) == []
        put = {self._put(repository, tmp_path, content) for content in CONTENTS}
        listed = list(repository.kept())
        assert {(one.digest, one.size) for one in listed} == put
        later = max(one.put_at for one in listed) + 1
        for digest, _ in put:
            assert not repository.delete(digest, 0), "it was put since"
            repository.get(digest, tmp_path / "got")
            assert repository.sound(digest)
            assert repository.delete(digest, later)
            assert not repository.sound(digest)
            assert not repository.delete(digest, later), "it is gone"
        assert list(repository.kept()) == []
        repository.tidy(later)
        for content in CONTENTS:
            digest, _ = self._put(repository, tmp_path, content)
            repository.get(digest, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == content

    def test_what_is_put_again_counts_as_put_now(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        self._put(repository, tmp_path, CONTENTS[1])
        [first] = repository.kept()
        time.sleep(0.02)  # the clock of files
        digest, _ = self._put(self.make(tmp_path / "kept"), tmp_path, CONTENTS[1])
        [again] = repository.kept()
        assert again.put_at > first.put_at
        assert not repository.delete(digest, first.put_at + 1)

    def test_what_is_renewed_counts_as_put_now(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        digest, size = self._put(repository, tmp_path, CONTENTS[2])
        [first] = repository.kept()
        time.sleep(0.02)  # the clock of files
        assert repository.renew(digest) == size
        assert not repository.delete(digest, first.put_at + 1)
        assert repository.renew("sha256:" + "0" * 64) is None

    def test_contents_can_be_read_in_pieces(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        digest, _ = self._put(repository, tmp_path, CONTENTS[2])
        with repository.open(digest) as source:
            source.seek(1000)
            assert source.read(512) == CONTENTS[2][1000:1512]
        for absent in ("sha256:" + "0" * 64, "sha256:../../etc/passwd"):
            try:
                repository.open(absent).close()
            except PortError:
                continue
            raise AssertionError(f"{absent!r} must be a PortError")

    def test_a_digest_that_is_none_cannot_be_deleted(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        assert not repository.delete("sha256:" + "0" * 64, 1)
        try:
            repository.delete("sha256:../../etc/passwd", 1)
        except PortError:
            return
        raise AssertionError("what is not a digest must be a PortError")

    def test_threads_may_share_it(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        (tmp_path / "given").write_bytes(CONTENTS[2])

        def once(number: int) -> bytes:
            digest, _ = repository.put(tmp_path / "given")
            repository.get(digest, tmp_path / f"got{number}")
            return (tmp_path / f"got{number}").read_bytes()

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(once, range(8))) == {CONTENTS[2]}

    def test_what_one_namespace_has_is_not_in_another(self, tmp_path: Path) -> None:
        repository = self.make(tmp_path / "kept")
        if not keeps_apart(repository):
            pytest.skip("it keeps no namespaces apart")
        whole = cast("NamespacedRepository", repository)
        spaces = ("default", "team-a", "team", "Team-A", "a", ".", "..", "...", "namespaces", "sha256", "2E")
        assert list(whole.namespaces()) == ["default"]
        for space in spaces:
            part = part_of(repository, space)
            digest, size = self._put(part, tmp_path, space.encode())
            assert part.renew(digest) == size
            later = int(time.time() * 1_000_000) + 60_000_000
            for other in (whole.within(one) for one in spaces if one != space):
                assert other.renew(digest) is None
                assert not other.sound(digest)
                assert not other.delete(digest, later)
                assert digest not in [one.digest for one in other.kept()]
                with pytest.raises(PortError):
                    other.open(digest).close()
                with pytest.raises(PortError):
                    other.get(digest, tmp_path / "got")
            assert part.sound(digest)
        assert set(whole.namespaces()) == set(spaces)
        for wrong in ("", "a/b", "../a", "a\0b", "x" * 64):
            with pytest.raises(PortError):
                part_of(repository, wrong).renew("sha256:" + "0" * 64)
