"""What a command says: results on stdout, everything else on stderr."""

import sys


def tell(line: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(f"{line}\n")


def say(line: str) -> None:
    """Write a line about the work."""
    sys.stderr.write(f"{line}\n")
