"""Secrets and personal data out of text, before it is logged, sent, journalled or shown.

One pattern per kind of secret. A cheap look decides which patterns are worth trying, because
nearly every log line has nothing to hide. Digests, UUIDs, versions and timestamps stay as they are.
Free prose such as "the password is x" is not understood: a name, a sign and a value are needed.
"""

import re
from typing import Any

MARK = "[redacted]"

_NAME = (
    r"(?:passwords?|passwd|passphrase|(?<![a-z])(?:pwd|ssn|cvv|cvc)|secrets?|token|credentials?"
    r"|social[_ -]?security(?:[_ -]?number)?|card[_ -]?number|webhook(?:[_-]?url)?|authorization"
    r"|(?:api|access|secret|private|signing|encryption|account|master|license)[_ -]?key"
    r"|(?<![a-z])(?:set-)?cookie)"
)
_NAME_ALONE = re.compile(_NAME + r"$", re.IGNORECASE)
_QUOTED = (
    r"\\\"[^\n]*?(?<!\\)(?:\\\"|$)|\"(?:[^\"\\\n]|\\.)*(?:\"|\\?$)|'(?:[^'\\\n]|\\.)*(?:'|\\?$)"
)
_BARE = (
    r"(?:\[redacted\]|[^\s,;&\"'<>{}\]\\]|\\(?![\"'\\nrt])|\](?![\s,;\"']|$)"
    r"|[,;&](?!\s|$|[\w. -]{1,40}[=:]))+"
)
_PAIR = re.compile(
    rf"({_NAME}\\?[\"']?\s*(?:=>|[:=])\s*(?:(?:Bearer|Basic|Digest|Token)\s+)?)"
    rf"(?!\\?[\"']?\[redacted\])(?:{_QUOTED}|\{{[^{{}}\n\"]*\}}|{_BARE})",
    re.IGNORECASE | re.MULTILINE,
)
_COOKIE = re.compile(r"((?<![a-z])(?:set-)?cookie\s*:\s*)(?!\[redacted\])[^\n\"']+", re.IGNORECASE)
_FLAG = re.compile(
    rf"((?<![\w-])--?[\w-]{{0,40}}?{_NAME}\s+|(?:password|secret|token)\s+(?=[\"']))"
    rf"(?![\"']?\[redacted\]|[-=:])(?:{_QUOTED}|[^\s\"']\S*)",
    re.IGNORECASE | re.MULTILINE,
)
_BEARER = re.compile(
    r"\b((?:bearer|basic)\s+)((?=[a-z+/_~.-]*[0-9=])[\w.~+/-]{6,}=*|[\w.~+/-]{16,}=*)",
    re.IGNORECASE,
)
_JWT = re.compile(r"eyJ[\w-]{5,500}\.[\w-]{5,}(?:\.[\w-]*)?")
_VENDOR = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[oprsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|xox[abeprs]-[\w-]{8,}"
    r"|[rs]k[-_](?=[\w-]{0,200}[0-9])(?:(?:live|test|proj|ant)[-_])?[A-Za-z0-9][\w-]{15,}"
    r"|A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{30,}|npm_\w{20,}|pypi-[\w-]{20,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|hvs\.[\w-]{16,}|ya29\.[\w-]{16,})"
)
_PRIVATE = re.compile(
    r"-----BEGIN ([A-Z ]{0,30}PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
)
_PASSWORD_IN_URL = re.compile(
    r"((?:https?://[^\s:/@\"'<>]*:(?![0-9]{1,5}(?:[/\s]|$))"  # a web address with a port
    r"|(?<!http)(?<!https)://[^\s:/@\"'<>]*:))"
    r"(?!\[redacted\]@)(?:(?!://)[^\s\"'<>])+@",
    re.IGNORECASE,
)
_WEBHOOK = re.compile(
    r"(https?://(?:[^\s/@\"'<>]*@)?"
    r"(?:hooks\.[\w.-]+|[\w.-]*webhook\.office\.com|[\w.-]+\.logic\.azure\.com"
    r"|chat\.googleapis\.com"
    r"|[\w.-]+(?::[0-9]+)?(?=/[^\s\"'<>\\?#]{0,200}?webhooks?[\w-]{0,30}/))(?::[0-9]+)?/)"
    r"(?!\[redacted\])[^\s\"'<>\\]+",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"([?&](?:key|sig|signature|x-amz-signature|x-amz-credential|code|auth)=)"
    r"(?!\[redacted\])[^\s&#\"'<>]+",
    re.IGNORECASE,
)
_CARD = re.compile(
    r"(?<![A-Za-z0-9])(?<![0-9][.-])(?<![0-9a-fA-F]{4}-)"
    r"(?:[3-6][0-9]{12,18}|2[2-7][0-9]{14}"
    r"|[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{3})?"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5})"
    r"(?![A-Za-z0-9])(?!\.[0-9])(?!-[0-9a-fA-F]{4})"
)
_SSN = re.compile(
    r"(?<![A-Za-z0-9])(?<![0-9]-)(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}"
    r"(?![A-Za-z0-9])(?!-[0-9])"
)
_SSN_NAMED = re.compile(
    r"((?<![a-z])ssn\W{1,3}|social security(?: number)?\W{1,3})[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(://)?[\w.%+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*?\.[^\W\d_]{2,24}")

