"""Real servers that notices are sent to: HTTP and HTTPS that misbehave on request, and SMTP."""

import asyncio
import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
import warnings
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

AUTHORITY = trustme.CA()
USER, PASSWORD = "alerts", "pa55-of-the-tests"


@dataclass
class Hook:
    """A webhook's server on 127.0.0.1. `plan`: what it does with each request, in turn; then 200.

    A number is a status; `(status, headers, body)`; "drop" closes without reading; "reset" reads
    all and resets; "slow" reads all and answers when `freed` is set; "half" breaks off its answer.
    """

    plan: list = field(default_factory=list)
    got: list = field(default_factory=list)
    headers: list = field(default_factory=list)
    freed: threading.Event = field(default_factory=threading.Event)
    scheme: str = "http"
    port: int = 0

    def url(self, path="/services/T000/B000/verysecretpath"):
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    @property
    def keys(self):
        """The dedupe keys that arrived, in their order."""
        return [header["Idempotency-Key"] for header in self.headers]


@contextlib.contextmanager
def hook(*plan, certificate=None):
    """A server that follows the plan. `certificate`: HTTPS with it."""
    ours = Hook(list(plan))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            if ours.plan[:1] == ["drop"]:
                ours.plan.pop(0)
                self._reset()
                return
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # whoever sent it died
                return
            step = ours.plan.pop(0) if ours.plan else 200
            ours.got.append(json.loads(body))
            ours.headers.append(dict(self.headers))
            if step == "reset":
                self._reset()
                return
            if step == "slow":
                ours.freed.wait(30)
                step = 200
            if step == "half":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhal")
                self._reset()
                return
            status, headers, text = step if isinstance(step, tuple) else (step, {}, "")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(text.encode())

        def _reset(self):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

        def finish(self):
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

        def shutdown_request(self, request):
            with contextlib.suppress(OSError):
                super().shutdown_request(request)

    with Quiet(("127.0.0.1", 0), Handler) as server:
        ours.port = server.server_address[1]
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            ours.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield ours
        finally:
            ours.freed.set()
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def proxy(to, *, refuses=False):
    """A proxy that leads every CONNECT to the port `to`. Yields (its port, what it was asked)."""
    asked = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while (line := self.rfile.readline()).strip():
                asked.append(line.decode().strip())
            if refuses:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", to)) as onward:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self._pump, args=(onward, self.connection))
                back.start()
                self._pump(self.connection, onward)
                back.join()

        @staticmethod
        def _pump(source, sink):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


@dataclass
class Mailbox:
    """What a mail server took. `answers`: to the end of each message, in turn; then 250."""

    letters: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    refused: set = field(default_factory=set)
    port: int = 0

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd's
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, _session, envelope):  # noqa: N802 - aiosmtpd's
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer == "take and drop":
            self.letters.append(envelope)
            server.transport.abort()
            return "250 taken"
        if answer.startswith("250"):
            self.letters.append(envelope)
        return answer


@contextlib.contextmanager
def mail_server(*answers, security="starttls", certificate=None):
    """A mail server that wants a login over TLS."""
    box = Mailbox(answers=list(answers))
    context = None
    if security != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (certificate or AUTHORITY.issue_cert("localhost", "127.0.0.1")).configure_cert(context)

    def login(_server, _session, _envelope, _mechanism, data):
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right)

    def session():
        with warnings.catch_warnings():
            # It warns of a login without TLS: it does not see the TLS around it.
            warnings.simplefilter("ignore")
            return talk()

    def talk():
        return SMTP(
            box,
            authenticator=login,
            auth_required=security != "none",
            auth_require_tls=security != "tls",
            require_starttls=security == "starttls",
            tls_context=context if security == "starttls" else None,
        )

    loop = asyncio.new_event_loop()
    outer = context if security == "tls" else None
    server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0, ssl=outer))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        asyncio.run_coroutine_threadsafe(_closed(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _closed(server):
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
