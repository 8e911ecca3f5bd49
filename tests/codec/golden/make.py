"""Writes the golden streams: `python tests/codec/golden/make.py`.

Decoders must go on reading them. Other bytes or pixels mean another format: raise
`codec.container.VERSION`, or ship the new networks beside the old ones.
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

import codec
from codec.picture import references_of
from codec.prediction.alpha import Alpha
from codec.prediction.chain import Predicted, Prediction, predict
from codec.prediction.grade import COEFFICIENT_BITS, Grade
from codec.prediction.motion import Motion
from codec.prediction.tone import Tone, straight
from codec.prediction.upsample import Upsample
from codec.prediction.warp import Warp

HERE = Path(__file__).parent


def picture(channels: int, height: int, width: int) -> Tensor:
    """Waves, an edge and a little of everything, in integers alone."""
    i, j = torch.arange(height)[:, None], torch.arange(width)
    parts = [
        (i * 3 + j * 2 + (i * j // 7 % 23) * 4) % 256,
        (255 - i * 2 + (j * j // 11) % 40) % 256,
        torch.where(i > j, 200, 60) + (i * 5 + j * 9) % 31,
    ]
    return torch.stack(parts[:channels]).to(torch.uint8)


CASES = {
    "mse.dfc": ((3, 45, 70), {"quality": 60, "mode": "mse"}),
    "perceptual.dfc": ((3, 64, 40), {"quality": 50}),
    "grey.dfc": ((1, 33, 50), {"quality": 80, "mode": "mse", "filter": "none"}),
    "fast.dfc": ((3, 40, 40), {"quality": 70, "effort": "fast"}),
    "groups.dfc": ((3, 80, 96), {"quality": 99, "effort": "fast"}),
    "lossless.dfc": ((3, 21, 34), {"lossless": True}),
    "tiny.dfc": ((1, 5, 3), {"lossless": True}),
    "one.dfc": ((3, 1, 1), {"quality": 90}),
}


REFERENCE = "mse.dfc"


def predicted(references: dict[bytes, Tensor]) -> dict[str, tuple[Tensor, Predicted, dict]]:
    """Pictures that stand on one of the others, with every step there is."""
    ((name, _),) = references.items()
    size = (40, 56)
    wave = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    tone = Tone(tuple(n + 9 * k % 40 for k, n in enumerate(straight(17))),
                (tuple(range(240, 274, 2)), tuple(range(272, 238, -2))), (6, -5))  # fmt: skip
    moved = (
        Warp((40, -20, -75, 33, -120, -64, 10, 51)),
        Motion((wave * 7 % 23 - 11).short()),
        tone,
        Alpha((torch.arange(4).reshape(2, 2)).to(torch.int8)),
    )
    one = 1 << COEFFICIENT_BITS
    grade = [round(x * one) for x in (0.02, 0.9, 0.1, -0.05, 0.03, 0.02, -0.01, 0.02, 0.01)]
    pixels = picture(3, *size).roll(1, 2)
    large = picture(3, 89, 139)
    made = {
        "predicted.dfc": (pixels, moved, True, {"quality": 70, "mode": "mse"}),
        "predicted_lossless.dfc": (pixels, (moved[0], Grade(tuple(grade * 3))), False,
                                   {"lossless": True}),
        "predicted_luma.dfc": (pixels, (moved[0], Tone((-2000, 1900))), True, {"quality": 50}),
        "enlarged.dfc": (large, (Upsample(2, 2),), True, {"quality": 40}),
    }  # fmt: skip
    found = {}
    for title, (own, steps, hints, options) in made.items():
        prediction = Prediction(name, steps, hints, title == "predicted_luma.dfc")
        found[title] = (own, predict(prediction, references, tuple(own.shape)), options)
    return found


def streams() -> dict[str, bytes]:
    """The golden streams by name."""
    alone = {name: codec.encode([picture(*s)], **o)[0] for name, (s, o) in CASES.items()}
    others = predicted(references_of([alone[REFERENCE]]))
    return alone | {
        name: codec.encode([own], **options, predictions=[guess])[0]
        for name, (own, guess, options) in others.items()
    }


if __name__ == "__main__":
    digests = {}
    written = streams()
    known = references_of([written[REFERENCE]])
    for name, data in written.items():
        (HERE / name).write_bytes(data)
        (pixels,) = codec.decode([data], references=known)
        digests[name] = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    (HERE / "golden.json").write_text(json.dumps(digests, indent=1) + "\n")
