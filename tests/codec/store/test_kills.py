"""Processes killed at any moment, and files damaged anywhere: nothing acknowledged is lost."""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from codec.album.album import Album, Scheme, open_album
from codec.cloud.places import open_store
from codec.learn.made_pairs import burst
from codec.store.records import StoreError
from tests.codec.album.test_album import taken
from tests.codec.jpeg.test_coefficients import jpeg
from tests.codec.test_picture import photo

_ROOT = Path(__file__).parents[3]
_LONGEST = 2.5  # seconds that a process lives


def files_in(folder: Path) -> dict[str, bytes]:
    """Bursts and other files, by name."""
    folder.mkdir()
    found = {}
    for scene in range(3):
        every = burst(photo(scene, 48, 64), 1.0, 1.02, 1.0, random.Random(scene), 3)
        for number, pixels in enumerate(every):
            data = jpeg(pixels, quality=90, exif=taken(20 * scene + number))
            found[f"{scene}-{number}.jpg"] = data
    found |= {f"{n}.txt": f"text {n} ".encode() * 999 for n in range(3)}
    for name, data in found.items():
        (folder / name).write_bytes(data)
    return found


def work(path: str, folder: Path, names: list[str], seed: int, pipe: int) -> None:
    """Add, delete and compact at random, and say before and after what is done."""
    rng = random.Random(seed)

    def say(text: str) -> None:
        os.write(pipe, f"{text}\n".encode())

    with open_album(path, create=True) as album:
        album.add([folder / n for n in names], lambda done: say(f"added {done.target}"))
        while True:
            here = [item.name for item in album.store.items()]
            gone = [n for n in names if album.store.item(n) is None]
            act = rng.choice(["delete", "delete", "purge", "add", "compact"])
            if act in ("delete", "purge") and here:
                name = rng.choice(here)
                say(f"deleting {name}")
                if act == "purge":
                    album.purge(name)
                else:
                    album.delete(name, rng.choice(list(Scheme)))
            elif act == "add" and gone:
                some = rng.sample(gone, min(len(gone), 4))
                say("\n".join(f"adding {n}" for n in some))
                album.add([folder / n for n in some], lambda done: say(f"added {done.target}"))
            elif act == "compact":
                album.store.compact()


def killed(path: str, folder: Path, names: list[str], seed: int) -> list[str]:
    """Run `work` in a process, kill it after a random time; what it said."""
    # What reads and writes objects has threads, which do not live on in a process that is forked.
    start = _forked if path.endswith(".dfa") else _started
    child, reading = start(path, folder, names, seed)
    said = b""
    end = time.monotonic() + random.Random(seed).uniform(0, _LONGEST)
    while (left := end - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 1 << 16)
            assert part, "the process ended by itself"
            said += part
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(reading, 1 << 16):
        said += part
    os.close(reading)
    return said.decode().splitlines()


def _forked(path: str, folder: Path, names: list[str], seed: int) -> tuple[int, int]:
    """A process that works, and where what it says is read."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fork beside threads, which do nothing here
        child = os.fork()
    if child == 0:
        try:
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
            work(path, folder, names, seed, writing)
        finally:
            os._exit(1)  # only an error ends it
    os.close(writing)
    return child, reading


def _started(path: str, folder: Path, names: list[str], seed: int) -> tuple[int, int]:
    reading, writing = os.pipe()
    arguments = f"{path!r}, Path({str(folder)!r}), {names!r}, {seed}, {writing}"
    code = (
        "import os; from pathlib import Path; from tests.codec.store.test_kills import work; "
        f"os.write({writing}, b'ready\\n'); work({arguments})"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, pass_fds=[writing], cwd=_ROOT
    )
    os.close(writing)
    assert os.read(reading, 6) == b"ready\n"
    child.returncode = 0  # waited for elsewhere
    return child.pid, reading


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share nothing but files")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, kills: int, kind: str) -> None:
    files = files_in(tmp_path / "in")
    path = f"{tmp_path}/{'a.dfa' if kind == 'file' else 'album/'}"
    sure: set[str] = set()  # acknowledged, and not deleted since
    for number in range(kills):
        if number % 10 == 0:
            for one in tmp_path.glob("a.dfa*"):
                one.unlink()
            shutil.rmtree(tmp_path / "album", ignore_errors=True)
            sure = set()
        for line in killed(path, tmp_path / "in", list(files), number):
            act, _, name = line.partition(" ")
            if act == "added":
                sure.add(name)
            elif act == "deleting":
                sure.discard(name)
        if Path(path).exists():
            check(path, files, sure, number)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_two_processes_add_at_once(tmp_path: Path, kind: str) -> None:
    files = files_in(tmp_path / "in")
    path = f"{tmp_path}/{'a.dfa' if kind == 'file' else 'album/'}"
    with open_album(path, create=True):
        pass
    half = len(files) // 2
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "codec", "album", "add", path]
            + [str(tmp_path / "in" / name) for name in names],
            cwd=_ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for names in (list(files)[: half + 2], list(files)[half:])
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    for process, text in zip(both, said, strict=True):  # whole, or a sentence, and added again
        assert process.returncode == 0 or "try again" in text, text
    with open_album(path) as album:
        album.add([tmp_path / "in"])
    check(path, files, set(files), 0)


def check(path: str, files: dict[str, bytes], sure: set[str], number: int) -> None:
    """What was acknowledged is there, and all that is there is right."""
    try:
        store = open_store(path)
    except StoreError:
        assert not sure, number  # killed before there were any tables
        if path.endswith(".dfa"):
            Path(path).unlink()
        return
    with store:
        album = Album(store)
        assert store.problems() == [], number
        assert sure <= {item.name for item in store.items()}, number
        for item in store.items(hidden=True):
            assert album.collection.contents.bytes_of(item.content) == files[item.name], number
        problems = [problem for _, problem in album.collection.contents.verify() if problem]
        assert problems == [], number


@pytest.mark.slow
def test_damaged_stores_work_or_say_so(tmp_path: Path, mutations: int) -> None:
    files_in(tmp_path / "in")
    path = tmp_path / "a.dfa"
    with open_album(path, create=True) as album:
        album.add([tmp_path / "in"])
    sound = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for number in range(mutations):
        broken = bytearray(sound)
        for _ in range(rng.randint(1, 20)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        cut = rng.randrange(len(broken)) if rng.random() < 0.1 else len(broken)
        (tmp_path / "b.dfa").write_bytes(broken[:cut])
        try:
            with open_album(tmp_path / "b.dfa", write=bool(number % 2)) as album:
                refused += bool(album.store.problems())
                items = album.store.items(hidden=True)
                for item in rng.sample(items, min(len(items), 2)):
                    refused += not restored(album, item.content)
                album.collection.stats()
                album.store.groups()
        except StoreError:
            refused += 1
        for one in tmp_path.glob("b.dfa*"):
            one.unlink()
    assert refused > mutations // 4


def restored(album: Album, content: bytes) -> bool:
    try:
        album.collection.contents.bytes_of(content)
    except StoreError:
        return False
    return True
