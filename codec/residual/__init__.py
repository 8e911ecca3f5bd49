"""The residual coder: signed integer planes to entropy-coded data and back.

`analyse` chooses what is coded of planes (N, 1 or 3, H, W) in 1/16 of a sample, `write` and `read`
code it, `reconstruct` gives the planes back; `write_lossless` and `read_lossless` lose nothing.
Three planes are luma and two chroma planes of its size; planes of other sizes, such as subsampled
chroma, are coded one by one. What a prediction says about its residual is given as `hints_of` it.

    networks, matrix = shipped_contexts("full", torch.device("cpu")), WEIGHTINGS["mse"]
    step = torch.tensor([130])  # an index, 24 to an octave
    symbols = analyse(planes, step, matrix, networks)
    streams = write(symbols, matrix, networks, bits=10)  # of a sample, with its sign
    shape = planes.shape[1:]
    decoded = reconstruct(read(streams, shape, step, matrix, networks, bits=10), matrix)
"""

from codec.residual.analyse import Symbols, analyse, hints_of, reconstruct
from codec.residual.coder import Coded, read, read_lossless, write, write_lossless
from codec.residual.context_sets import shipped_contexts
from codec.residual.quantise import WEIGHTINGS
from codec.residual.rans import CorruptStream

__all__ = [
    "WEIGHTINGS",
    "Coded",
    "CorruptStream",
    "Symbols",
    "analyse",
    "hints_of",
    "read",
    "read_lossless",
    "reconstruct",
    "shipped_contexts",
    "write",
    "write_lossless",
]
