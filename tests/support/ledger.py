"""A ledger outside the system: writers that send entries, and note down each acknowledged one."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from typing import Self

DEADLINE = 120.0


class Ledger:
    """Writes through the proxy until it is stopped; every entry has a name of its own.

    `acknowledged`: answered with 201, by the version that answered. `unanswered`: got another
    status, or none: such an entry may be there or not. `refused`: the statuses, "broken" for none.
    """

    def __init__(self, port: int, name: str, *, writers: int = 2, pause: float = 0.02) -> None:
        self._port, self.name, self._pause = port, name, pause
        self._stop, self._guard = threading.Event(), threading.Lock()
        self.acknowledged: dict[str, str] = {}
        self.unanswered: set[str] = set()
        self.refused: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), daemon=True)
            for number in range(writers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End; what is in flight is waited for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a writer does not end"

    def more(self, version: str, count: int = 20) -> None:
        """Wait until so many more are acknowledged by this version."""
        wanted = self.count(version) + count
        deadline = time.monotonic() + DEADLINE
        while self.count(version) < wanted:
            assert time.monotonic() < deadline, f"{version} acknowledges nothing: {self.refused}"
            time.sleep(0.02)

    def count(self, version: str) -> int:
        """How many this version acknowledged."""
        with self._guard:
            return sum(by == version for by in self.acknowledged.values())

    def by(self, version: str) -> set[str]:
        """Those that this version acknowledged."""
        with self._guard:
            return {ref for ref, by in self.acknowledged.items() if by == version}

    def _write(self, writer: int) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            ref = f"{self.name}-{writer}-{number:06}"
            status, version = self._send(ref)
            with self._guard:
                if status == "201":
                    self.acknowledged[ref] = version
                else:
                    self.unanswered.add(ref)
                    self.refused[status] += 1
            time.sleep(self._pause)

    def _send(self, ref: str) -> tuple[str, str]:
        entry = {"ref": ref, "note": f"written as {ref}", "pages": 5}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/entries", json.dumps(entry))
            answer = connection.getresponse()
            body = answer.read()
            version = json.loads(body)["version"] if answer.status == 201 else ""
        except (OSError, http.client.HTTPException):
            return "broken", ""
        finally:
            connection.close()
        return str(answer.status), version
