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

Launches are an estimate: one for most operators, see `_LAUNCHES` for the others.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, NoReturn
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
_WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

# Operators whose CUDA kernels are instantiated for floating types only (ATen/native/cuda), while
# those of the CPU take integers, too.
_FLOAT_ONLY = {
    "mm", "bmm", "addmm", "baddbmm", "avg_pool2d", "max_pool2d_with_indices", "convolution",
    "replication_pad2d", "reflection_pad2d", "grid_sampler_2d", "grid_sampler_3d",
    "upsample_bilinear2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
    "upsample_bicubic2d",
}  # fmt: skip
# What moves bytes and never looks at them; of uint16 CUDA has little else.
_MOVING = {"cat", "stack", "index", "clone", "contiguous", "index_select", "flip", "_to_copy"}
# Kernels of one call, where that is not one; read off ATen's CUDA sources, give or take a few.
_LAUNCHES = {
    "nonzero": 3, "bincount": 5, "cumsum": 2, "sort": 3, "argsort": 3, "repeat_interleave": 4,
    "multinomial": 6, "masked_select": 4, "unique_dim": 6, "_unique2": 6, "randperm": 4,
    "_linalg_solve_ex": 6, "_linalg_eigh": 20, "_linalg_svd": 50, "constant_pad_nd": 2,
    "repeat": 2, "equal": 3, "_local_scalar_dense": 0, "_unsafe_view": 0, "empty": 0,
    "empty_like": 0, "new_empty": 0, "empty_strided": 0, "new_empty_strided": 0,
}  # fmt: skip
# Where the host waits for the device, because a shape or a Python number depends on values.
_WAITS = {
    "nonzero": 1, "bincount": 2, "masked_select": 1, "_unique2": 1, "unique_dim": 1, "equal": 1,
    "_local_scalar_dense": 1, "_linalg_check_errors": 1, "_linalg_eigh": 1, "_linalg_svd": 1,
}  # fmt: skip


class CudaRuleBroken(RuntimeError):
    """Something that a CUDA device would refuse."""


@dataclass
class Costs:
    """What the calls since the last `reset` would cost on a GPU.

    Attributes:
        launches: kernels, by operator.
        waits: synchronisations of host and device, by operator.
        uploaded, downloaded: bytes copied from and to the host.
        places: kernels and waits by the line of this project that asked for them.
    """

    launches: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    uploaded: int = 0
    downloaded: int = 0
    places: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        self.__dict__.update(Costs().__dict__)

    def launch(self, name: str, count: int) -> None:
        self.launches[name] += count
        self.places[_place()] += count

    def wait(self, name: str, count: int = 1) -> None:
        self.waits[name] += count
        self.places[f"{_place()} waits"] += count

    def upload(self, size: int) -> None:
        self.uploaded += size
        self.wait("upload")

    def download(self, size: int) -> None:
        self.downloaded += size
        self.wait("download")


def _place() -> str:
    """File and line of the innermost frame that is this project's own, and not a test."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/codec/" in name or "/defilter/" in name:
            return f"{name.rsplit('/', 2)[-2]}/{name.rsplit('/', 1)[-1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


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
    known: set[int] = set()  # noqa: RUF012 - addresses: operators see the generator without its class

    def __new__(cls) -> "CudaGenerator":
        made = super().__new__(cls, "cpu")
        cls.known.add(made._cdata)
        return made


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


class _Operator(NamedTuple):
    """What stays true of one operator."""

    name: str
    is_view: bool
    launches: int
    waits: int


@cache
def _operator(function: Any) -> _Operator:
    schema = function._schema
    name = schema.name.partition("::")[2]
    alias = schema.returns[0].alias_info if schema.returns else None
    is_view = alias is not None and not alias.is_write
    return _Operator(name, is_view, _LAUNCHES.get(name, 1), _WAITS.get(name, 0))


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
        return self.run(function, args, kwargs or {})

    def run(self, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        operator = _operator(function)
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
        if not operator.is_view:
            self._count(operator, args)
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

    def _count(self, operator: _Operator, args: tuple) -> None:
        name, _, launches, waits = operator
        if name in ("index", "index_put", "index_put_"):
            masks = sum(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])
            launches, waits = launches + 3 * masks, masks
        if name == "repeat_interleave" and len(args) == 1:
            waits = 1
        self.costs.launch(name, launches)
        if waits:
            self.costs.wait(name, waits)


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
            inputs = [
                received[i].sum_to_size(about.shape).to(about.dtype) if i in received else None
                for i, about in enumerate(node._input_metadata)
            ]
            given = node(*inputs)
            given = given if isinstance(given, tuple) else (given,)
            for (after, i), value in zip(node.next_functions, given, strict=False):
                if after is not None and value is not None:
                    known = gradients[after].get(i)
                    gradients[after][i] = value if known is None else known + value


@contextmanager
def pretend_cuda() -> Iterator[Costs]:
    """Inside, there is one CUDA device, which is pretended; yields what it would cost."""
    generator, backward = torch.Generator, Tensor.backward

    def make_generator(device: torch.device | str = "cpu") -> torch.Generator:
        return CudaGenerator() if _is_cuda(device) else generator(device)

    def make_gradients(self: Tensor, *args: Any, **kwargs: Any) -> None:
        _backward(self) if isinstance(self, OnCuda) else backward(self, *args, **kwargs)

    _forget()
    lifted = torch._C._only_lift_cpu_tensors()
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        answers = {
            "_lazy_init": None, "is_available": True, "is_bf16_supported": True, "device_count": 1,
            "current_device": 0, "synchronize": None, "set_device": None,
            "get_device_name": "pretended",
        }  # fmt: skip
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, _always(answer)))
        stack.enter_context(mock.patch.object(torch, "Generator", make_generator))
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
