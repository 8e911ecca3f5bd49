"""Pictures predicted from pictures, in integers: the same prediction on every device.

A `Prediction` names its reference and a chain of steps, each a file here: `Upsample`, `Warp`,
`Motion`, `Tone`, `Grade`, `Alpha`. What finds one is in `codec.align`, and need not be exact.

    prediction = Prediction(hash_of(planes), (Warp(corners), Tone(curve)))
    predicted = predict(prediction, {hash_of(planes): planes}, (3, height, width))
"""

from codec.prediction.alpha import Alpha
from codec.prediction.chain import (
    MissingReference,
    Predicted,
    Prediction,
    hash_of,
    predict,
    unpack_prediction,
)
from codec.prediction.grade import Grade
from codec.prediction.motion import Motion
from codec.prediction.tone import Tone
from codec.prediction.upsample import Kernel, Upsample
from codec.prediction.warp import Warp

__all__ = [
    "Alpha",
    "Grade",
    "Kernel",
    "MissingReference",
    "Motion",
    "Predicted",
    "Prediction",
    "Tone",
    "Upsample",
    "Warp",
    "hash_of",
    "predict",
    "unpack_prediction",
]
