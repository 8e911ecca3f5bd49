"""The layers of CONTRIBUTING, enforced on the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODEC, DEFILTER = (sorted((ROOT / package).rglob("*.py")) for package in ("codec", "defilter"))

# What both packages stand on; the rest of codec is none of defilter's business.
SHARED = ("codec.pictures", "codec.report", "codec.commands", "codec.version", "codec.lazy")
# Where OpenCV and Pillow do the work themselves: files, table look-up, foreign filters, encoders
# and renderers, faces.
PICTURE_LIBRARIES = (
    "codec/pictures/",
    "codec/align/",
    "codec/gallery/descriptors.py",
    "codec/gallery/literal.py",
    "codec/gallery/matching.py",
    "codec/pillow.py",
    "codec/search/encoders.py",
    "defilter/faces.py",
    "defilter/learn/instagram.py",
    "defilter/study/look_speed.py",
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", CODEC, ids=name_of)
def test_codec_never_imports_defilter(path: Path) -> None:
    assert "defilter" not in packages(path)


@pytest.mark.parametrize("path", DEFILTER, ids=name_of)
def test_defilter_imports_the_shared_rooms_of_codec_only(path: Path) -> None:
    found = {name for name in imported(path) if name.split(".")[0] == "codec"}
    assert all(any(name == s or name.startswith(f"{s}.") for s in SHARED) for name in found), found


@pytest.mark.parametrize("path", [*CODEC, *DEFILTER], ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    names = packages(path)
    assert not names & {"hydra", "omegaconf"}
    assert name_of(path).startswith(PICTURE_LIBRARIES) or not names & {"cv2", "PIL"}
    assert "pickle" not in names


@pytest.mark.parametrize("path", [*CODEC, *DEFILTER], ids=name_of)
def test_one_module_knows_devices_and_ranks(path: Path) -> None:
    if path.name not in ("runtime.py", "devices.py"):
        text = path.read_text(encoding="utf-8")
        assert "torch.distributed" not in text
        assert "torch.cuda" not in text
