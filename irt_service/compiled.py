"""One way to compile numeric kernels, so that a warm start costs nothing.

Kernels release the interpreter lock and are never parallel themselves: callers run them on
fixed blocks from a thread pool, which keeps results independent of the number of threads and
is safe beside a web server's own threads and after a fork.
"""

from __future__ import annotations

import hashlib
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

_PACKAGE = Path(__file__).parent
_DIGEST_LETTERS = 16
_OF_KERNELS = (b"compiled", b"numba")  # what every file that is part of a kernel says

# Sums may be regrouped into vector lanes; NaN and infinity keep their meaning.
FAST_MATH = {"reassoc", "contract", "nsz", "arcp"}


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or in its nearest existing parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def choose_cache_folder() -> Path:
    """Find the folder that keeps the compiled code of exactly these sources.

    numba compares a kernel with its own file only, and would go on using code into which an
    older version of another file was compiled. So the folder's name is the sources' digest,
    below NUMBA_CACHE_DIR, the package, the user's cache folder or, where none can be written,
    a temporary folder that belongs to this user alone (compiled code is loaded from it, so
    nobody else may write there).
    """
    return _choose_parent() / f"kernels-{_digest_sources()}"


def _digest_sources() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for file in sorted(_PACKAGE.rglob("*.py")):
        source = file.read_bytes()
        if any(word in source for word in _OF_KERNELS):
            digest.update(source)
    return digest.hexdigest()[:_DIGEST_LETTERS]


def _choose_parent() -> Path:
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named)
    if _is_writable(_PACKAGE / "__pycache__"):
        return _PACKAGE / "__pycache__"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    if _is_writable(home):
        return home / "irt-service"
    folder = Path(tempfile.gettempdir()) / f"irt-service-compiled-{os.getuid()}"
    folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="irt-service-compiled-"))
    return folder


vars(numba.config)["CACHE_DIR"] = str(choose_cache_folder())


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` to machine code on its first call and keep the code on disk."""
    kernel: Callable[P, R] = numba.njit(
        cache=True, nogil=True, error_model="numpy", fastmath=FAST_MATH
    )(function)
    return kernel
