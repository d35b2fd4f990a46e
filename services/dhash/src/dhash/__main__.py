"""Lets `python -m dhash` do what `dhash` does."""

import sys

from dhash.cli import main

sys.exit(main())
