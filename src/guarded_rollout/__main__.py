"""`python -m guarded_rollout` is `rollout`; so is `python src/guarded_rollout`, in a checkout."""

import os
import sys

if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - nothing is imported before the path is right

from guarded_rollout.cli.app import main

sys.exit(main())
