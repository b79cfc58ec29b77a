"""Errors that a user can act on: what was wrong, where, and what to do."""


class IrtServiceError(Exception):
    """A foreseen failure of the IRT service.

    Args:
        what: what was wrong, in one clause.
        where: which input, item, student or setting; empty when it is obvious.
        remedy: what the reader does next; empty when nothing can be done.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        """Join the three parts into the one line that is printed."""
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{what} ({where})" if where else what
        super().__init__(f"{message}: {remedy}" if remedy else message)


class InvalidInputError(IrtServiceError):
    """The input itself is wrong: a value, a shape, a duplicate, a file."""


class InvalidSettingsError(IrtServiceError):
    """A setting is out of its range or two settings contradict each other."""


class InsufficientDataError(IrtServiceError):
    """The input is well formed but does not identify what is asked for."""


class EngineUnavailableError(IrtServiceError):
    """A calibration engine lacks something that has to be installed."""


class CalibrationError(IrtServiceError):
    """An engine stopped without a result."""
