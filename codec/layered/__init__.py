"""Layered coding (US 2018/0007375): a small picture for any decoder, and what larger ones add.

    layers = encode_layers(picture, LayerSettings(base="jpeg", levels=3))
    open("photo_lowres.jpg", "wb").write(layers.base)
    shown = decode_layers(layers, level=1)

Each difference block is a stream of its own that is predicted from the level below.
"""

from codec.layered.layers import Layers, Shown, decode_layers, encode_layers
from codec.layered.levels import Block
from codec.layered.settings import LayerSettings

__all__ = ["Block", "LayerSettings", "Layers", "Shown", "decode_layers", "encode_layers"]