_NAME_SIGNS = (
    "pass", "pwd", "secret", "token", "key", "credential", "authorization", "cookie",
    "webhook", "ssn", "cvv", "cvc", "bearer", "basic ", "social", "card",
)  # fmt: skip
_VENDOR_SIGNS = (
    "ghp_", "gho_", "ghr_", "ghs_", "ghu_", "github_pat_", "glpat-", "xox", "sk-", "sk_", "rk_",
    "rk-", "AKIA", "ASIA", "AIza", "npm_", "pypi-", "SG.", "hvs.", "ya29.",
)  # fmt: skip
_DIGIT_SIGNS = re.compile(
    r"[0-9][0-9][0-9]"
    r"(?:[0-9]{10}|[0-9][ -](?:[0-9]{4}[ -][0-9]{4}|[0-9]{6}[ -])|-[0-9][0-9]-[0-9]{4})"
)
_KEEP_NAME = rf"\g<1>{MARK}"


def redact(text: str) -> str:
    """The text with every secret replaced by `[redacted]`. Redacting twice changes nothing."""
    if "://" in text:
        text = _urls(text)
    if "PRIVATE KEY-----" in text:
        text = _PRIVATE.sub(MARK, text)
    if _any(_NAME_SIGNS, text.lower()):
        text = _SSN_NAMED.sub(_KEEP_NAME, text)
        text = _COOKIE.sub(_KEEP_NAME, text)
        text = _PAIR.sub(_hide_pair, text)
        text = _FLAG.sub(_KEEP_NAME, text)
        text = _BEARER.sub(_KEEP_NAME, text)
    if "eyJ" in text:
        text = _JWT.sub(MARK, text)
    if _any(_VENDOR_SIGNS, text):
        text = _VENDOR.sub(MARK, text)
    if "@" in text:
        text = _EMAIL.sub(lambda found: found[0] if found[1] else MARK, text)
    if _DIGIT_SIGNS.search(text):
        text = _SSN.sub(MARK, text)
        text = _CARD.sub(lambda found: MARK if _luhn(found[0]) else found[0], text)
    return text


def redact_value(value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same shape out
    """A JSON value of any depth, redacted: names of keys count, so `{"token": "x"}` is hidden."""
    return _value(value, secret=False)


def _value(value: Any, *, secret: bool) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        hidden: dict[Any, Any] = {}
        for key, member in value.items():
            inner = secret or (isinstance(key, str) and _NAME_ALONE.search(key) is not None)
            hidden[_fresh(key, hidden)] = _value(member, secret=inner)
        return hidden
    if isinstance(value, (list, tuple)):
        return type(value)([_value(member, secret=secret) for member in value])
    if value is None or isinstance(value, bool):
        return value
    return MARK if secret else _scalar(value)


def _scalar(value: Any) -> Any:  # noqa: ANN401 - text or a number
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, int) and redact(str(value)) != str(value):
        return MARK
    return value


def _fresh(key: Any, taken: dict[Any, Any]) -> Any:  # noqa: ANN401 - any JSON key
    """The key, redacted, and still different from its neighbours."""
    shown = redact(key) if isinstance(key, str) else key
    number = 2
    fresh = shown
    while fresh in taken:
        fresh = f"{shown} {number}"
        number += 1
    return fresh


def _any(signs: tuple[str, ...], text: str) -> bool:
    for sign in signs:  # noqa: SIM110 - a generator would cost more than the search
        if sign in text:
            return True
    return False


def _urls(text: str) -> str:
    text = _PASSWORD_IN_URL.sub(rf"\g<1>{MARK}@", text)
    text = _WEBHOOK.sub(_KEEP_NAME, text)
    return _QUERY.sub(_KEEP_NAME, text) if "=" in text else text


def _hide_pair(found: re.Match[str]) -> str:
    """Keep the value's quotes, so that JSON stays JSON."""
    value = found[0][len(found[1]) :]
    for quote in ('\\"', '"', "'"):
        if value.startswith(quote):
            return f"{found[1]}{quote}{MARK}{quote}"
    return f"{found[1]}{MARK}"


def _luhn(text: str) -> bool:
    digits = [int(digit) for digit in text if digit.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
