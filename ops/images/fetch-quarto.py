"""Fetch a release of Quarto, compare it with its checksum, and unpack it.

fetch-quarto.py VERSION ARCHITECTURE amd64=SHA256 arm64=SHA256 FOLDER
"""

import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path

RELEASES = "https://github.com/quarto-dev/quarto-cli/releases/download"


def main(version: str, architecture: str, *rest: str) -> None:
    """Fetch, compare, unpack."""
    *pairs, folder = rest
    checksums = dict(pair.split("=", 1) for pair in pairs)
    name = f"quarto-{version}-linux-{architecture}.tar.gz"
    url = f"{RELEASES}/v{version}/{name}"
    with urllib.request.urlopen(url, timeout=300) as answer:  # noqa: S310 - https, a constant
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != checksums[architecture]:
        sys.exit(f"{url} has the sha256 {found}, not {checksums[architecture]}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(Path(folder).parent, filter="data")
    Path(folder).with_name(f"quarto-{version}").rename(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
