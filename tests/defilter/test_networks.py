import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codec.pictures.lut import identity_lut
from codec.pictures.resize import squash
from defilter.global_look import LookHead, colour_statistics, soft_histogram
from defilter.unet import AreaDefilterUNet, DefilterUNet, ResidualUnit
from tests.conftest import small_network


def kernels(unit: nn.Module) -> list[tuple[int, int, int]]:
    return [
        (m.in_channels, m.out_channels, m.kernel_size[0])
        for m in unit.modules()
        if isinstance(m, nn.Conv2d)
    ]


def test_fig2_is_literal() -> None:
    net = DefilterUNet()
    assert kernels(net.encode1) == [(3, 48, 7), (48, 48, 3)]
    assert kernels(net.encode2) == [(48, 96, 3), (96, 96, 3)]
    assert kernels(net.encode3) == [(96, 192, 3), (192, 192, 3), (192, 192, 3), (96, 192, 1)]
    assert kernels(net.decode1) == [(192, 96, 3), (96, 96, 3)]
    assert kernels(net.decode2) + kernels(net.last) == [(96, 48, 3), (48, 48, 3), (48, 3, 3)]
    norms = [m for m in net.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 2 + 2 + 3 + 2 + 2  # each convolution but the last
    assert all(norm.affine for norm in norms)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1]
    assert {m.padding_mode for m in convolutions} == {"replicate"}
    assert sum(p.numel() for p in net.parameters()) <= 1_600_000


def test_fig3_is_literal() -> None:
    net = AreaDefilterUNet(7, one_hot=False)
    unet = net.unet
    assert kernels(unet.encode1) == [(4, 48, 7), (48, 48, 3)]
    assert kernels(unet.encode2) == [(48, 96, 3)]
    assert kernels(unet.decode1) == [(192 + 96, 96, 3)]
    assert kernels(unet.decode2) + kernels(unet.last) == [(96 + 48, 48, 3), (48, 3, 3)]
    assert kernels(AreaDefilterUNet(7, one_hot=True).unet.encode1)[0][0] == 10


def test_equation_1_activates_the_sum() -> None:
    unit = ResidualUnit(4, 6, 3, norm=True).eval()
    x = torch.randn(2, 4, 8, 8)
    expected = F.relu(unit.convolutions(x) + F.conv2d(x, unit.match.weight))
    torch.testing.assert_close(unit(x), expected)
    assert not isinstance(unit.convolutions[-1], nn.ReLU)
    assert isinstance(ResidualUnit(6, 6, 3, norm=True).match, nn.Identity)


@pytest.mark.parametrize("size", [(4, 4), (8, 12), (64, 64)])
def test_sizes(size: tuple[int, int], device: torch.device) -> None:
    x = torch.rand(2, 3, *size, device=device)
    net = DefilterUNet(widths=(4, 8, 8)).to(device)
    if size == (4, 4):
        net = DefilterUNet(widths=(4, 8, 8), norm=False).to(device)  # one deep pixel has no spread
    assert net(x).shape == x.shape
    with pytest.raises(ValueError, match="divisible by 4"):
        net(x[..., :-1])


@pytest.mark.parametrize("one_hot", [False, True])
def test_class_maps_reach_the_network(one_hot: bool) -> None:
    net = AreaDefilterUNet(3, one_hot=one_hot, widths=(4, 8, 8))
    x = torch.rand(1, 3, 16, 16)
    labels = torch.randint(0, 3, (1, 16, 16))
    assert not torch.equal(net(x, labels), net(x, (labels + 1) % 3))
    with pytest.raises(ValueError, match="2 categories"):
        AreaDefilterUNet(1, one_hot=False)


