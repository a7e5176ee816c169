"""Multiplies with a BLAS, in a process of its own: ``python -I -S blas_trial.py LIBRARY``.

A library that was built for another processor ends its process by SIGILL at the first product.
"""

import ctypes
import sys
from itertools import repeat

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112
INNER, COLUMNS = 576, 200


def multiplies_right(library: ctypes.CDLL) -> bool:
    """Whether products as a model's step has them, of one row and of many, are right."""
    return all(_product(library, rows) == INNER for rows in (1, 8, 64))


def _product(library: ctypes.CDLL, rows: int) -> float:
    left = (ctypes.c_float * (rows * INNER))(*repeat(1.0, rows * INNER))
    right = (ctypes.c_float * (COLUMNS * INNER))(*repeat(1.0, COLUMNS * INNER))
    product = (ctypes.c_float * (rows * COLUMNS))()
    library.cblas_sgemm(
        ROW_MAJOR, PLAIN, TRANSPOSED, rows, COLUMNS, INNER, ctypes.c_float(1.0),
        left, INNER, right, INNER, ctypes.c_float(0.0), product, COLUMNS,
    )  # fmt: skip
    return min(product) if min(product) == max(product) else float("nan")


if __name__ == "__main__":
    sys.exit(not multiplies_right(ctypes.CDLL(sys.argv[1])))
