"""Errors that a user can act on: what was wrong, where, and what to do."""


class WarehouseError(Exception):
    """A foreseen failure; commands print it as one line and exit 1."""


class UsageError(WarehouseError):
    """The command was called wrongly; commands exit 2."""


class DatabaseUnavailableError(WarehouseError):
    """No PostgreSQL answers at the configured address."""


class SchemaVersionError(WarehouseError):
    """The database's schema is not the one this code was written for."""


class SchemaAheadError(SchemaVersionError):
    """The database's schema has gone beyond what this code works with; waiting does not help."""


class LockHeldError(WarehouseError):
    """Another process holds the lock of this step; the message names it."""


class ServerError(WarehouseError):
    """The local PostgreSQL cannot be started or stopped."""
