"""E-mail by SMTP with TLS and login. Settings are variables: SMTP_HOST, SMTP_PORT and so on."""

import contextlib
import re
import smtplib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from guarded_rollout.core.hosts import loopback
from guarded_rollout.core.notice import Channel, Notice
from guarded_rollout.core.shown_text import one_line
from guarded_rollout.notify.answers import Answer, Attempt, Came
from guarded_rollout.notify.message import Payload
from guarded_rollout.notify.text import hide
from guarded_rollout.notify.variables import Environ, Missing, address, word

PORTS = {"starttls": 587, "tls": 465, "none": 25}

_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]\x00-\x1f]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Postman:
    """Who sends to whom, through which server. `user` empty: no login."""

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str
    to: tuple[str, ...]


def postman(channel: Channel, environ: Environ) -> Postman:
    """The settings. Raises Missing with what to set."""
    host = address(channel, environ).value
    security = word("SMTP_SECURITY", environ, "starttls").lower()
    if security not in PORTS:
        raise Missing(f"SMTP_SECURITY must be one of {', '.join(PORTS)}")
    if security == "none" and not loopback(host):
        raise Missing("SMTP_SECURITY is none, which is for a server on this machine only")
    port = word("SMTP_PORT", environ, str(PORTS[security]))
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise Missing("SMTP_PORT is no port")
    user = word("SMTP_USER", environ)
    password = word("SMTP_PASSWORD", environ)
    if bool(user) != bool(password):
        raise Missing("SMTP_USER and SMTP_PASSWORD belong together: one of them is not set")
    to = channel.to or tuple(filter(None, re.split(r"[,\s]+", word("EMAIL_TO", environ))))
    sender = word("EMAIL_FROM", environ) or (user if _ADDRESS.fullmatch(user) else "")
    for name, addresses in (("EMAIL_TO", to), ("EMAIL_FROM", (sender,) if sender else ())):
        if not addresses:
            raise Missing(f"{name} is not set")
        if not all(map(_ADDRESS.fullmatch, addresses)):
            raise Missing(f"{name} is no list of plain e-mail addresses")
    return Postman(host, int(port), security, user, password, sender, to)


def letter(payload: Payload, notice: Notice, by: Postman) -> bytes:
    """The message as it is sent. The Message-ID is the notice's key: mail servers drop seconds."""
    domain = by.sender.partition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["Subject"] = one_line(str(payload["subject"]), 400)
    message["From"] = by.sender
    message["To"] = ", ".join(by.to)
    message["Date"] = format_datetime(datetime.fromtimestamp(notice.at, UTC))
    message["Message-ID"] = f"<notice.{notice.key}@{domain}>"
    if notice.rollout:
        thread = re.sub(r"[^A-Za-z0-9._-]", "-", notice.rollout)
        message["References"] = f"<rollout.{thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(str(payload["body"]), cte="quoted-printable")
    return message.as_bytes()


def send_mail(data: bytes, by: Postman, attempt: Attempt, seconds: float) -> Answer:
    """Send it once. Raises nothing but Abandoned."""
    secrets = (by.password, by.user)
    try:
        with contextlib.closing(_connect(by, seconds)) as server:
            return _hand_over(server, data, by, attempt)
    except ssl.SSLCertVerificationError as error:
        reason = f"the certificate of {by.host} is not trusted: {error.verify_message}"
        return Answer(Came.REFUSED, hide(reason, secrets))
    except smtplib.SMTPResponseException as error:
        said = (
            hide(bytes(error.smtp_error).decode("utf-8", "replace"), secrets)
            if isinstance(error.smtp_error, bytes)
            else ""
        )
        return _said(by, error.smtp_code, said)
    except smtplib.SMTPNotSupportedError:
        what = "STARTTLS" if by.security == "starttls" else "login"
        return Answer(Came.REFUSED, f"{by.host} does not offer {what}")
    except (OSError, smtplib.SMTPException) as error:
        came = Came.UNSURE if attempt.sent else Came.LATER
        words = getattr(error, "strerror", None) or type(error).__name__
        return Answer(came, hide(f"{by.host}: {words}", secrets))


def _connect(by: Postman, seconds: float) -> smtplib.SMTP:
    context = ssl.create_default_context()
    server: smtplib.SMTP
    if by.security == "tls":
        server = smtplib.SMTP_SSL(by.host, by.port, timeout=seconds, context=context)
    else:
        server = smtplib.SMTP(by.host, by.port, timeout=seconds)
    try:
        if by.security == "starttls":
            server.starttls(context=context)
        if by.user:
            server.login(by.user, by.password)
    except BaseException:
        server.close()
        raise
    return server


def _hand_over(server: smtplib.SMTP, data: bytes, by: Postman, attempt: Attempt) -> Answer:
    server.ehlo_or_helo_if_needed()
    code, said = server.mail(by.sender)
    if code != 250:
        return _said(by, code, said.decode("utf-8", "replace"))
    refused = [reply for reply in map(server.rcpt, by.to) if reply[0] not in {250, 251}]
    if len(refused) == len(by.to):
        return _said(by, refused[0][0], refused[0][1].decode("utf-8", "replace"))
    attempt.sending()
    code, said = server.data(data)
    if code != 250:
        return _said(by, code, said.decode("utf-8", "replace"))
    with contextlib.suppress(OSError, smtplib.SMTPException):
        server.quit()
    if refused:
        reason = f"{by.host} refused {len(refused)} of {len(by.to)} recipients"
        return Answer(Came.DELIVERED, reason)
    return Answer(Came.DELIVERED)


def _said(by: Postman, code: int, said: str) -> Answer:
    came = Came.LATER if 400 <= code < 500 else Came.REFUSED
    return Answer(came, hide(f"{by.host} answered {code}: {said}", (by.password, by.user)))
