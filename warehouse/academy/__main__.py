"""`python -m warehouse.academy`: the simulator without the rest of the warehouse commands."""

import sys

from warehouse.academy.cli import main

sys.exit(main(sys.argv[1:]))
