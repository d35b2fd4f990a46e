"""How long one log line takes to redact, in microseconds: `python bench/redact.py [SECONDS]`."""

import sys
import time
from collections.abc import Callable

from guarded_rollout.core.redact import redact

LINES = {
    "plain": "[2026-11-21 12:00:02] [INFO] Extraction failure rate: 2.1% (avg: 2.1%)",
    "json": '{"timestamp":"2026-11-21T12:00:00.123Z","level":"INFO","message":"request done",'
    '"service":"dhash","version":"1.2.0","environment":"production","status":200,"ms":12.4,'
    '"request_id":"550e8400-e29b-41d4-a716-446655440000"}',
    "url": "GET http://127.0.0.1:8080/health answered 200 in 4.2 ms",
    "secret": "connected to postgresql://dhash:hunter2@db.example.com:5432/x as al@example.com",
}


def microseconds(call: Callable[[str], str], line: str, seconds: float) -> float:
    """The best of five rounds, so that a busy neighbour does not count."""
    rounds = max(1, int(seconds * 20000))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(rounds):
            call(line)
        best = min(best, (time.perf_counter() - start) / rounds)
    return best * 1e6


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for name, line in LINES.items():
        spent = microseconds(redact, line, seconds)
        print(f"{name:8} {len(line):4} characters  {spent:6.2f} us")
    page = "\n".join(LINES["json"] for _ in range(1000))
    print(f"1000 lines at once: {microseconds(redact, page, 0.001) / 1000:.2f} us per line")


if __name__ == "__main__":
    main()
