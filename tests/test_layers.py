"""The layers of CONTRIBUTING, enforced on the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODEC, DEFILTER = (sorted((ROOT / package).rglob("*.py")) for package in ("codec", "defilter"))


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", CODEC, ids=lambda p: p.name)
def test_codec_never_imports_defilter(path: Path) -> None:
    assert "defilter" not in imported(path)


@pytest.mark.parametrize("path", [*CODEC, *DEFILTER], ids=lambda p: p.name)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    names = imported(path)
    assert not names & {"hydra", "omegaconf"}
    # Files, table look-up, foreign filters, timings of foreign renderers, foreign encoders, faces.
    pictures = {"image_io.py", "render.py", "instagram.py", "look_speed.py", "encoders.py"}
    pictures.add("faces.py")
    assert path.name in pictures or not names & {"cv2", "PIL"}
    assert "pickle" not in names


@pytest.mark.parametrize("path", [*CODEC, *DEFILTER], ids=lambda p: p.name)
def test_one_module_knows_devices_and_ranks(path: Path) -> None:
    if path.name not in ("runtime.py", "devices.py"):
        text = path.read_text(encoding="utf-8")
        assert "torch.distributed" not in text
        assert "torch.cuda" not in text
