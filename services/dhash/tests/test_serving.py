import asyncio
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dhash.clock import pause
from dhash.errors import UnreadableError
from dhash.pdf_readers import PdfReaders


def children(pid):
    folders = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in folders for child in (task / "children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start_upload(server, content):
    """A connection that has sent all but the last byte of an upload."""
    wire = socket.socket(socket.AF_UNIX)
    wire.settimeout(20)
    wire.connect(str(server.uds))
    head = "POST /api/dhash/extract HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    wire.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:-1])
    return wire


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_finishes_what_is_in_flight(serve, sqlite_url, draw, wait_until, workers):
    server = serve(sqlite_url, workers=workers)
    content = draw(1)
    with start_upload(server, content) as wire:
        pause(0.3)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(server.uds))
        assert server.process.poll() is None
        wire.sendall(content[-1:])
        assert b"200 OK" in wire.recv(65536)
    assert server.stop() == 0
    assert not server.uds.exists()


def refuses(uds):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(uds)) != 0


def test_one_worker_is_one_process(serve, sqlite_url):
    server = serve(sqlite_url, DHASH_PDF_CHILDREN="1")
    found = children(server.process.pid)
    assert len(found) == 1
    assert b"dhash.pdf_child" in Path(f"/proc/{found[0]}/cmdline").read_bytes()


def test_the_socket_belongs_to_its_owner_only(serve, sqlite_url):
    server = serve(sqlite_url)
    assert stat.S_IMODE(server.uds.stat().st_mode) == 0o600


def test_a_stale_socket_is_replaced_and_a_live_one_respected(serve, sqlite_url, tmp_path):
    first = serve(sqlite_url, folder=tmp_path)
    second = subprocess.run(
        [sys.executable, "-m", "dhash", "serve", "--uds", str(first.uds)],
        env={**os.environ, "DHASH_DATABASE_URL": sqlite_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "listening" in second.stderr
    assert first.get("/health").status_code == 200
    first.stop(signal.SIGKILL)
    assert first.uds.exists()
    assert serve(sqlite_url, folder=tmp_path).get("/health").status_code == 200
    other = tmp_path / "file"
    other.write_text("kept")
    refused = subprocess.run(
        [sys.executable, "-m", "dhash", "serve", "--uds", str(other)],
        env={**os.environ, "DHASH_DATABASE_URL": sqlite_url},
        check=False,
        capture_output=True,
    )
    assert refused.returncode == 2
    assert other.read_text() == "kept"


def test_workers_count_together_and_a_dead_one_is_replaced(serve, sqlite_url, draw, wait_until):
    server = serve(sqlite_url, workers=2)

    def send(count):
        threads = [
            threading.Thread(target=lambda number=number: server.extract(draw(number % 5)))
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    name = 'dhash_extractions_total{result="ok"}'
    send(20)
    assert server.metric(name) == 20
    assert server.metric("dhash_hash_seconds_count") == 20
    cpu = server.metric("process_cpu_seconds_total")
    workers = children(server.process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(set(children(server.process.pid)) - set(workers)) == 1)
    wait_until(lambda: server.events("worker_died"))
    send(10)
    # However the requests fall on the workers, each of them tells the same sum.
    assert {server.metric(name) for _ in range(10)} == {30}
    assert server.get("/metrics/dhash").json()["extractions_ok_total"] == 30
    assert server.metric("process_cpu_seconds_total") >= cpu


def test_no_worker_outlives_its_supervisor(serve, sqlite_url, wait_until):
    server = serve(sqlite_url, workers=2)
    workers = children(server.process.pid)
    wait_until(lambda: [len(children(worker)) for worker in workers] == [2, 2])
    readers = [child for worker in workers for child in children(worker)]
    server.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, workers + readers)))
    assert refuses(server.uds)


