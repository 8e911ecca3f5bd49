"""Layers behind the protocol of encoders, so that a quality search drives them, too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from codec.layered.differences import OwnCoder
from codec.layered.layers import Layers, decode_layers, encode_layers
from codec.layered.settings import LayerSettings
from codec.pictures.jpeg_source import JpegSource
from codec.pictures.picture import Picture
from codec.search.encoders import Probed
from codec.settings import QUALITIES


@dataclass(frozen=True)
class LayeredEncoder:
    """Layers whose differences have a quality.

    Attributes:
        settings: all but the quality, with an `OwnCoder`.
    """

    settings: LayerSettings
    name: ClassVar[str] = "dfc"  # whose scores they have at a quality
    file_format: ClassVar[str] = "DFC"
    suffix: ClassVar[str] = ".dfp"
    qualities: ClassVar[Sequence[int]] = QUALITIES
    carries_metadata: ClassVar[bool] = False
    carries_orientation: ClassVar[bool] = True
    full_chroma: ClassVar[None] = None
    is_quick: ClassVar[bool] = False

    @property
    def device(self) -> str:
        return self._coder.device

    @property
    def _coder(self) -> OwnCoder:
        coder = self.settings.coder
        if not isinstance(coder, OwnCoder):
            raise ValueError("expected differences in this project's own coding to search for")
        return coder

    def at(self, quality: int) -> LayerSettings:
        """The settings with a quality."""
        coder = self._coder
        return replace(
            self.settings, coder=replace(coder, settings=coder.settings._replace(quality=quality))
        )

    def layers(self, picture: Tensor, quality: int, like: Picture | None = None) -> Layers:
        return encode_layers(picture, self.at(quality), like)

    def quality_of(self, source: JpegSource) -> int | None:
        return None

    def probe(self, picture: Tensor, quality: int) -> Probed:
        return Probed(decode_layers(self.layers(picture, quality)).pixels, None)

    def encode(self, picture: Tensor, quality: int, like: Picture | None = None) -> bytes:
        """All files one after the other: for their size."""
        layers = self.layers(picture, quality, like)
        return b"".join((layers.base, *(block.data for block in layers.blocks)))

    def encode_lossless(self, picture: Tensor, like: Picture | None = None) -> bytes | None:
        return None

    def decode(self, data: bytes) -> Tensor:
        raise ValueError("expected layers as files; see codec.layered.files")
