"""The residual coder: signed integer planes to entropy-coded data and back.

`ResidualCoder` chooses what is coded of planes (N, 1 or 3, H, W) in 1/16 of a sample, writes and
reads it, and gives the planes back; `LosslessCoder` loses nothing. Three planes are luma and two
chroma planes of its size; planes of other sizes, such as subsampled chroma, are coded one by one.
What a prediction says about its residual is given as `hints_of` it.

    coder = ResidualCoder(shipped_contexts("full", torch.device("cpu")), WEIGHTINGS["mse"], bits=10)
    symbols = coder.analyse(planes, torch.tensor([130]))  # a step index, 24 to an octave
    coded = coder.write(symbols)
    decoded = coder.reconstruct(coder.read(coded, planes.shape[1:]))
"""

from codec.residual.analyse import Symbols, hints_of
from codec.residual.coder import Coded, CodedLossless, LosslessCoder, ResidualCoder, TermsDiffer
from codec.residual.context_sets import shipped_contexts
from codec.residual.quantise import WEIGHTINGS
from codec.residual.rans import CorruptStream

__all__ = [
    "WEIGHTINGS",
    "Coded",
    "CodedLossless",
    "CorruptStream",
    "LosslessCoder",
    "ResidualCoder",
    "Symbols",
    "TermsDiffer",
    "hints_of",
    "shipped_contexts",
]
