import numpy as np
import pytest
import skimage.color
import torch

from codec.pictures.colour import luma, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb


def test_lab_agrees_with_scikit_image(device: torch.device) -> None:
    rgb = torch.rand(2, 3, 17, 5, dtype=torch.float64)
    rgb[0, :, 0, 0] = 0
    rgb[0, :, 0, 1] = 1
    expected = skimage.color.rgb2lab(rgb.movedim(1, -1).numpy())
    ours = rgb_to_lab(rgb.to(device)).movedim(1, -1).cpu().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_ycbcr_is_the_full_range_of_bt601() -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=torch.float64)
    ycbcr = rgb_to_ycbcr(colours, axis=-1)
    assert ycbcr[:, 0].tolist() == pytest.approx([0.299, 0.587, 0.114, 1])
    assert ycbcr[2, 1].item() == pytest.approx(0.5)  # blue has the largest Cb
    assert ycbcr[0, 2].item() == pytest.approx(0.5)
    assert ycbcr[3, 1:].abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ycbcr_round_trip(dtype: torch.dtype) -> None:
    rgb = torch.rand(1, 3, 9, 1, dtype=dtype)
    back = ycbcr_to_rgb(rgb_to_ycbcr(rgb))
    assert back.dtype == dtype
    torch.testing.assert_close(back, rgb, atol=1e-6, rtol=0)


def test_luma_is_the_first_channel_of_ycbcr() -> None:
    rgb = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(luma(rgb), rgb_to_ycbcr(rgb)[:, :1])