def test_fig3_overfits_one_batch() -> None:
    net = AreaDefilterUNet(2, one_hot=False, widths=(8, 16, 16))
    clean = F.interpolate(torch.rand(2, 3, 8, 8), scale_factor=2, mode="bilinear")
    labels = (torch.arange(16) > 7).long().expand(2, 16, 16)
    gain = torch.tensor([0.5, 1.0])[labels][:, None]  # each category has its own look
    filtered = clean * gain
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for _ in range(150):
        loss = F.mse_loss(net(filtered, labels), clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert losses[-1] < 0.2 * F.mse_loss(filtered, clean).item()


def test_squash() -> None:
    assert squash(torch.rand(1, 3, 1, 1), 8).shape == (1, 3, 8, 8)
    x = torch.rand(1, 3, 16, 16)
    assert squash(x, 16) is x
    flat = squash(torch.full((1, 3, 300, 7), 0.3), 64)
    torch.testing.assert_close(flat, torch.full((1, 3, 64, 64), 0.3))
    for size in (0, 6, -4):
        with pytest.raises(ValueError, match="multiple of 4"):
            squash(x, size)


def test_statistics_are_what_they_say() -> None:
    x = torch.rand(2, 3, 10, 10)
    statistics = colour_statistics(x)
    torch.testing.assert_close(statistics[:, :3], x.mean((2, 3)))
    torch.testing.assert_close(
        statistics[:, 3:6], x.flatten(2).std(2, correction=0), atol=1e-5, rtol=1e-4
    )
    medians = statistics[:, 6:27].view(2, 3, 7)[:, :, 3]
    torch.testing.assert_close(medians, x.flatten(2).quantile(0.5, 2), atol=0.03, rtol=0)


def test_soft_histogram_is_a_distribution_of_grid_colours() -> None:
    x = torch.tensor([0.0, 1.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    shares = soft_histogram(x, 3).square().view(3, 3, 3)  # red, green, blue
    assert shares[0, 2, 1].item() == pytest.approx(1)
    random = soft_histogram(torch.rand(2, 3, 6, 6), 5).square().sum(1)
    torch.testing.assert_close(random, torch.ones(2), atol=1e-4, rtol=0)


def test_features_do_not_depend_on_where_pixels_are() -> None:
    x = torch.rand(1, 3, 12, 12)
    shuffled = x.flatten(2)[..., torch.randperm(144)].view_as(x)
    torch.testing.assert_close(colour_statistics(x), colour_statistics(shuffled))
    torch.testing.assert_close(soft_histogram(x, 4), soft_histogram(shuffled, 4))


def test_head_starts_as_the_identity_and_spans_cubics() -> None:
    head = LookHead(5)
    assert torch.equal(head(torch.randn(2, 5))[1], identity_lut(9))
    assert head.basis.shape == (60, 3 * 9**3)
    assert torch.linalg.matrix_rank(head.basis) == 60


@pytest.mark.parametrize("local", [True, False])
def test_untrained_default_network_changes_nothing(local: bool, device: torch.device) -> None:
    net = small_network(local).to(device)
    x = torch.rand(2, 3, 24, 40, device=device)
    assert torch.equal(net(x), x)


def test_averaging_templates_pools_their_features() -> None:
    net = small_network()
    nn.init.normal_(net.forward_head.mixture.weight, std=0.01)
    x = torch.rand(3, 3, 16, 16)
    encoded = net.encode(x)
    pooled = net.estimate(encoded.mean(0, keepdim=True))
    assert pooled.forward.shape == (1, 3, 9, 9, 9)
    again = net.estimate(net.encode(x[[2, 0, 1]]).mean(0, keepdim=True))
    torch.testing.assert_close(pooled.forward, again.forward)


@pytest.mark.gpu
def test_cpu_equals_cuda_and_bf16_is_close() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    net = small_network().eval()
    nn.init.normal_(net.inverse_head.mixture.weight, std=0.01)
    x = torch.rand(2, 3, 32, 32)
    expected = net(x)
    net.cuda()
    torch.testing.assert_close(net(x.cuda()).cpu(), expected, atol=2e-3, rtol=0)
    with torch.autocast("cuda", torch.bfloat16):
        torch.testing.assert_close(net(x.cuda()).cpu().float(), expected, atol=2e-2, rtol=0)
