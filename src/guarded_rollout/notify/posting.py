"""One HTTPS request: certificates checked, no redirect followed, never an address in a message."""

import contextlib
import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from guarded_rollout.core.hosts import loopback
from guarded_rollout.notify.answers import Answer, Attempt, Came
from guarded_rollout.notify.text import hide

AGENT = "guarded-rollout"

_READ_AT_MOST = 16 * 1024
_LATER = frozenset({408, 425, 429, 500, 503})
_UNSURE = frozenset({502, 504})
_TROUBLE = (OSError, http.client.HTTPException)


class Unusable(Exception):  # noqa: N818 - it names what the address is
    """The address cannot be used. The text does not show it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `secrets`: what must not be in any answer that is shown, besides the address.

    `at_most`: so many bytes of the answer are read. What is no GET may change something.
    """

    url: str
    body: bytes
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    method: str = "POST"
    at_most: int = _READ_AT_MOST


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered. `said`: its beginning, to be shown; `body` may have secrets."""

    where: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    said: str


def checked(url: str) -> SplitResult:
    """The address in parts. Raises Unusable."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise Unusable("is no address") from None
    host = parts.hostname
    if parts.scheme not in {"https", "http"} or not host or not url.isascii():
        raise Unusable("is no https:// address")
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise Unusable("is no https:// address")
    if parts.username is not None or parts.password is not None:
        raise Unusable("contains a user or a password")
    if parts.scheme == "http" and not loopback(host):
        raise Unusable("is http://; only https:// is used, http:// on this machine alone")
    return parts


def post(request: Request, attempt: Attempt, seconds: float, now: float) -> Answer:
    """Send it once. `now`: Unix seconds, for a Retry-After that is a date. Raises nothing."""
    reply = exchange(request, attempt, seconds)
    return reply if isinstance(reply, Answer) else _answer(reply, now)


def exchange(request: Request, attempt: Attempt, seconds: float) -> Reply | Answer:
    """Send it once. An Answer says why there is no reply. Raises nothing but Abandoned."""
    try:
        parts = checked(request.url)
    except Unusable as unusable:
        return Answer(Came.REFUSED, f"the address {unusable}")
    where = parts.hostname or ""
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    # A service may repeat a piece of the address; short pieces such as "v2" tell nothing.
    pieces = (request.url, target, parts.path, parts.query, *parts.path.split("/"))
    secrets = (*(piece for piece in pieces if len(piece) > 7), *request.secrets)
    connection = _connection(parts, seconds)
    with contextlib.closing(connection):
        try:
            connection.connect()
            if request.method != "GET":
                attempt.sending()
            connection.request(request.method, target, request.body or None, dict(request.headers))
            response = connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            reason = f"the certificate of {where} is not trusted: {error.verify_message}"
            return Answer(Came.REFUSED, hide(reason, secrets))
        except ValueError:
            return Answer(Came.REFUSED, "the request cannot be written")
        except _TROUBLE as error:
            came = Came.UNSURE if attempt.sent else Came.LATER
            return Answer(came, hide(f"{where}: {_words(error, sent=attempt.sent)}", secrets))
        body = b""
        with contextlib.suppress(*_TROUBLE):
            body = response.read(request.at_most)
        said = hide(body[:_READ_AT_MOST].decode("utf-8", "replace"), secrets)
        return Reply(where, response.status, response.headers, body, said)


def retry_after(reply: Reply, now: float) -> float | None:
    """Seconds that the server asks for; None: it does not say."""
    return _seconds(reply.headers.get("Retry-After"), now)


def _answer(reply: Reply, now: float) -> Answer:
    where, status, said = reply.where, reply.status, reply.said
    wait = retry_after(reply, now)
    if 200 <= status < 300:
        # Old Teams connectors answer 200 and say in the body that they did not deliver.
        if said.startswith("Webhook message delivery failed"):
            return Answer(Came.LATER, f"{where}: {said}", wait)
        return Answer(Came.DELIVERED)
    if 300 <= status < 400:
        return Answer(Came.REFUSED, f"{where} answered {status}: redirects are not followed")
    reason = f"{where} answered {status}{f': {said}' if said else ''}"
    if status in _UNSURE:
        return Answer(Came.UNSURE, reason, wait)
    return Answer(Came.LATER if status in _LATER else Came.REFUSED, reason, wait)


def _connection(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    context = ssl.create_default_context()
    proxy = getproxies_environment().get("https")
    if proxy and not proxy_bypass(host) and not loopback(host):
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        tunnel = http.client.HTTPSConnection(
            through.hostname or "", through.port or 80, timeout=seconds, context=context
        )
        tunnel.set_tunnel(host, port or 443)
        return tunnel
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)


def _seconds(header: str | None, now: float) -> float | None:
    """Retry-After: seconds, or a date. None: not said, or not understood."""
    if not header:
        return None
    try:
        return max(0.0, min(float(header), 1e9))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _words(error: Exception, *, sent: bool) -> str:
    """What went wrong, without what the error's own text might show."""
    if isinstance(error, TimeoutError):
        return "no answer in time" if sent else "cannot be reached in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if sent and isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return "the connection was closed without an answer"
    if str(error).startswith("Tunnel connection failed"):
        return "the proxy refused to connect"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else ""
