"""The local server's configuration: who may connect, and how it uses the machine."""

import os
import shutil
import sys
from pathlib import Path

_MEBIBYTE = 1024 * 1024
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - asked for its size only
_SHARED_MEMORY_NEEDED = 1024 * _MEBIBYTE
_IDENT_MAP = "checkout"


def _memory_mebibytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MEBIBYTE


def server_settings() -> dict[str, str]:
    """Return the settings of the local server, tuned for building marts on a small machine."""
    memory = _memory_mebibytes()
    settings = {
        # No network at all: a socket in a folder that only its owner may enter. The path is
        # relative to the data folder, so that no checkout is too deep for a socket's path.
        "listen_addresses": "",
        "unix_socket_directories": "../socket",
        "unix_socket_permissions": "0777",
        "port": "5432",
        "max_connections": "100",
        # A build reads and rewrites whole tables, from two threads.
        "shared_buffers": f"{min(2048, max(128, memory // 8))}MB",
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "work_mem": f"{min(256, max(16, memory // 64))}MB",
        "maintenance_work_mem": f"{min(1024, max(64, memory // 16))}MB",
        "random_page_cost": "1.1",
        "max_parallel_workers_per_gather": "1",
        # Costs more than it saves on queries of seconds.
        "jit": "off",
        # Nothing is replicated, so bulk loads into new tables need no log.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        # What was committed survives a kill of PostgreSQL and a power cut: the online update
        # answers for it. Hence fsync and synchronous_commit stay on.
        "fsync": "on",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %a ",
        "log_min_messages": "warning",
        "log_checkpoints": "off",
        "lc_messages": "C",
        "default_text_search_config": "pg_catalog.simple",
    }
    if sys.platform == "linux" and not _has_roomy_shared_memory():
        # A container's /dev/shm is 64 MB by default: too small for a parallel query.
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings


def _has_roomy_shared_memory() -> bool:
    try:
        return shutil.disk_usage(_SHARED_MEMORY).total >= _SHARED_MEMORY_NEEDED
    except OSError:
        return False


def render_settings(settings: dict[str, str]) -> str:
    """Write the settings as a postgresql.conf."""
    lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
    return "\n".join(["# Written by python -m warehouse start; edits are lost.", *lines, ""])


def _quoted(value: str) -> str:
    return value.replace("'", "''")


def render_access(users: list[str]) -> tuple[str, str]:
    """Return pg_hba.conf and pg_ident.conf: these users of this machine, as any role."""
    access = f"# type database user method\nlocal all all peer map={_IDENT_MAP}\n"
    lines = [f'{_IDENT_MAP} "{_doubled(user)}" all' for user in dict.fromkeys(users)]
    return access, "\n".join(["# map system-user database-user", *lines, ""])


def _doubled(user: str) -> str:
    return user.replace('"', '""')
