"""Entry point of `python -m report_runner`."""

import sys

from report_runner.cli import main

if __name__ == "__main__":
    sys.exit(main())
