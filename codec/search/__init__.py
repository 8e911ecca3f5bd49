"""Quality search: the smallest file that still meets a score.

`find` searches one picture with any encoder, criteria and method; `find_batch` searches many with
this project's codec, several qualities at once and without coding a bit; `optimise` tries all that
a format offers.
"""

from codec.pictures.jpeg_source import JpegSource, jpeg_source
from codec.search.criteria import Criterion, at_least
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
from codec.search.optimise import Request, optimise
from codec.search.scores import SCORES, Score

__all__ = [
    "SCORES",
    "Criterion",
    "Encoder",
    "Found",
    "JpegSource",
    "Probe",
    "Request",
    "Score",
    "TargetUnreachable",
    "at_least",
    "bisection",
    "certified",
    "encoder",
    "find",
    "find_batch",
    "gaussian_corrected",
    "gaussian_literal",
    "jpeg_source",
    "optimise",
    "stepping",
]
