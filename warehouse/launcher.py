"""Runs a program as another user: `launcher.py UID GID REACH... -- PROGRAM ARGUMENT...`.

PostgreSQL refuses to run as root. Dropping to another user is enough, unless the checkout
lies below a folder that this user may not pass (/root, say). Nothing outside the checkout is
changed for that: the program then keeps one capability, that of passing folders and reading
files, and no other. A script of its own, so that nothing runs between fork and exec.
"""

import ctypes
import os
import sys

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _permitted() -> int:
    header, data = _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)()
    _call("capget", ctypes.byref(header), data)
    return int(data[0].permitted)


def _limit_to(capabilities: int) -> None:
    header, data = _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)()
    data[0] = _Data(capabilities, capabilities, capabilities)
    _call("capset", ctypes.byref(header), data)


def _call(function: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(value) for value in padded))


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _can_reach(paths: list[str]) -> bool:
    return all(os.access(path, os.R_OK | os.X_OK, effective_ids=True) for path in paths)


def _drop_on_linux(uid: int, gid: int, reach: list[str]) -> None:
    _prctl(_PR_SET_KEEPCAPS, 1)
    _become(uid, gid)
    # setuid has cleared the effective set, so this asks for the bare user.
    if _can_reach(reach):
        _limit_to(0)
        return
    # Containers seldom allow the first, and usually the second.
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if _permitted() & (1 << capability):
            _limit_to(1 << capability)
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
            return
    raise PermissionError(
        f"user {uid} cannot reach {', '.join(reach)}, and root may not let it: move the "
        "checkout, or start as another user than root"
    )


def main(arguments: list[str]) -> None:
    """Become the user and turn into the program; returns only by raising OSError."""
    split = arguments.index("--")
    uid, gid = int(arguments[0]), int(arguments[1])
    program = arguments[split + 1 :]
    if sys.platform == "linux":
        _drop_on_linux(uid, gid, arguments[2:split])
    else:
        _become(uid, gid)
    os.execv(program[0], program)  # noqa: S606 - a program chosen by the caller, no shell


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as failure:
        sys.exit(f"cannot start as another user: {failure}")
