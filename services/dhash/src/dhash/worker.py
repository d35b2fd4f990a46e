"""One process that answers requests."""

import logging
import os
import signal
import socket
import sys
import threading

import uvicorn

from dhash.app import build_app
from dhash.clock import pause
from dhash.listener import BACKLOG
from dhash.memory import keep_freed_memory
from dhash.service import Service
from dhash.settings import Settings

KEEP_ALIVE_S = 5
DRAIN_LIMIT_S = 30
"""How long requests in flight may take after SIGTERM before they are cut off."""


def run_worker(
    settings: Settings, bound: socket.socket, *, root_pid: int = 0, life_line: int | None = None
) -> None:
    """Serve until SIGTERM, then finish what is in flight.

    `life_line` is a pipe that ends when the supervisor does.
    """
    keep_freed_memory()
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(Service.build(settings, root_pid)),
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_LIMIT_S,
        )
    )
    # uvicorn raises the signal again when it is done; this handler makes that end with code 0,
    # and a signal that comes before uvicorn listens for it is not lost.
    signal.signal(signal.SIGTERM, server.handle_exit)
    signal.signal(signal.SIGINT, server.handle_exit)
    if life_line is not None:
        threading.Thread(target=_end_with, args=(life_line,), daemon=True).start()
    server.run(sockets=[bound])
    if not server.started:
        raise RuntimeError("The server did not start.")


def leave(code: int) -> None:
    """End this process now; a thread stuck in a decoder must not keep it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with(life_line: int) -> None:
    """Nobody may keep the socket when the supervisor is gone."""
    os.read(life_line, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    pause(DRAIN_LIMIT_S + 5)
    os._exit(1)
