"""What came of one attempt to send, and the attempt's end that a slow server cannot put off."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Came(StrEnum):
    """What is known about one attempt."""

    DELIVERED = "delivered"
    LATER = "later"
    """It did not arrive; another attempt may."""
    REFUSED = "refused"
    """It did not arrive, and will not."""
    UNSURE = "unsure"
    """It was sent, and nobody said whether it arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason`: without secrets. `wait`: seconds that the service asks for."""

    came: Came
    reason: str = ""
    wait: float | None = None


class Abandoned(Exception):  # noqa: N818 - it names what happened
    """Nobody waits for this attempt any more."""


class Attempt:
    """Tells what was sent from what was not, also when the sender is given up on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = False
        self._abandoned = False

    def sending(self) -> None:
        """From here on the message may arrive. Raises Abandoned when it must not any more."""
        with self._lock:
            if self._abandoned:
                raise Abandoned
            self._sent = True

    @property
    def sent(self) -> bool:
        """Whether it may have arrived."""
        return self._sent

    def abandon(self) -> bool:
        """Give up waiting. True: it may have arrived, or still may."""
        with self._lock:
            self._abandoned = True
            return self._sent


def in_time(send: Callable[[Attempt], Answer], seconds: float) -> Answer:
    """What `send` says within the time, however slowly names are looked up or answers trickle."""
    attempt = Attempt()
    said: list[Answer] = []

    def run() -> None:
        try:
            said.append(send(attempt))
        except Abandoned:
            return
        except Exception as error:  # noqa: BLE001 - a sender's defect must not lose the notice
            came = Came.UNSURE if attempt.sent else Came.REFUSED
            said.append(Answer(came, f"unexpected {type(error).__name__}"))

    thread = threading.Thread(target=run, name="notice", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        late = attempt.abandon()
        reason = f"no answer within {seconds:g} s"
        return said[0] if said else Answer(Came.UNSURE if late else Came.LATER, reason)
    return said[0]
