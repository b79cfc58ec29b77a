"""Reading a finished PDF back, with poppler's pdftotext where it is installed."""

import shutil
import subprocess

import pytest

needs_pdftotext = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="pdftotext (poppler-utils) is not installed"
)


def text_of(pdf: bytes) -> str:
    """Return the text in reading order, lines as they are set."""
    read = subprocess.run(
        ["pdftotext", "-q", "-enc", "UTF-8", "-", "-"], input=pdf, capture_output=True, check=True
    )
    return read.stdout.decode("utf-8")


def words_of(pdf: bytes) -> str:
    """Return the text without any white space, as lines break anywhere."""
    return "".join(text_of(pdf).split())
