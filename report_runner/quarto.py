"""The other way to a document: Jinja2 fills the Quarto source, `quarto render` makes it.

It takes seconds per document where the compiled templates take milliseconds; it is for those
who change a template and want to see it as Quarto shows it, and runs where Quarto is installed.
"""

import shutil
import subprocess
import tempfile
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from report_runner.charts import Chart
from report_runner.compile import markdown_text, quarto_source
from report_runner.errors import ReportError
from report_runner.render import template_environment
from report_runner.text import clean_text

_FORMATS = {"html": "html", "pdf": "typst"}
_THEME = ("report.lua", "report.css", "report.typ")
_SECONDS = 120


def require_quarto() -> str:
    """Return the path of `quarto`; ReportError says what to do without it."""
    found = shutil.which("quarto")
    if found is None:
        raise ReportError(
            "--renderer quarto needs `quarto` on PATH: install Quarto (quarto.org) or run in the "
            "runner image; without --renderer no Quarto is needed"
        )
    return found


@lru_cache(maxsize=1)
def quarto_version() -> str:
    """Return the version of the Quarto that is on PATH."""
    answer = subprocess.run(  # noqa: S603  the program found on PATH
        [require_quarto(), "--version"], capture_output=True, check=True, text=True, timeout=60
    )
    return answer.stdout.strip()


def fill_source(name: str, code: str, folder: Path, **values: Any) -> str:
    """Return the filled source; charts are written into `folder` and named in it."""

    def text(value: object) -> Markup:
        if type(value) is Chart:
            file = folder / f"chart-{len(list(folder.glob('chart-*.svg')))}.svg"
            file.write_text(value.wide, encoding="utf-8")
            described = markdown_text(clean_text(f"{value.title}: {value.description}"))
            return Markup(f'![]({file.name}){{fig-alt="{described}"}}')  # noqa: S704  escaped
        return Markup(markdown_text(clean_text(str(value))))  # noqa: S704  escaped

    environment = template_environment(text, trim_blocks=False)
    return environment.from_string(quarto_source(name, code)).render(**values)


def render_quarto(name: str, code: str, file_format: str, **values: Any) -> bytes:
    """Return one document as Quarto makes it.

    Raises:
        ReportError: Quarto is absent, or refuses the document.
    """
    quarto = require_quarto()
    with tempfile.TemporaryDirectory(prefix="report-") as scratch:
        folder = Path(scratch)
        for file in _THEME:
            source = resources.files("report_runner") / "templates" / file
            (folder / file).write_bytes(source.read_bytes())
        (folder / "report.qmd").write_text(
            fill_source(name, code, folder, **values), encoding="utf-8"
        )
        command = [quarto, "render", "report.qmd", "--to", _FORMATS[file_format], "--no-execute"]
        done = subprocess.run(  # noqa: S603  no text of a user is in the command
            command, cwd=folder, capture_output=True, check=False, text=True, timeout=_SECONDS
        )
        made = folder / f"report.{file_format}"
        if done.returncode != 0 or not made.exists():
            raise ReportError(f"quarto refuses the document: {done.stderr.strip()[-400:]}")
        return made.read_bytes()
