"""A pretended CUDA device: real values on the CPU, CUDA's rules, and a count of what it would cost.

Inside `pretend_cuda()`, tensors on `cuda` say that they are on `cuda:0` and hold a CPU tensor. All
operators pass through one function, which refuses what CUDA refuses:

- tensors of two devices in one operator (a CPU tensor without axes may join, as on CUDA);
- a random generator of another device than the numbers that it draws;
- `numpy()` of a tensor on the device;
- operators and types that CUDA has no kernels for, and the limits of its int8 product;
- other devices than `cuda:0`.

**What a test under it proves:** that devices, generators and types are handled as CUDA wants, that
autocast for `cuda` is kept out where it must be, that control flow which depends on values takes
the same way, and how many kernels, synchronisations and uploaded bytes a call asks for.

**What it does not prove:** CUDA's arithmetic (all sums are the CPU's), that cuBLAS or cuDNN accept
a layout, memory, streams, speed, or several GPUs. Gradients are true but do not come from
autograd's engine, which needs a driver: `backward` walks the graph in Python, and calls no hooks.
Checkpoints written here hold CPU tensors. Worker threads may use tensors that they are given, but
cannot make new ones on the device.

`Costs.places` says which lines of this project the launches come from.
"""

import sys
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, NoReturn
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.cuda_costs import Costs, operator_of

CUDA = torch.device("cuda", 0)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
_WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

# Operators whose CUDA kernels are instantiated for floating types only (ATen/native/cuda), while
# those of the CPU take integers, too.
_FLOAT_ONLY = frozenset(
    [
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "convolution",
        "avg_pool2d",
        "max_pool2d_with_indices",
        "replication_pad2d",
        "reflection_pad2d",
        "grid_sampler_2d",
        "grid_sampler_3d",
        "upsample_bilinear2d",
        "_upsample_bilinear2d_aa",
        "upsample_bicubic2d",
        "_upsample_bicubic2d_aa",
    ]
)
# What moves bytes and never looks at them: CUDA has little else for uint16.
_MOVING = frozenset(["cat", "stack", "index", "index_select", "clone", "flip"])


class CudaRuleBroken(RuntimeError):
    """Something that a CUDA device would refuse."""


