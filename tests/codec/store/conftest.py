"""Stores of every kind: a file, a folder, and a bucket of a server that the tests start."""

import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from codec.cloud.places import open_store
from codec.store.sqlite import SqliteStore

_BUCKET = "bucket"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    address = "http://{}:{}".format(*running.get_host_and_port())
    urllib.request.urlopen(urllib.request.Request(f"{address}/{_BUCKET}", method="PUT"))
    yield address
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty place in a bucket."""
    known = {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": server,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    return f"s3://{_BUCKET}/{os.getpid()}/{tmp_path.name}"


@pytest.fixture(autouse=True)
def _working_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DFC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["file", "folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of each kind can be."""
    if request.param == "bucket":
        return str(request.getfixturevalue("bucket"))
    return str(tmp_path / "a.dfa") if request.param == "file" else f"{tmp_path / 'album'}/"


@pytest.fixture
def store(place: str) -> Iterator[SqliteStore]:
    """An empty store of each kind."""
    with open_store(place, create=True) as opened:
        yield opened


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store in a file."""
    with SqliteStore(tmp_path / "a.dfa", create=True) as opened:
        yield opened
