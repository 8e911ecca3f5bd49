"""Quality search: the smallest file that still reaches a score.

`find` searches one picture with any encoder, score and method; `find_batch` searches many with this
project's codec, several qualities at once and without coding a bit.
"""

from codec.search.encoders import Encoder, encoder
from codec.search.find import Found, find, find_batch
from codec.search.methods import (
    Probe,
    TargetUnreachable,
    bisection,
    certified,
    gaussian_corrected,
    gaussian_literal,
    stepping,
)
from codec.search.scores import SCORES, Score

__all__ = [
    "SCORES",
    "Encoder",
    "Found",
    "Probe",
    "Score",
    "TargetUnreachable",
    "bisection",
    "certified",
    "encoder",
    "find",
    "find_batch",
    "gaussian_corrected",
    "gaussian_literal",
    "stepping",
]
