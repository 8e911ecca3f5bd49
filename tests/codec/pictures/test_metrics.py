from pathlib import Path

import numpy as np
import pytest
import skimage.color
import skimage.metrics
import torch
import torch.nn.functional as F
from ssimulacra2 import compute_ssimulacra2

from codec.pictures.colour import luma
from codec.pictures.metrics import ciede2000, delta_e2000, ms_ssim, psnr, ssim
from codec.pictures.picture_files import write_pixels
from codec.pictures.ssimulacra2 import ssimulacra2


def test_ciede2000_agrees_with_scikit_image(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(1)
    scale = torch.tensor([100.0, 200.0, 200.0], dtype=torch.float64)
    shift = torch.tensor([0.0, 100.0, 100.0], dtype=torch.float64)
    x, y = (
        torch.rand(5000, 3, generator=generator, dtype=torch.float64) * scale - shift for _ in "xy"
    )
    x[0], x[1], y[2] = x[0] * torch.tensor([1.0, 0, 0]), y[1], y[2] * torch.tensor([1.0, 0, 0])
    expected = skimage.color.deltaE_ciede2000(x.numpy(), y.numpy())
    ours = ciede2000(x.T.to(device), y.T.to(device), axis=0).cpu().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-9)


# Sharma, Wu, Dalal 2005, table 1: pairs 1, 7, 17 and 25.
@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_ciede2000_gives_the_published_values(x: tuple, y: tuple, expected: float) -> None:
    difference = ciede2000(*(torch.tensor(v, dtype=torch.float64) for v in (x, y)), axis=0)
    assert difference.item() == pytest.approx(expected, abs=5e-5)


def test_ssim_agrees_with_scikit_image(device: torch.device) -> None:
    x = torch.rand(2, 3, 40, 33, dtype=torch.float64)
    y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    expected = [
        skimage.metrics.structural_similarity(
            luma(a)[0].numpy(),
            luma(b)[0].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for a, b in zip(x, y, strict=True)
    ]
    assert ssim(x.to(device), y.to(device)).tolist() == pytest.approx(expected, abs=1e-9)


def test_psnr_agrees_with_scikit_image() -> None:
    x, y = torch.rand(2, 1, 3, 7, 9, dtype=torch.float64)
    expected = skimage.metrics.peak_signal_noise_ratio(x[0].numpy(), y[0].numpy(), data_range=1.0)
    assert psnr(x, y).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 5), (11, 11)])
def test_equal_pictures_of_any_size(shape: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *shape)
    assert psnr(x, x).isinf().all()
    torch.testing.assert_close(ssim(x, x), torch.ones(2), atol=1e-4, rtol=0)
    assert delta_e2000(x, x).abs().max() < 1e-3


def test_ms_ssim_agrees_with_another_implementation(device: torch.device) -> None:
    theirs = pytest.importorskip("pytorch_msssim")
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(2, 3, 192, 208, generator=generator)
    x = torch.nn.functional.avg_pool2d(x, 5, 1, 2).to(device)
    y = (x + 0.05 * torch.rand(2, 3, 192, 208, generator=generator).to(device)).clamp(0, 1)
    expected = theirs.ms_ssim(luma(x), luma(y), data_range=1.0, size_average=False)
    torch.testing.assert_close(ms_ssim(x, y), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (20, 20), (100, 40)])
def test_ms_ssim_of_small_pictures_has_fewer_scales(shape: tuple[int, int]) -> None:
    x = torch.rand(1, 3, *shape)
    assert ms_ssim(x, x).item() == pytest.approx(1, abs=1e-5)
    assert ms_ssim(x, 1 - x).item() < 1


@pytest.mark.parametrize("shape", [(256, 256), (227, 301)])
def test_ssimulacra2_agrees_with_the_package(shape: tuple[int, int], tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    smooth = torch.rand(1, 3, 6, 6, generator=generator)
    x = F.interpolate(smooth, shape, mode="bicubic").clamp(0, 1)
    for noise in (0.0, 0.002, 0.01, 0.08):
        y = x + noise * torch.randn(x.shape, generator=generator)
        pixels = [p[0].mul(255).round().clamp(0, 255).to(torch.uint8) for p in (x, y)]
        paths = [tmp_path / name for name in ("x.png", "y.png")]
        for path, picture in zip(paths, pixels, strict=True):
            write_pixels(path, picture)
        ours = ssimulacra2(*(p[None].double() / 255 for p in pixels)).item()
        assert ours == pytest.approx(compute_ssimulacra2(*map(str, paths)), abs=0.02)


def test_ssimulacra2_of_a_batch_and_of_equal_pictures(device: torch.device) -> None:
    x = torch.rand(2, 3, 240, 230, device=device)
    y = (x + 0.05 * torch.randn_like(x)).clamp(0, 1).requires_grad_()
    together = ssimulacra2(x, y)
    alone = torch.cat([ssimulacra2(x[i : i + 1], y[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone)
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(ssimulacra2(x, y), together)
    together.sum().backward()
    assert y.grad is not None and y.grad.isfinite().all() and y.grad.abs().sum() > 0
    same = x.double().requires_grad_()
    score = ssimulacra2(x.double(), same)
    score.sum().backward()
    assert score.min() > 99.999 and same.grad is not None and same.grad.isfinite().all()
    assert ssimulacra2(x[..., :5, :1], 1 - x[..., :5, :1]).max() < 50  # sides below 8 count too
