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


def streams() -> dict[str, bytes]:
    """The golden streams by name."""
    return {name: codec.encode([picture(*s)], **o)[0] for name, (s, o) in CASES.items()}


if __name__ == "__main__":
    digests = {}
    for name, data in streams().items():
        (HERE / name).write_bytes(data)
        (pixels,) = codec.decode([data])
        digests[name] = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    (HERE / "golden.json").write_text(json.dumps(digests, indent=1) + "\n")
