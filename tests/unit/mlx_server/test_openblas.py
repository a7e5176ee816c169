"""Libraries of matrix products: renamed, tried out before they are used, left out if they fail."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from llm.mlx_server.elf_symbols import without_prefix

if sys.platform != "linux":
    pytest.skip("a BLAS is loaded on Linux only", allow_module_level=True)

from llm.mlx_server import openblas

MULTIPLIES_BY_IT = """
import ctypes
from llm.mlx_server.openblas import load_openblas
library = load_openblas(threads=1).loaded
import mlx.core as mx, numpy as np
a, b = np.random.rand(8, 64).astype("f"), np.random.rand(64, 96).astype("f")
assert np.allclose(np.array(mx.array(a) @ mx.array(b)), a @ b, atol=1e-4)
address = lambda where: ctypes.cast(where.cblas_sgemm, ctypes.c_void_p).value
assert address(ctypes.CDLL(None)) == address(library), "another BLAS is first"
"""
WITH_A_TRIAL = """
import logging, sys
from pathlib import Path
from llm.mlx_server import openblas
logging.basicConfig(level="INFO")
openblas.TRIAL, openblas.TRIAL_SECONDS = Path(sys.argv[1]), 2.0
assert openblas.load_openblas(threads=1) is None
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def wheel() -> bytes:
    file = metadata.distribution(openblas.WHEEL).locate_file(openblas.WHEEL_FILE)
    return Path(str(file)).read_bytes()


def test_mlx_multiplies_by_openblas_once_that_is_loaded_first() -> None:
    done = python("-c", MULTIPLIES_BY_IT)

    assert done.returncode == 0, done.stderr


def test_the_library_of_the_wheel_is_made_for_every_processor() -> None:
    assert b"DYNAMIC_ARCH" in wheel()


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
        ("raise SystemExit(1)", "exit status 1"),
        ("import signal; signal.pause()", "timed out"),
    ],
)
def test_a_library_that_fails_its_trial_is_left_out(tmp_path: Path, trial: str, told: str) -> None:
    (tmp_path / "trial.py").write_text(trial)

    done = python("-c", WITH_A_TRIAL, str(tmp_path / "trial.py"))

    assert done.returncode == 0, done.stderr
    assert "blas_unusable" in done.stderr
    assert told in done.stderr


def test_a_library_without_the_products_fails_its_trial() -> None:
    assert python("-I", "-S", str(openblas.TRIAL), "libc.so.6").returncode != 0


def test_every_renamed_symbol_is_found_by_its_new_name(tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.so"
    renamed.write_bytes(without_prefix(wheel(), b"scipy_"))

    library = ctypes.CDLL(str(renamed))

    for name in ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm", "sgetrf_", "dsyevd_"):
        assert getattr(library, name)
    with pytest.raises(AttributeError):
        library.scipy_cblas_sgemm  # noqa: B018


@pytest.mark.parametrize("length", [0, 6, 64, 4096])
def test_what_is_no_library_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"ELF|tables"):
        without_prefix(wheel()[:length], b"scipy_")
    with pytest.raises(ValueError, match="ELF"):
        without_prefix(b"MZ" + bytes(length), b"scipy_")
