"""`python -m irt_service`: see cli."""

import sys

from irt_service.cli import main

sys.exit(main())
