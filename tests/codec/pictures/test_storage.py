import errno
import os
import stat
from pathlib import Path

import pytest

from codec.pictures.storage import atomic_file, copy_attributes, write_atomically


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_permissions_and_times_travel(tmp_path: Path, mode: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"old")
    source.chmod(mode)
    os.utime(source, ns=(10**18, 10**18 + 7))
    write_atomically(tmp_path / "target", b"new", like=source)
    assert (tmp_path / "target").read_bytes() == b"new"
    assert permissions(tmp_path / "target") == mode
    assert (tmp_path / "target").stat().st_mtime_ns == 10**18 + 7
    write_atomically(source, b"in place", like=source)
    assert permissions(source) == mode
    assert source.stat().st_mtime_ns == 10**18 + 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_nothing_is_more_readable_before_it_is_done(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch(0o600)
    seen = []
    for name, like in (("private", source), ("usual", None)):
        with atomic_file(tmp_path / "out" / name, like) as file:
            file.write(b"x")
            (unfinished,) = (p for p in (tmp_path / "out").iterdir() if p.name.startswith("."))
            seen.append(permissions(unfinished))
    umask = os.umask(0o022)
    os.umask(umask)
    assert seen == [0o600, 0o666 & ~umask]
    assert permissions(tmp_path / "out/usual") == 0o666 & ~umask


def test_attributes_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        copy_attributes(tmp_path / "missing", tmp_path)
    with pytest.raises(OSError, match="missing"):
        write_atomically(tmp_path / "x", b"", like=tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_permissions_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    (tmp_path / "a").write_text("a")
    monkeypatch.setattr(Path, "chmod", refused)
    write_atomically(tmp_path / "b", b"b", like=tmp_path / "a")
    assert (tmp_path / "b").read_bytes() == b"b"
    assert "permissions are new (Operation not permitted)" in caplog.text
