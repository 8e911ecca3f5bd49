"""A look: what makes a filtered photo out of a clean one, and the files that carry it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codec.pictures.apply import render_lut, render_mapping
from codec.pictures.fit import fit_least_squares
from codec.pictures.lut import resample
from codec.pictures.lut_files import read_lut, save_cube, save_hald
from codec.pictures.mapping import ColourMapping
from codec.pictures.storage import read_limited, write_atomically
from defilter.formats import CUBE_SIZES
from defilter.monochrome import ToneCurve
from defilter.natural_colours import natural_pairs
from defilter.scene.similarity import SceneDescriptor

SCHEMA, VERSION = "defilter-look", 1
MAX_JSON_BYTES = 16 * 2**20
MAX_TABLE_SIZE = 33
_MONOCHROME = 0.03  # mean range of the channels over a 5^3 table: a tint of 8 grey levels
MAX_FEATURES = 4096  # of a scene
HALD_LEVEL = 8


class LookFileError(ValueError):
    """A file that holds no look; the message names it and what was expected."""


@dataclass(frozen=True)
class Look:
    """A look.

    Attributes:
        mapping: the 27 numbers.
        table: (3, D, D, D) richer model that renders in place of the mapping, or None.
        coverage: share of the colours natural photos have that the look was taken from, or None.
        provenance: where it comes from, such as template names and network weights.
        categories: looks of parts of the picture, by category name.
        scene: what the template shows, which later renderings compare with, or None.
        tone: of a black-and-white or toned look, which renders in place of the mapping, or None.
        shaper: (3, K) curves that colours pass before the table, or None.
    """

    mapping: ColourMapping
    table: Tensor | None = None
    coverage: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    categories: dict[str, ColourMapping] = field(default_factory=dict)
    scene: SceneDescriptor | None = None
    tone: ToneCurve | None = None
    shaper: Tensor | None = None

    def render(self, pixels: Tensor, strength: float | Tensor = 1.0) -> Tensor:
        """(3, H, W) uint8 or uint16 -> the same with the look; see `codec.pictures.apply`."""
        if self.tone is not None:
            return self.tone.render(pixels, strength)
        if self.table is None:
            return render_mapping(pixels, self.mapping, strength)
        return render_lut(pixels, self.table, strength, self.shaper)

    def is_monochrome(self) -> bool:
        """Whether it takes all colour away: what is left is grey, or one tone."""
        table = self.lut(5)
        return self.tone is not None or bool((table.amax(0) - table.amin(0)).mean() < _MONOCHROME)

    def lut(self, size: int = 33) -> Tensor:
        """(3, size, size, size) float32 table of what `render` does."""
        if self.tone is not None:
            return self.tone.lut(size)
        if self.table is None:
            return self.mapping.lut(size)
        return resample(self.table, size, self.shaper).float()


def save_look(look: Look, path: Path | str, size: int = 33, bits: int = 8) -> None:
    """Write a look by its extension: .json (everything), .cube or .png (HALD), for other programs.

    Args:
        size: grid points of a .cube: 17, 33 or 65.
        bits: of a HALD picture, 8 or 16; it has 64 grid points.

    Raises:
        LookFileError: another extension.
        ValueError: another size or bit depth.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".json":
        text = json.dumps(_to_json(look), indent=1, ensure_ascii=False)
        write_atomically(path, (text + "\n").encode())
    elif kind == ".cube":
        if size not in CUBE_SIZES:
            raise ValueError(f"expected a .cube size out of {CUBE_SIZES}, got {size}")
        save_cube(look.lut(size), path, title=path.stem)
    elif kind == ".png":
        save_hald(look.lut(HALD_LEVEL**2), path, bits)
    else:
        raise LookFileError(f"{path}: expected the extension .json, .cube or .png")


