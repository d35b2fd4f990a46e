"""How the proxy tells visitors from each other: users by their sticky keys, testers by a pin."""

import re
from dataclasses import dataclass

from guarded_rollout.adapters.envoy.frame import Resource
from guarded_rollout.core.problems import BadInput

# Without underscores: the listener refuses requests that have such headers.
_HEADER = re.compile(r"(?!x-envoy-)[A-Za-z0-9-]+", re.IGNORECASE)
_COOKIE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Key:
    """Where a user's name stands. `kind`: `header` or `cookie`."""

    kind: str
    name: str

    def policy(self) -> Resource:
        """As Envoy hashes it. A request without it has no hash by this key."""
        if self.kind == "header":
            return {"header": {"header_name": self.name}}
        return {"cookie": {"name": self.name}}


@dataclass(frozen=True, slots=True)
class Visitors:
    """`keys`: the first that a request has counts. `pin`: the header or cookie of testers."""

    keys: tuple[Key, ...] = ()
    pin: str | None = None


def visitors(sticky: tuple[str, ...], pin: str | None) -> Visitors:
    """From the settings, such as `("header:x-user-id", "cookie:session")` and `x-rollout-arm`.

    Raises BadInput for what no request can have.
    """
    if pin is not None and not _HEADER.fullmatch(pin):
        raise BadInput(
            f"pin: {pin!r} cannot be the name of a header here",
            "use letters, digits and dashes, not beginning with x-envoy-",
        )
    return Visitors(tuple(_key(text) for text in sticky), pin)


def _key(text: str) -> Key:
    kind, _, name = text.partition(":")
    allowed = {"header": _HEADER, "cookie": _COOKIE}.get(kind)
    if allowed is None or not allowed.fullmatch(name):
        raise BadInput(
            f"sticky: {text!r} names no header and no cookie",
            "write header:NAME, with letters, digits and dashes, or cookie:NAME",
        )
    return Key(kind, name)