class OnCuda(Tensor):
    """A tensor that says `cuda:0`; `inner` holds its values on the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnCuda":
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CUDA,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Only in threads that the mode does not reach."""
        if _Device.active is None:
            raise CudaRuleBroken("expected pretend_cuda() around all uses of its tensors")
        return _Device.active.run(function, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnCuda({self.inner!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        assert _Device.active is not None
        _Device.active.costs.download(self.inner.nbytes)
        return self.inner.tolist()

    def numpy(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    __array__ = numpy


class CudaGenerator(torch.Generator):
    """A generator that says `cuda:0` and draws the CPU's numbers."""

    device = CUDA
    known: ClassVar[set[int]] = set()  # addresses: operators see a generator without its class

    def __new__(cls) -> "CudaGenerator":
        made = super().__new__(cls, "cpu")
        cls.known.add(made._cdata)
        weakref.finalize(made, cls.known.discard, made._cdata)
        return made


class _Generator(torch.Generator):
    """What `torch.Generator` is inside: of either device."""

    def __new__(cls, device: torch.device | str = "cpu") -> torch.Generator:  # type: ignore[misc]
        return CudaGenerator() if _is_cuda(device) else super().__new__(cls, device)


def _inner(x: Any) -> Any:
    """Operators' arguments, lists of them too, as the CPU knows them."""
    if isinstance(x, OnCuda):
        return x.inner
    return [_inner(one) for one in x] if type(x) in (list, tuple) else x


def _tensors(arguments: Iterable[Any]) -> Iterator[Tensor]:
    for x in arguments:
        if isinstance(x, Tensor):
            yield x
        elif type(x) in (list, tuple):
            yield from _tensors(x)


def _is_cuda(device: torch.device | str | None) -> bool:
    """Whether this is the pretended device.

    Raises:
        CudaRuleBroken: a CUDA device that is not there.
    """
    device = None if device is None else torch.device(device)
    if device is None or device.type != "cuda":
        return False
    if device.index not in (None, 0):
        raise CudaRuleBroken(f"CUDA error: invalid device ordinal, {device}")
    return True


class _Device(TorchDispatchMode):
    """Runs every operator on the values inside, checks and counts."""

    active: "_Device | None" = None

    def __init__(self) -> None:
        super().__init__()
        self.costs = Costs()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.is_inference_mode_enabled():  # wrappers of its tensors could not be viewed
            with torch.inference_mode(False), torch.no_grad():
                return self.run(function, args, kwargs or {})
        return self.run(function, args, kwargs or {})

    def run(self, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        operator = operator_of(function)
        if operator.name == "_to_copy":
            return self._converted(function, args, kwargs)
        if operator.name == "copy_":
            return self._copied(function, *args)
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        cuda = [x for x in tensors if isinstance(x, OnCuda)]
        here = bool(cuda) or _is_cuda(kwargs.get("device"))
        if kwargs.get("generator") is not None:
            _check_generator(operator.name, kwargs["generator"], here)
        if not here:
            return function(*args, **kwargs)
        if len(cuda) < len(tensors):
            others = [x for x in tensors if not isinstance(x, OnCuda)]
            self._check_devices(operator.name, args, others)
        _check_kernel(operator.name, args, cuda)
        kwargs = {key: _inner(value) for key, value in kwargs.items()}
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        result = function(*map(_inner, args), **kwargs)
        self.costs.count(operator, args)
        known = {id(x.inner): x for x in cuda}  # what is changed in place stays the same object

        def wrapped(x: Any) -> Any:
            if isinstance(x, Tensor):
                return known[id(x)] if id(x) in known else OnCuda(x)
            return type(x)(map(wrapped, x)) if type(x) in (list, tuple) else x

        return wrapped(result)

    def _converted(self, function: Any, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        (x,) = args
        was = isinstance(x, OnCuda)
        goes = was if kwargs.get("device") is None else _is_cuda(kwargs["device"])
        inner = function(_inner(x), **{k: v for k, v in kwargs.items() if k != "device"})
        if was and goes:
            self.costs.launch("_to_copy", 1)
        elif was:
            self.costs.download(inner.nbytes)
        elif goes:
            self.costs.upload(inner.nbytes)
        return OnCuda(inner) if goes else inner

    def _copied(self, function: Any, to: Tensor, source: Tensor, *rest: Any) -> Tensor:
        ends = isinstance(source, OnCuda), isinstance(to, OnCuda)
        if ends == (True, True):
            self.costs.launch("copy_", 1)
        elif ends == (True, False):
            self.costs.download(source.nbytes)
        elif ends == (False, True) and source.dim():
            self.costs.upload(source.nbytes)
        function(_inner(to), _inner(source), *rest)
        return to

    def _check_devices(self, name: str, args: tuple, others: list[Tensor]) -> None:
        """Tensors of the CPU may only be numbers, or indices, which are uploaded."""
        others = [x for x in others if x.dim() > 0]
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            for index in others:
                if any(index is x for x in args[1]):
                    self.costs.upload(index.nbytes)
            others = [x for x in others if not any(x is y for y in args[1])]
        if others:
            shapes = ", ".join(str(tuple(x.shape)) for x in others)
            raise CudaRuleBroken(f"{name}: expected all tensors on cuda:0, got {shapes} on the CPU")


def _check_generator(name: str, generator: torch.Generator, here: bool) -> None:
    if (generator._cdata in CudaGenerator.known) != here:
        places = ("the CPU", "cuda:0")
        raise CudaRuleBroken(
            f"{name}: expected a generator on {places[here]}, got one on {places[not here]}"
        )


def _check_kernel(name: str, args: tuple, cuda: list[OnCuda]) -> None:
    """Refuse what CUDA has no kernel for."""
    if name in _FLOAT_ONLY and cuda[0].dtype in _INTEGERS:
        raise CudaRuleBroken(f'"{name}_cuda" not implemented for {cuda[0].dtype}')
    if name not in _MOVING and "view" not in name:
        for x in cuda:
            if x.dtype in _WIDE_UNSIGNED and name not in ("slice", "select", "permute", "detach"):
                raise CudaRuleBroken(f'"{name}_cuda" not implemented for {x.dtype}')
    if name == "_int_mm":
        rows, weight = args
        fits = len(rows) > 16 and not any(n % 8 for n in (rows.shape[1], weight.shape[1]))
        if not fits or {rows.dtype, weight.dtype} != {torch.int8}:
            raise CudaRuleBroken(
                "_int_mm: expected int8, more than 16 rows and multiples of 8, got "
                f"{tuple(rows.shape)} {rows.dtype} and {tuple(weight.shape)} {weight.dtype}"
            )


def _backward(loss: Tensor) -> None:
    """Gradients of all leaves, as autograd's engine makes them: newest node first."""
    assert loss.grad_fn is not None
    nodes, found = [loss.grad_fn], {loss.grad_fn}
    for node in nodes:
        new = [after for after, _ in node.next_functions if after and after not in found]
        found.update(new)
        nodes += dict.fromkeys(new)
    leaves = [node for node in nodes if not node.next_functions]
    inside = [node for node in nodes if node.next_functions]
    inside.sort(key=lambda node: -node._sequence_nr())
    gradients: dict[Any, dict[int, Tensor]] = defaultdict(dict)
    gradients[loss.grad_fn][0] = torch.ones_like(loss)
    with torch.no_grad():
        for node in inside + leaves:
            received = gradients.pop(node, None)
            if received is None:
                continue
            given = node(*(received.get(i) for i in range(len(node._input_metadata))))
            given = given if isinstance(given, tuple) else (given,)
            for (after, i), value in zip(node.next_functions, given, strict=False):
                if after is not None and value is not None:
                    about = after._input_metadata[i]
                    part = value.sum_to_size(about.shape).to(about.dtype)
                    known = gradients[after].get(i)
                    gradients[after][i] = part if known is None else known + part


@contextmanager
def pretend_cuda() -> Iterator[Costs]:
    """Inside, there is one CUDA device, which is pretended; yields what it would cost."""
    backward = Tensor.backward

    def make_gradients(self: Tensor, *args: Any, **kwargs: Any) -> None:
        _backward(self) if isinstance(self, OnCuda) else backward(self, *args, **kwargs)

    _forget()
    lifted = torch._C._only_lift_cpu_tensors()
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        answers: dict[str, Any] = dict.fromkeys(("_lazy_init", "synchronize", "set_device"))
        answers |= dict.fromkeys(("is_available", "is_bf16_supported"), True)
        answers |= {"device_count": 1, "current_device": 0, "get_device_name": "pretended"}
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, _always(answer)))
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(mock.patch.object(Tensor, "backward", make_gradients))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.callback(_forget)
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifted)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwritten)
        torch._C._ensureCUDADeviceGuardSet()  # as FakeTensor does, without a driver
        torch._C._set_only_lift_cpu_tensors(True)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        device = stack.enter_context(_Device())
        stack.enter_context(mock.patch.object(_Device, "active", device))
        yield device.costs


def _forget() -> None:
    """Empty this project's caches: a pretended tensor must not meet a true one on `cuda:0`."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("codec", "defilter"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def _always(answer: Any) -> Any:
    return lambda *_, **__: answer
