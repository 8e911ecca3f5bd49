"""What is asked of a device: its name, and to wait for it."""

import torch


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was given, so that a clock reads true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_name() -> str | None:
    """Name of the GPU, if there is one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def check_device(name: torch.device | str) -> torch.device:
    """The device of this name, `cpu`, `cuda` or `cuda:1`.

    Raises:
        ValueError: torch cannot compute there.
    """
    try:
        device = torch.device(name)
        known = device.type in ("cpu", "cuda")
        if known:
            torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, TypeError):
        known = False
    if not known:
        raise ValueError(f"expected cpu, or cuda where there is one, got {str(name)!r}")
    return device