def test_too_many_at_once_are_told_to_wait(serve, sqlite_url, draw):
    server = serve(sqlite_url, DHASH_CONCURRENCY="1")
    content = draw(1)
    with start_upload(server, content) as wire:
        pause(0.3)
        refused = server.extract(content)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert server.get("/health").json()["status"] == "WARNING"
        wire.sendall(content[-1:])
        assert b"200 OK" in wire.recv(65536)
    assert server.extract(content).status_code == 200
    assert server.metric('dhash_extractions_total{result="failed"}') == 0


def test_health_is_critical_without_postgresql(
    serve, new_url, with_driver, postgresql, draw, wait_until
):
    from dhash.schema import migrate

    url = new_url("postgresql")
    migrate(with_driver(url))
    server = serve(url)
    assert server.extract(draw(1)).status_code == 200
    name = url.partition("@/")[2].partition("?")[0]
    postgresql.psql(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false; "
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    answer = server.get("/health")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["status"] == "CRITICAL"
    assert server.extract(draw(1)).status_code == 503
    # Unknown is not zero: the series goes away as soon as the last known length is too old.
    wait_until(lambda: server.metric("dhash_low_confidence_queue_length") is None)
    postgresql.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert server.get("/health").status_code == 200
    assert server.extract(draw(1)).status_code == 200
    assert server.metric('dhash_extractions_total{result="failed"}') == 1


def test_a_pdf_reader_that_hangs_is_killed_and_replaced(golden):
    content = (golden / "rulebook.pdf").read_bytes()

    async def check():
        readers = PdfReaders(1, time_limit_s=20)
        await readers.start()
        assert len(await readers.read(content, exact=False)) == 5
        pid = readers._children[0]._process.pid
        os.kill(pid, signal.SIGSTOP)
        readers._time_limit_s = 0.3
        with pytest.raises(UnreadableError, match="more than"):
            await readers.read(content, exact=False)
        assert not is_alive(pid)
        readers._time_limit_s = 20
        assert len(await readers.read(content, exact=False)) == 5
        await readers.stop()

    asyncio.run(check())


def test_a_pdf_reader_that_dies_is_replaced(golden):
    content = (golden / "rulebook.pdf").read_bytes()

    async def check():
        readers = PdfReaders(1)
        await readers.start()
        child = readers._children[0]._process
        os.kill(child.pid, signal.SIGSTOP)
        job = asyncio.create_task(readers.read(content, exact=False))
        await asyncio.sleep(0.1)
        child.kill()
        with pytest.raises(UnreadableError):
            await job
        assert len(await readers.read(content, exact=False)) == 5
        await readers.stop()

    asyncio.run(check())


def test_a_pdf_that_needs_too_much_memory_is_refused(serve, sqlite_url, golden):
    server = serve(sqlite_url)
    # Nine small objects that ask for a bitmap of 32000 x 32000 pixels.
    huge = pdf_with_picture(b"/Width 32000 /Height 32000")
    assert server.extract(huge, "application/pdf").status_code == 413
    whole = (golden / "rulebook.pdf").read_bytes()
    assert server.extract(whole, "application/pdf").status_code == 200


def pdf_with_picture(size):
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 5 0 R"
        b"/Resources<</XObject<</I 4 0 R>>>>>>"
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Type/XObject/Subtype/Image/ColorSpace/DeviceRGB/BitsPerComponent 8 "
        + size
        + b"/Length 3>>stream\nabc\nendstream",
        b"<</Length 4>>stream\n/I Do\nendstream",
    ]
    body = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table
    return body + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start


def test_every_worker_gives_up_when_none_can_live(sqlite_url, tmp_path):
    def few_open_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    done = subprocess.run(
        [sys.executable, "-m", "dhash", "serve", "--uds", str(tmp_path / "s"), "--workers", "2"],
        env={**os.environ, "DHASH_DATABASE_URL": sqlite_url, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=few_open_files,
    )
    assert done.returncode == 1
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert "gave_up" in events
