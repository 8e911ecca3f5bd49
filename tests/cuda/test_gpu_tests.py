"""Tests marked gpu do not rot where there is no GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_tests_marked_gpu_pass_on_a_pretended_device() -> None:
    """But for the long round trips, of which tests/cuda has short ones."""
    arguments = ["-q", "-m", "gpu", "--pretend-cuda", "-k", "not lossless", "tests"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "--ignore=tests/cuda"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) >= 30, done.stdout
