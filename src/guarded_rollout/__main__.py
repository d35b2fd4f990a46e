"""`python -m guarded_rollout` is `rollout`."""

import sys

from guarded_rollout.cli.app import main

sys.exit(main())
