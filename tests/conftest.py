"""Shared fixtures: pictures made in code, small networks, devices."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The tests' tensors are small: on a busy machine several threads only wait for each other. Set
# before torch is imported, and for the commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from torch import Tensor

from codec.pictures.colour import luma
from codec.pictures.picture_files import Picture, write_picture
from codec.pictures.sample_photos import embedded_photos
from defilter.global_look import GlobalLook, LookEncoder
from defilter.unet import DefilterUNet
from tests.pretend_cuda import CUDA, pretend_cuda


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pretend-cuda", action="store_true", help="run tests marked gpu on a pretended device"
    )
    parser.addoption("--kills", type=int, default=40, help="of processes that write to a store")
    parser.addoption(
        "--mutations", type=int, default=300, help="of predicted pictures, and of layers, each"
    )


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a process that writes to a store is killed in slow tests."""
    return request.config.getoption("--kills")


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> int:
    """How often streams are damaged in slow tests."""
    return request.config.getoption("--mutations")


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)],
)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    with the_device(request.param, request.config.getoption("--pretend-cuda")) as device:
        yield device


@pytest.fixture(
    params=["pretended", pytest.param("cuda", marks=pytest.mark.gpu)],
)
def cuda(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """A GPU: pretended in the ordinary run, the true one with `-m gpu`."""
    with the_device(request.param, pretend=False) as device:
        yield device


@contextmanager
def the_device(name: str, pretend: bool) -> Iterator[torch.device]:
    """`cpu`, `cuda` (skips where there is none, unless it is to be pretended) or `pretended`."""
    if name == "pretended" or (name == "cuda" and pretend):
        with pretend_cuda():
            yield CUDA
    elif name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    else:
        yield torch.device(name)


@pytest.fixture(scope="session")
def photo_path() -> Path:
    return embedded_photos()[0]


def colourful(height: int, width: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    """(3, H, W) of smooth colours with noise, over the whole range of the type."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    smooth = torch.stack([down + 0 * across, across + 0 * down, (down + across) / 2])
    noisy = smooth * 0.8 + 0.2 * torch.rand(3, height, width, generator=generator)
    return (noisy * torch.iinfo(dtype).max).round().to(dtype)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Two small photos, one of them in a subfolder."""
    folder = tmp_path / "photos"
    write_picture(Picture(colourful(40, 56), file_format="JPEG"), folder / "a.jpg")
    write_picture(Picture(colourful(33, 21)), folder / "trip" / "b.png")
    return folder


def small_network(local: bool = True) -> GlobalLook:
    """A GlobalLook of a few thousand weights, as the default one is built."""
    unet = DefilterUNet(9, (4, 8, 8), norm=False, context=16, zero_init=True) if local else None
    return GlobalLook(LookEncoder(4, (4, 8)), hidden=16, local=unet, size=16)


def faded_look(x: Tensor) -> Tensor:
    """A look without clipping, (N, 3, H, W) in [0, 1]: warm lights, teal shadows, faded."""
    light = luma(x)
    tints = torch.tensor([[0.20, 0.06, -0.24], [-0.10, 0.05, 0.18]], device=x.device, dtype=x.dtype)
    high, low = tints.view(2, 1, 3, 1, 1)
    x = x + high * light**2 + low * (1 - light) ** 2
    light = luma(x)
    return (0.10 + 0.84 * (light + 0.75 * (x - light))).clamp(0, 1)
