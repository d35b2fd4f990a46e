"""`dying_controller.py FOLDER PORT WHERE RELEASE SOCKET`: is killed in the middle of a shift."""

import os
import signal
import sys
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.envoy import EnvoyTraffic
from guarded_rollout.adapters.envoy.config_files import ConfigFiles
from guarded_rollout.ports import Arm, Route


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, port, where, release, path = sys.argv[1:]
    if where == "before-keeping":
        ConfigFiles.keep = die
    else:
        put = ConfigFiles.put
        ConfigFiles.put = lambda files, kind, *rest: (
            die() if kind == "rds" else put(files, kind, *rest)
        )
    EnvoyTraffic(
        folder=Path(folder) / "proxy",
        run_dir=Path(folder) / "run",
        listen=("127.0.0.1", int(port)),
        health_path="/health",
        supervisor=None,
        clock=SystemClock(),
    ).route(Route(Arm(release, (Path(path),)), None, 2))
