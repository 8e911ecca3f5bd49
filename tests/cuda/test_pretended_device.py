"""The pretended device refuses what CUDA refuses, computes what the CPU computes, and counts."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.pretend_cuda import CudaRuleBroken, pretend_cuda


def here(*shape: int) -> Tensor:
    return torch.ones(shape, device="cuda")


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "two devices": (lambda: here(2) + torch.ones(2), "all tensors on cuda:0"),
    "two devices in a list": (lambda: torch.cat((here(2), torch.ones(2))), "all tensors"),
    "a table on the CPU": (lambda: torch.ones(3)[here(1).long()], "all tensors"),
    "values on the CPU": (lambda: here(3).index_put_((here(1).long(),), torch.ones(1)), "all"),
    "a CPU generator": (
        lambda: torch.rand(2, device="cuda", generator=torch.Generator()),
        "a generator on cuda:0, got one on the CPU",
    ),
    "a CUDA generator": (
        lambda: torch.rand(2, generator=torch.Generator("cuda")),
        "a generator on the CPU, got one on cuda:0",
    ),
    "weights elsewhere": (
        lambda: torch.multinomial(here(4), 2, generator=torch.Generator().manual_seed(0)),
        "multinomial",
    ),
    "integers multiplied": (lambda: here(2, 2).int() @ here(2, 2).int(), "mm_cuda.*int32"),
    "integers pooled": (lambda: F.avg_pool2d(here(1, 1, 4, 4).long(), 2), "avg_pool2d.*int64"),
    "16 bits without a sign": (lambda: here(2).to(torch.uint16) + 1, "uint16"),
    "few rows": (lambda: torch._int_mm(here(16, 8).char(), here(8, 8).char()), "16 rows"),
    "an odd width": (lambda: torch._int_mm(here(32, 12).char(), here(12, 8).char()), "of 8"),
    "a second GPU": (lambda: torch.ones(2, device="cuda:1"), "invalid device ordinal, cuda:1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cuda_refuses_is_refused(name: str) -> None:
    call, message = WRONG[name]
    with pretend_cuda(), pytest.raises(CudaRuleBroken, match=message):
        call()


@pytest.mark.parametrize("convert", [lambda x: x.numpy(), np.asarray], ids=["numpy", "asarray"])
def test_numpy_sees_no_tensor_of_the_device(convert: Callable) -> None:
    with pretend_cuda():
        x = here(2)
        with pytest.raises(TypeError, match=r"cpu\(\)"):
            convert(x)
        assert convert(x.cpu()).sum() == 2


def test_what_cuda_allows_is_allowed() -> None:
    with pretend_cuda():
        x = here(4) * torch.tensor(2.0)  # a CPU tensor without axes
        assert x.device == torch.device("cuda", 0)
        assert x[torch.tensor([0, 1])].tolist() == [2, 2]  # CPU indices
        x[1:3] = 5
        x.view(2, 2)[0, 0] = 7
        assert x.tolist() == [7, 5, 5, 2]
        assert torch.cat((x.to(torch.uint16), x.to(torch.uint16))).int().sum().item() == 38
        assert torch.equal(x.cpu(), torch.tensor([7.0, 5, 5, 2]))
        assert torch.rand(3, device="cuda", generator=torch.Generator("cuda")).is_cuda
        assert not torch.rand(3, generator=torch.Generator()).is_cuda


def test_training_steps_are_those_of_the_cpu() -> None:
    def trained(device: str) -> list[Tensor]:
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.LayerNorm(144),
            nn.Linear(144, 3),
        ).to(device)
        optimiser = torch.optim.AdamW(net.parameters())
        x = torch.rand(2, 3, 8, 8).to(device)
        for _ in range(3):
            a, b, c = net(x).unbind(1)
            loss = (a * b + c.sort().values).square().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
        return [p.detach().cpu() for p in net.parameters()]

    with pretend_cuda():
        found = trained("cuda")
    for a, b in zip(found, trained("cpu"), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_autocast_reaches_the_device() -> None:
    with pretend_cuda(), torch.autocast("cuda", torch.bfloat16):
        assert (here(2, 2) @ here(2, 2)).dtype == torch.bfloat16
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_launches_waits_and_copies_are_counted() -> None:
    with pretend_cuda() as costs:
        x = torch.ones(10).to("cuda")
        assert (costs.launched, costs.waited, costs.uploaded) == (0, 1, 40)
        costs.reset()
        y = (x + 1).view(2, 5).mul_(2)
        assert (costs.launched, costs.waited) == (2, 0)
        y[y > 3].sum().item()
        assert costs.waits == {"index": 1, "_local_scalar_dense": 1}
        costs.reset()
        y.cpu()
        assert (costs.launched, costs.waited, costs.downloaded) == (0, 1, 40)


def test_nothing_is_left_behind() -> None:
    with pretend_cuda():
        x = here(2)
    assert type(torch.Generator()) is torch.Generator
    with pytest.raises(CudaRuleBroken, match="around all uses"):
        x + 1
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, AssertionError)):
            torch.ones(1, device="cuda")


def test_checkpoints_can_be_written_and_read() -> None:
    with pretend_cuda():
        file = io.BytesIO()
        torch.save({"x": here(2)}, file)
        file.seek(0)
        assert torch.load(file, weights_only=True)["x"].tolist() == [1, 1]
