"""Reports that are made one at a time: for tutors and for psychometricians."""

from datetime import date
from typing import Any

from report_runner.compile import compile_template
from report_runner.render import render_html
from report_runner.store import Store
from report_runner.typesetting import render_pdf


def write_report(
    store: Store,
    template: str,
    code: str,
    formats: tuple[str, ...],
    key: str,
    day: date,
    words: Any,
) -> list[str]:
    """Write one report in every format below `key`; return the keys of its objects."""
    keys = []
    for file_format in formats:
        compiled = compile_template(template, code, file_format)
        document = (
            render_pdf(compiled.source, day, report=words)
            if file_format == "pdf"
            else render_html(compiled.source, report=words)
        )
        keys.append(f"{key}/report.{file_format}")
        store.put(keys[-1], document)
    return keys
