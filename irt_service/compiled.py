"""One way to compile numeric kernels, so that a warm start costs nothing.

Kernels release the interpreter lock and are never parallel themselves: callers run them on
fixed blocks from a thread pool, which keeps results independent of the number of threads and
is safe beside a web server's own threads and after a fork.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

OWNER_ONLY = 0o700

# Sums may be regrouped into vector lanes; NaN and infinity keep their meaning.
FAST_MATH = {"reassoc", "contract", "nsz", "arcp"}


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or in its nearest existing parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def choose_cache_folder() -> str | None:
    """Find a place for compiled code when neither the package nor the home can be written.

    Returns None when numba's own choice works: NUMBA_CACHE_DIR, else beside the source, else
    the user's cache folder. Otherwise a folder below the temporary directory that belongs to
    this user alone (compiled code is loaded from it, so nobody else may write there).
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return None
    if _is_writable(Path(__file__).parent / "__pycache__"):
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    if _is_writable(home):
        return None
    folder = Path(tempfile.gettempdir()) / f"irt-service-compiled-{os.getuid()}"
    folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        return tempfile.mkdtemp(prefix="irt-service-compiled-")
    return str(folder)


_folder = choose_cache_folder()
if _folder is not None:
    vars(numba.config)["CACHE_DIR"] = _folder


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` to machine code on its first call and keep the code on disk."""
    kernel: Callable[P, R] = numba.njit(
        cache=True, nogil=True, error_model="numpy", fastmath=FAST_MATH
    )(function)
    return kernel
