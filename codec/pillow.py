"""Pillow opens and saves .dfc: `import codec.pillow`, then `Image.open("photo.dfc")` as usual.

image.save("photo.dfc", quality=80)  # and mode, lossless, filter, effort as `codec.encode` has
image.thumbnail((160, 160))  # of a stream, from a tenth of its bytes
"""

from typing import IO, Any, BinaryIO, cast

import numpy as np
from PIL import Image, ImageFile
from torch import Tensor

from codec import picture as coding
from codec import stream_metadata
from codec.container import (
    MAGIC,
    FormatError,
    Header,
    Mode,
    Section,
    pack,
    read_sections,
    unpack_header,
)
from codec.pictures.layout import from_array, to_array
from codec.residual.transform import CELL
from codec.settings import Settings

FORMAT = "DFC"
_OPTIONS = Settings._fields
_OF_THUMBNAILS = (Section.HEADER, Section.PREDICTION, Section.MEANS)
_MODES = ("1", "L", "P", "RGB", "YCbCr")  # what 8 bits of grey or RGB hold


class DfcImageFile(ImageFile.ImageFile):
    """A codestream as Pillow has pictures: the header is read at once, pixels when asked for."""

    format = FORMAT
    format_description = "defilter codestream"

    def _open(self) -> None:
        wanted = (Section.HEADER, Section.EXIF, Section.ICC, Section.XMP)
        try:
            found = dict(read_sections(self._file(), wanted))
            self.header: Header = unpack_header(found[Section.HEADER])
        except (FormatError, KeyError) as error:
            raise SyntaxError(str(error)) from error  # what Pillow takes for "not this format"
        self.reduced = False
        self._mode = "L" if self.header.planes == 1 else "RGB"
        self._size = self.header.width, self.header.height
        names = {Section.EXIF: "exif", Section.ICC: "icc_profile", Section.XMP: "xmp"}
        self.info.update({name: found[kind] for kind, name in names.items() if kind in found})

    def _file(self) -> BinaryIO:
        if self.fp is None:
            raise ValueError("expected an open file, got a closed one")
        return cast(BinaryIO, self.fp)

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Pillow asks how small the picture may be; an eighth of a side needs the means alone."""
        width, height = self.header.width, self.header.height
        if size is None or self.reduced or self.header.mode == Mode.LOSSLESS:
            return None
        if min(width // max(size[0], 1), height // max(size[1], 1)) < CELL:
            return None
        self.reduced = True
        self._size = -(-width // CELL), -(-height // CELL)
        return self.mode, (0, 0, width / CELL, height / CELL)

    def load(self) -> Any:
        if self._im is None:
            file = self._file()
            try:
                pixels = _thumbnail(file) if self.reduced else _whole(file)
            except FormatError as error:
                raise OSError(str(error)) from error
            array = to_array(pixels)
            self.im = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).im
            if self._exclusive_fp:
                file.close()
            self.fp = None
        return Image.Image.load(self)


def _thumbnail(file: BinaryIO) -> Tensor:
    return coding.thumbnail(pack(list(read_sections(file, _OF_THUMBNAILS))))


def _whole(file: BinaryIO) -> Tensor:
    file.seek(0)
    return coding.decode([file.read()])[0]


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    if image.has_transparency_data:
        raise OSError("a codestream has no transparency: convert the picture to RGB")
    if image.mode not in _MODES:
        raise OSError(f"a codestream has no room for mode {image.mode}: convert it to RGB or L")
    info = image.encoderinfo
    options = {name: info[name] for name in _OPTIONS if name in info}
    (data,) = coding.encode([_pixels(image)], **options)
    exif = info.get("exif")
    metadata = stream_metadata.Metadata(
        exif.tobytes() if isinstance(exif, Image.Exif) else exif,
        info.get("icc_profile", image.info.get("icc_profile")),
        info.get("xmp", image.info.get("xmp")),
    )
    file.write(stream_metadata.with_metadata(data, metadata))


def _pixels(image: Image.Image) -> Tensor:
    return from_array(np.array(image.convert("L" if image.mode in ("1", "L") else "RGB")))


Image.register_open(FORMAT, DfcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".dfc")
Image.register_mime(FORMAT, "image/x-dfc")
