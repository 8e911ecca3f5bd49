"""The stages one by one, each against something written differently."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from codec.residual import quantise as q
from codec.residual import row_network as network_module
from codec.residual.adaptive_quantisation import choose_adaptive
from codec.residual.chroma import SLOPE_ONE, predict, slopes
from codec.residual.context import FeatureGrid, checkerboard, log_size, signed_log
from codec.residual.edge_filter import smooth
from codec.residual.row_network import (
    IntegerLayer,
    IntegerNetwork,
    RowNetwork,
    exact_product,
    to_integers,
)
from codec.residual.transform import (
    FRACTION,
    SAMPLE_BITS,
    SIZES,
    forward,
    forward_blocks,
    from_blocks,
    inverse,
    inverse_blocks,
    to_blocks,
    zigzag,
)
from codec.residual.transform_sizes import choose_sizes, split_flags


def noise(*shape: int, low: int = -2048, high: int = 2048) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("n", SIZES)
def test_forward_is_the_orthonormal_dct(n: int, device: torch.device) -> None:
    blocks = noise(3, n, n).to(device)
    found = forward_blocks(blocks, n)
    assert torch.equal(found, found.round())
    truth = scipy.fft.dctn(blocks.cpu().numpy(), axes=(1, 2), norm="ortho")
    r = n // 8
    for u in range(n):
        for v in range(n):
            if u < r and v < r:
                continue  # these pass through the small transform, see below
            k = zigzag().index(u // r * 8 + v // r)
            expected = truth[:, u, v] * 2 ** (FRACTION - SAMPLE_BITS)
            np.testing.assert_allclose(found[:, u % r, v % r, k].cpu(), expected, atol=6, rtol=5e-4)
    low = scipy.fft.idctn(truth[:, :r, :r], axes=(1, 2), norm="ortho")
    means = found[..., 0].cpu().numpy()
    np.testing.assert_allclose(means, low * 2 ** (FRACTION - SAMPLE_BITS), atol=6, rtol=5e-4)


@pytest.mark.parametrize("n", SIZES)
def test_inverse_undoes_forward_to_a_sixteenth(n: int) -> None:
    blocks = noise(4, n, n)
    assert (inverse_blocks(forward_blocks(blocks, n), n) - blocks).abs().max() <= 2


def test_channel_0_is_the_mean_of_a_cell_whatever_the_size() -> None:
    flat = torch.full((1, 32, 32), 640)
    for n in SIZES:
        means = forward(flat, n)[..., 0]
        assert (means - 640 * 8 * 4).abs().max() <= 4
        assert forward(flat, n)[..., 1:].abs().max() <= 2


def test_mixed_sizes_come_back() -> None:
    plane = noise(2, 64, 96)
    sizes = torch.zeros(2, 8, 12, dtype=torch.int32)
    sizes[:, :4, :4] = 2
    sizes[1, 4:6, 4:6] = 1
    coefficients = torch.stack([forward(plane, n) for n in SIZES])
    mixed = coefficients.gather(0, sizes[None, ..., None].long().expand(1, -1, -1, -1, 64))[0]
    assert (inverse(mixed, sizes) - plane).abs().max() <= 2


def test_blocks_go_out_and_back() -> None:
    x = noise(2, 12, 8, 5)
    assert torch.equal(from_blocks(to_blocks(x, 4), 12, 8), x)
    assert torch.equal(to_blocks(x, 4)[1], x[0, :4, 4:])


def test_quantise_is_the_exact_fraction() -> None:
    values = noise(400, low=-(1 << 18), high=1 << 18).double()
    step = noise(400, low=1, high=5000).double()
    found = q.quantise(values, step)
    back = q.dequantise(found, step)
    for c, s, v, r in zip(*(x.long().tolist() for x in (values, step, found, back)), strict=True):
        expected = math.floor(Fraction(abs(c), s) + Fraction(q.DEAD_ZONE, 32))
        assert abs(v) == expected and (v == 0 or (v < 0) == (c < 0))
        assert r == v * s


def test_steps_are_a_geometric_series() -> None:
    steps = q.steps()
    assert len(steps) == q.STEP_COUNT and steps[0] == 16
    assert all(b >= a for a, b in pairwise(steps))
    for i in range(q.STEP_COUNT):
        exact = 16 * 2 ** (i / 24)
        assert i % 24 == 0 or abs(exact - math.floor(exact) - 0.5) > 1e-6  # no libm decides
        assert abs(steps[i] - exact) <= 0.5


def test_the_perceptual_matrix_grows_with_frequency() -> None:
    sizes = torch.tensor([[[0, 0, 2, 2]]]).repeat(1, 4, 1)
    matrix = q.WEIGHTINGS["perceptual"]
    index = torch.tensor([96])
    plain = q.step_map(index, q.WEIGHTINGS["mse"], False, sizes, None)
    assert plain.shape == (1, 1, 1, 1) and plain.item() == q.steps()[96]
    weighted = q.step_map(index, matrix, False, sizes, None) / plain
    assert torch.allclose(weighted[..., 0], torch.tensor(0.7, dtype=torch.float64), atol=0.02)
    assert weighted[0, 0, 0, 63] == pytest.approx(3.0, abs=0.02)  # 1 + slope at the corner
    chroma = q.step_map(index, matrix, True, sizes, None)
    assert chroma[0, 0, 0, 5] == pytest.approx(
        2 * weighted[0, 0, 0, 5].item() * plain.item(), rel=0.02
    )
    spread = torch.full((1, 4, 4), 4)
    coarser = q.step_map(index, matrix, False, sizes, spread)
    assert coarser[0, 0, 0, 9] == pytest.approx(
        2 * weighted[0, 0, 0, 9].item() * plain.item(), rel=0.02
    )
    assert torch.equal(coarser[..., 0], (weighted * plain)[..., 0])  # means need no map


def test_integer_products_are_exact(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = noise(50, 304, low=-127, high=128).to(torch.int8).to(device)
    weight = noise(304, 24, low=-127, high=128).to(torch.int8).to(device)
    weight[:, 0], rows[0], rows[1] = 127, 127, -127
    truth = rows.cpu().long() @ weight.cpu().long()
    assert torch.equal(exact_product(rows, weight).cpu().long(), truth)
    assert torch.equal(exact_product(rows[:3], weight).cpu().long(), truth[:3])
    monkeypatch.setattr(network_module, "_has_exact_int8", lambda _: False)
    assert torch.equal(exact_product(rows, weight).cpu().long(), truth)


def test_an_integer_network_is_its_own_arithmetic() -> None:
    layers = tuple(
        IntegerLayer(
            noise(a, b, low=-127, high=128).to(torch.int8),
            noise(b, low=-5000, high=5000).int(),
            noise(b, low=3, high=9).int(),
        )
        for a, b in ((20, 16), (16, 6))
    )
    rows = noise(40, 20, low=-127, high=128).to(torch.int8)
    found = IntegerNetwork(layers)(rows)
    x = rows.long().numpy()
    for number, layer in enumerate(layers):
        x = x @ layer.weight.long().numpy() + layer.bias.numpy()
        x = x >> layer.shift.numpy()
        x = x.clip(0, 127) if number == 0 else x.clip(-128, 127)
    assert np.array_equal(found.numpy(), x)


def test_rounding_a_network_keeps_its_answers() -> None:
    network = RowNetwork(30, 5, (24, 16))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    rows = noise(3000, 30, low=-60, high=60).to(torch.int8)
    rounded = to_integers(network, rows)
    difference = rounded(rows).float() / 16 - network(rows).clamp(-8, 7.9)
    assert difference.abs().mean() < 0.1
    assert all(layer.weight.dtype == torch.int8 for layer in rounded.layers)


def test_logarithms_of_features() -> None:
    x = torch.tensor([0, 1, -1, 7, -300, 100_000])
    assert log_size(x).tolist() == [0, 16, 16, 48, 127, 127]
    assert signed_log(x).tolist() == [0, 16, -16, 48, -127, 127]


def test_a_row_is_the_nine_cells_around() -> None:
    fixed = torch.arange(12, dtype=torch.int8).reshape(1, 3, 4, 1) + 1
    board = FeatureGrid(fixed, 1, 2)
    chosen = torch.zeros(1, 3, 4, dtype=torch.bool)
    chosen[0, 0, 1] = chosen[0, 1, 2] = True
    rows = board.rows(chosen, 0, 0).reshape(2, 9, -1)[..., 0]
    assert rows.tolist() == [[0, 0, 0, 1, 2, 3, 5, 6, 7], [2, 3, 4, 6, 7, 8, 10, 11, 12]]
    board.write(torch.tensor([[[3, -1]], [[0, 1]]]), chosen, 0)
    row = board.rows(chosen, 2, 1).reshape(2, 9, -1)[:, 4]
    assert row.tolist() == [[2, 64, 32, 32, 16, -16], [7, 64, 0, 0, 16, 16]]
    assert checkerboard(2, 3, torch.device("cpu")).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_sizes_are_the_cheapest() -> None:
    cells = torch.ones(1, 8, 4, dtype=torch.int32) * 1_000_000
    small, middle, large = cells.clone(), cells.clone(), cells.clone()
    small[:, :2, :2] -= 500_000  # one quarter better in 8s
    middle[:, :4] -= 1000
    large[:, 4:] -= 1
    sizes = choose_sizes([small, middle, large])
    assert sizes[0, :2, :2].unique().tolist() == [0]
    assert sizes[0, 2:4].unique().tolist() == [1]
    assert sizes[0, 4:].unique().tolist() == [2]
    regions, quarters = split_flags(sizes)
    assert regions.tolist() == [[[1], [0]]] and quarters[0, 0].tolist() == [1, 0]


def test_chroma_follows_luma() -> None:
    luma = noise(1, 12, 12, low=-4000, high=4000).double()
    sizes = torch.zeros(1, 12, 12, dtype=torch.int32)
    step = torch.full((1, 1, 1), 64.0, dtype=torch.float64)
    slope = slopes(luma, torch.floor(luma * 0.5), step, sizes)
    assert (slope - 0.5 * SLOPE_ONE).abs().max() <= 1
    x, y = luma[0, 2:7, 3:8].numpy().ravel(), noise(1, 12, 12).double()
    found = slopes(luma, y, step, sizes)[0, 4, 5].item()
    own = y[0, 2:7, 3:8].numpy().ravel()
    damped = np.cov(x, own, bias=True)[0, 1] / (np.var(x) + 64**2 / 4)
    assert found == pytest.approx(damped * SLOPE_ONE, abs=0.51)
    assert (slopes(luma, y, step, sizes + 2)[0, :4, :4].unique()).numel() == 1
    guess = predict(slope, torch.full((1, 12, 12, 64), 640.0))
    assert guess[..., 0].abs().max() == 0 and (guess[..., 1:] - 320).abs().max() <= 10


def test_adaptive_values_follow_activity() -> None:
    coefficients = torch.zeros(1, 8, 8, 64, dtype=torch.float64)
    coefficients[:, :4, :4, 1:20] = 3000
    coefficients[:, 4:, 4:, 1:20] = 300
    values = choose_adaptive(coefficients)
    assert values.shape == (1, 2, 2)
    assert values[0, 0, 0] > values[0, 1, 1] > values[0, 0, 1]
    assert values.abs().max() <= q.AQ_LARGEST


def test_the_edge_filter_by_hand(device: torch.device) -> None:
    planes = noise(2, 3, 16, 24, low=-300, high=300).int()
    planes[0, 0, :, 12:] += 1000  # an edge
    step = noise(2, 3, 2, 3, low=100, high=3000).double()
    found = smooth(planes.to(device), step.to(device)).cpu()
    padded = np.pad(planes.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge").astype(int)
    for n, c, i, j in ((0, 0, 0, 0), (0, 0, 5, 11), (0, 0, 5, 12), (1, 2, 15, 23), (1, 1, 8, 7)):
        reach = min(max(int(step[n, c, i // 8, j // 8]) // 5, 1), 1448)
        p = padded[n, c, i + 1, j + 1]
        around = [
            padded[n, c, i + 1 + a, j + 1 + b] - p for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b
        ]
        total = sum(int(d) * max(reach - abs(int(d)), 0) for d in around)
        assert found[n, c, i, j] == p + math.floor(Fraction(total, 6 * reach) + Fraction(1, 2))
    flat = torch.full((1, 1, 8, 8), 77, dtype=torch.int32)
    assert torch.equal(smooth(flat, torch.full((1, 1, 1, 1), 500.0)), flat)
