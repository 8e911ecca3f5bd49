"""Which of some pictures another one is best predicted from, and how.

references = codec.references_of([stream])
predicted = best_prediction(picture, references, quality=80)
(smaller,) = codec.encode([picture], 80, predictions=[predicted])
"""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from codec.align.features import find_warp
from codec.align.flow import find_motion
from codec.align.light import find_grade, find_tone
from codec.align.trial import Trial, trial_of
from codec.planes import check_picture, to_planes
from codec.prediction.chain import Predicted, Prediction, Step, predict
from codec.residual.quantise import STEPS_PER_OCTAVE, WEIGHTINGS, Weighting, steps
from codec.residual.transform import FRACTION
from codec.settings import Settings, check_settings, step_of

_LOSSLESS_STEP = 2 * STEPS_PER_OCTAVE  # a grey level: no finer detail is worth anything
_LEAST_GAIN = 0.97  # of the bytes alone: what a trial is sure of


def best_prediction(
    picture: Tensor,
    candidates: Mapping[bytes, Tensor],
    quality: int = 80,
    *,
    mode: str = "perceptual",
    lossless: bool = False,
) -> Predicted | None:
    """The prediction that a trial finds cheapest, or None where the picture alone is.

    Args:
        picture: (3, H, W) RGB or (1, H, W) grey, uint8.
        candidates: exact planes (c, h, w) of pictures it may be predicted from, by their hash.
        quality, mode, lossless: that the picture will be encoded with.

    Raises:
        ValueError: what is no picture, or a setting out of range.
    """
    check_picture(picture)
    check_settings(Settings(quality, mode))
    wanted = to_planes(picture[None])[0]
    if lossless:
        return best_for_planes(wanted, candidates, _LOSSLESS_STEP, WEIGHTINGS["mse"])
    return best_for_planes(wanted, candidates, step_of(quality, mode), WEIGHTINGS[mode])


def best_for_planes(
    wanted: Tensor, candidates: Mapping[bytes, Tensor], step_index: int, weighting: Weighting
) -> Predicted | None:
    """`best_prediction` of planes (C, H, W) int32 in 1/16 grey level at a step."""
    trial = trial_of(wanted, step_index, weighting)
    best, least = None, _LEAST_GAIN * trial.alone()
    shape = (wanted.shape[0], wanted.shape[1], wanted.shape[2])
    for name, planes in candidates.items():
        for chain in chains(wanted, planes, trial, steps()[step_index] / 2**FRACTION):
            prediction = Prediction(name, chain)
            predicted = predict(prediction, candidates, shape)
            cost = trial.rest(predicted.planes) + len(prediction.pack())
            if cost < least:
                best, least = predicted, cost
    return best


def chains(wanted: Tensor, planes: Tensor, trial: Trial, step: float) -> Iterator[Sequence[Step]]:
    """Ways to predict a picture from another one, the simplest first.

    Args:
        wanted: (C, H, W) int32 of the picture, in 1/16 grey level.
        planes: (c, h, w) int32 of the other one.
        trial: of the picture.
        step: of quantisation, in grey levels.
    """
    size = (wanted.shape[1], wanted.shape[2])
    starts: list[tuple[Step, ...]] = []
    if planes.shape[1:] == wanted.shape[1:]:
        starts.append(())
    warp = find_warp(wanted[0], planes[0])
    if warp is not None:
        starts.append((warp,))
    for start in starts:
        at_hand = Prediction(b"", start)(planes, size)
        yield start
        tone = find_tone(wanted, at_hand)
        yield (*start, tone)
        grade = find_grade(wanted, at_hand)
        if grade is not None:
            yield (*start, grade)
        lit = tone(at_hand, size)
        motion = find_motion(wanted[0], lit[0], step)
        moved = motion(at_hand, size)
        tone = find_tone(wanted, moved)
        chain = (*start, motion, tone)
        yield chain
        alpha = trial.choose_alpha(tone(moved, size))
        yield (*chain, alpha)
