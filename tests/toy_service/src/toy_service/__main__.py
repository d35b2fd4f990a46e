"""HTTP on a unix socket with nothing but the standard library.

    python -m toy_service --uds PATH

GET /health, /version, /metrics, /slow (answers after TOY_SLOW_SECONDS). TOY_HEALTH sets the status
of /health. SIGTERM: finish what was begun, then end with code 0.
"""

import argparse
import contextlib
import os
import signal
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from toy_service import __version__

METRICS = """\
# HELP toy_requests_total Requests by outcome.
# TYPE toy_requests_total counter
toy_requests_total{{status="ok"}} {ok}
toy_requests_total{{status="error"}} 0
# TYPE toy_request_seconds histogram
toy_request_seconds_bucket{{le="0.1"}} {ok}
toy_request_seconds_bucket{{le="1.0"}} {ok}
toy_request_seconds_bucket{{le="+Inf"}} {ok}
toy_request_seconds_sum 0.0
toy_request_seconds_count {ok}
# TYPE toy_queue gauge
toy_queue 0
"""

served = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global served  # noqa: PLW0603 - one counter in one small program
        served += 1
        match self.path:
            case "/health":
                self.answer(int(os.environ.get("TOY_HEALTH", "200")), "ok\n")
            case "/version":
                self.answer(200, f"{__version__}\n")
            case "/metrics":
                self.answer(200, METRICS.format(ok=served))
            case "/slow":
                time.sleep(float(os.environ.get("TOY_SLOW_SECONDS", "1")))  # noqa: TID251 - no port
                self.answer(200, "slept\n")
            case _:
                self.answer(404, "no such page\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(prog="toy_service")
    parser.add_argument("--uds", required=True)
    uds = Path(parser.parse_args().uds)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    with Server(str(uds), Handler) as server:  # leaving waits for the requests that were begun
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        print("serving", uds, flush=True)  # noqa: T201 - its log
        told.wait()
        server.shutdown()
    with contextlib.suppress(FileNotFoundError):
        uds.unlink()
    print("bye", flush=True)  # noqa: T201 - its log


if __name__ == "__main__":
    main()