def load_look(path: Path | str) -> Look:
    """Read a look: our .json, or any .cube, .3dl, .csp or HALD picture.

    Raises:
        LookFileError, LutFileError: nothing that can be read; the message says why.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        table, shaper = read_lut(path)
        return look_from_table(table, {"file": path.name}, shaper)
    try:
        text = read_limited(path, MAX_JSON_BYTES, LookFileError).decode()
    except UnicodeDecodeError as error:
        raise LookFileError(f"{path}: not a look file (it is not text)") from error
    try:
        return _from_json(json.loads(text))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        raise LookFileError(f"{path}: not a look file ({error})") from error


def look_from_table(
    table: Tensor, provenance: dict[str, Any], shaper: Tensor | None = None
) -> Look:
    """A look that renders with a LUT; its 27 numbers are the nearest ones on natural colours."""
    whole = table if shaper is None else resample(table, MAX_TABLE_SIZE, shaper)
    before, after = (x[0] for x in natural_pairs(whole[None]))
    return Look(fit_least_squares(before, after), table, provenance=provenance, shaper=shaper)


def _to_json(look: Look) -> dict[str, Any]:
    table = look.table
    if table is not None and (look.shaper is not None or table.shape[-1] > MAX_TABLE_SIZE):
        table = look.lut(MAX_TABLE_SIZE)
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "mapping": _mapping_to_json(look.mapping),
        **({} if look.tone is None else {"tone": look.tone.coefficients.tolist()}),
        "lut": None
        if table is None
        else {
            "size": table.shape[-1],
            "red_fastest": [round(value, 6) for value in table.flatten(1).T.flatten().tolist()],
        },
        "coverage": look.coverage,
        "provenance": look.provenance,
        "categories": {name: _mapping_to_json(m) for name, m in look.categories.items()},
        "scene": None if look.scene is None else look.scene._asdict(),
    }


def _from_json(content: dict[str, Any]) -> Look:
    if not isinstance(content, dict) or not isinstance(content.get("mapping"), dict):
        raise ValueError('expected an object with a "mapping"')
    if content.get("schema") != SCHEMA:
        raise ValueError(f'expected "schema": "{SCHEMA}", got {content.get("schema")!r}')
    if content.get("version") != VERSION:
        raise ValueError(f"expected version {VERSION}, got {content.get('version')!r}")
    table = None
    if content.get("lut") is not None:
        size = int(content["lut"]["size"])
        if not 2 <= size <= MAX_TABLE_SIZE:
            raise ValueError(f"expected a table of 2 to {MAX_TABLE_SIZE} points, got {size}")
        table = torch.tensor(content["lut"]["red_fastest"], dtype=torch.float32)
        table = table.reshape(size**3, 3).T.reshape(3, size, size, size)
        if not bool(table.isfinite().all()):
            raise ValueError("expected finite numbers in the table")
    return Look(
        _mapping_from_json(content["mapping"]),
        table,
        content.get("coverage"),
        dict(content.get("provenance") or {}),
        {name: _mapping_from_json(m) for name, m in (content.get("categories") or {}).items()},
        _scene_from_json(content["scene"]) if content.get("scene") else None,
        _tone_from_json(content["tone"]) if content.get("tone") else None,
    )


def _tone_from_json(rows: list[list[float]]) -> ToneCurve:
    return ToneCurve(torch.tensor(rows, dtype=torch.float64))


def _scene_from_json(content: dict[str, Any]) -> SceneDescriptor:
    features = [float(x) for x in content["features"]]
    confidence = float(content["confidence"])
    if not 0 < len(features) <= MAX_FEATURES or not all(abs(x) <= 1 for x in features):
        raise ValueError(f"expected 1 to {MAX_FEATURES} scene features from -1 to 1")
    if not 0 <= confidence <= 1:
        raise ValueError(f"expected a confidence from 0 to 1, got {confidence}")
    return SceneDescriptor(str(content["name"]), confidence, features, str(content["network"]))


def _mapping_to_json(mapping: ColourMapping) -> dict[str, Any]:
    return {"space": mapping.space, "coefficients": mapping.coefficients.tolist()}


def _mapping_from_json(content: dict[str, Any]) -> ColourMapping:
    coefficients = torch.tensor(content["coefficients"], dtype=torch.float64)
    if coefficients.dim() != 2:
        raise ValueError("expected three rows of coefficients")
    return ColourMapping(coefficients, content["space"])
