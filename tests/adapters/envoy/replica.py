"""A small HTTP server on a unix socket: `replica.py SOCKET RELEASE`. Answers its release's name.

/health             200, or 503 while SOCKET.sick exists
/status/N           status N
/slow/SECONDS       after so long
/hold/FILE          once FILE exists beside the socket
/length             the length of the body it got
/headers            the request's headers, one per line
"""

import http.server
import socket
import socketserver
import sys
import time
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps a connection for five idle seconds, like uvicorn. An answer is written in one piece:
    one that has begun when its server is killed is lost, whatever a proxy does.
    """

    protocol_version = "HTTP/1.1"
    server_version = "replica"
    sys_version = ""
    timeout = 5
    wbufsize = -1
    release = ""
    sick = Path()

    def do_GET(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        words = self.path.split("/")
        status, text = 200, self.release
        if self.path == "/health":
            status = 503 if self.sick.exists() else 200
        elif words[1] == "status":
            status = int(words[2])
        elif words[1] == "slow":
            time.sleep(float(words[2]))  # noqa: TID251 - a server that takes its time
        elif words[1] == "hold":
            while not self.sick.with_name(words[2]).exists():
                time.sleep(0.01)  # noqa: TID251 - until the test says so
        elif words[1] == "length":
            text = str(len(body))
        elif words[1] == "headers":
            text = str(self.headers)
        answer = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_):
        """Quiet."""

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 1024

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)

    def handle_error(self, *_):
        """The client hung up."""


if __name__ == "__main__":
    path, Handler.release = sys.argv[1:]
    Handler.sick = Path(f"{path}.sick")
    Path(path).unlink(missing_ok=True)
    assert socket.AF_UNIX
    with Server(path, Handler) as server:
        server.serve_forever(poll_interval=60)
