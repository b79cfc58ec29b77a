"""Errors that the runner foresees: one line that says what was wrong and what to do."""


class ReportError(Exception):
    """A report, a template or a setting that cannot be used as it is."""


class ReportDataError(ReportError):
    """A value in the marts that no report may show, such as an infinite ability."""


class TemplateError(ReportError):
    """A template or a message catalogue that does not compile."""


class StoreError(ReportError):
    """The artifact store refuses, does not answer, or is full; the run ends and is resumed."""
