import json
import socket

import pytest

from dhash import __version__


def extract_one(server, content, **options):
    answer = server.extract(content, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()["images"][0]


def test_health_version_integrity(server):
    health = server.get("/health").json()
    assert health["status"] == "OK"
    assert health["checks"]["database"]["status"] == "OK"
    version = {"version": __version__, "release": "sha256:test", "environment": "test"}
    assert version.items() <= health.items()
    assert version.items() <= server.get("/version").json().items()
    integrity = server.get("/integrity")
    assert integrity.status_code == 200
    assert integrity.json()["problems"] == []


@pytest.mark.parametrize(
    ("file", "kind"),
    [("photo.png", "image/png"), ("photo.webp", "image/webp"), ("photo_small.jpg", "image/jpeg")],
)
def test_extract_gives_the_golden_hash(server, golden, file, kind):
    approved = json.loads((golden / "golden.json").read_text())[file][0]
    found = extract_one(server, (golden / file).read_bytes(), kind=kind)
    assert found["hash"] == approved["fast"]
    assert found["stable_bits"] == approved["stable_bits"]
    exact = extract_one(server, (golden / file).read_bytes(), kind=kind, params={"exact": "1"})
    assert (exact["hash"], exact["path"]) == (approved["exact"], "exact")
    assert exact["image_id"] == found["image_id"]
    assert exact["seen_count"] == found["seen_count"] + 1


def test_extract_reads_pdfs(server, golden):
    approved = json.loads((golden / "golden.json").read_text())["rulebook.pdf"]
    file = ("rules.pdf", (golden / "rulebook.pdf").read_bytes(), "application/pdf")
    answer = server.client.post("/api/dhash/extract", files={"file": file}).json()
    assert answer["kind"] == "pdf"
    assert answer["source"] == "rules.pdf"
    images = answer["images"]
    assert [(image["page"], image["hash"]) for image in images] == [
        (image["page"], image["fast"]) for image in approved
    ]
    assert images[1]["image_id"] == images[3]["image_id"]


def test_a_near_picture_is_matched_and_queued(server, draw):
    before = server.get("/api/dhash/queue").json()["total"]
    first = extract_one(server, draw(77))
    other = extract_one(server, draw(77, kind="JPEG", quality=30), kind="image/jpeg")
    assert first["image_id"] in [match["image_id"] for match in other["matches"]]
    asked = {"hash": first["hash"], "confidence": 0.8}
    found = server.client.post("/api/dhash/match", json=asked).json()
    assert found["matches"][0]["confidence_fraction"] == 1
    assert found["max_distance"] == 12
    assert server.get("/api/dhash/queue").json()["total"] >= before


def test_the_queue_is_listed_decided_exported_and_imported(server, as_bytes):
    from PIL import Image

    # Nearly blank pages are all alike: that is for a person to decide.
    for value in range(250, 254):
        extract_one(server, as_bytes(Image.new("L", (40, 40), value)))
    listed = server.get("/api/dhash/queue", params={"limit": 2}).json()
    assert len(listed["items"]) == 2
    rest = server.get("/api/dhash/queue", params={"after": listed["next_after"]}).json()
    assert len(rest["items"]) == listed["total"] - 2
    first = listed["items"][0]
    path = f"/api/dhash/queue/{first['id']}"
    decided = server.client.post(path, json={"decision": "rejected", "reviewer": "ann"})
    assert decided.status_code == 200
    again = server.client.post(path, json={"decision": "accepted", "reviewer": "bob"})
    assert again.status_code == 409
    exported = server.get("/api/dhash/queue/export").json()
    assert len(exported["items"]) >= listed["total"]
    imported = server.client.post("/api/dhash/queue/import", json=exported).json()
    assert imported == {"read": len(exported["items"]), "added": 0, "decided": 0}
    exported["items"][0]["picture"]["hash"] = "x"
    refused = server.client.post("/api/dhash/queue/import", json=exported)
    assert refused.status_code == 422
    assert "Item 0" in refused.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/api/dhash/extract", {}, 405),
        ("POST", "/api/dhash/match", {"content": b"{"}, 422),
        ("POST", "/api/dhash/match", {"content": b"[" * 20000}, 422),
        ("POST", "/api/dhash/match", {"json": []}, 422),
        ("POST", "/api/dhash/match", {"json": {"hash": "xyz"}}, 422),
        ("POST", "/api/dhash/match", {"json": {"hash": "0" * 16, "confidence": 0.5}}, 422),
        ("POST", "/api/dhash/match", {"content": b" " * 70000}, 413),
        ("GET", "/api/dhash/queue?status=odd", {}, 422),
        ("GET", "/api/dhash/queue?limit=-1", {}, 422),
        ("GET", "/api/dhash/queue?limit=501", {}, 422),
        (
            "POST",
            "/api/dhash/queue/999999",
            {"json": {"decision": "accepted", "reviewer": "a"}},
            404,
        ),
        ("POST", "/api/dhash/queue/99999999999", {"json": {}}, 422),
        ("POST", "/api/dhash/queue/1", {"json": {"decision": "maybe", "reviewer": "a"}}, 422),
        ("POST", "/api/dhash/queue/1", {"json": {"decision": "accepted"}}, 422),
        ("POST", "/api/dhash/queue/x", {"json": {}}, 404),
        ("POST", "/api/dhash/queue/import", {"json": {"items": []}}, 422),
    ],
)
def test_errors_say_what_and_what_now(server, method, path, options, status):
    answer = server.client.request(method, path, **options)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {"content-type": "image/png"}, 422),
        (b"x", {"content-type": "text/plain"}, 415),
        (b"x", {}, 415),
        (b"GIF89a", {"content-type": "image/gif"}, 415),
        (b"--b\r\n\r\n", {"content-type": "multipart/form-data; boundary=b"}, 422),
        (b"hello", {"content-type": "multipart/form-data"}, 422),
        (b"%PDF-1.7\nnothing", {"content-type": "application/pdf"}, 422),
    ],
)
def test_every_failed_upload_counts_once(server, content, headers, status):
    before = server.metric('dhash_extractions_total{result="failed"}')
    answer = server.client.post("/api/dhash/extract", content=content, headers=headers)
    assert answer.status_code == status
    assert server.metric('dhash_extractions_total{result="failed"}') == before + 1


def test_an_upload_that_announces_too_much_is_refused_at_once(server):
    head = "POST /api/dhash/extract HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(str(server.uds))
        wire.sendall(f"{head}Content-Length: 52428801\r\n\r\n".encode())
        assert b" 413 " in wire.recv(4096)


def test_an_upload_without_a_length_is_cut_off(server):
    def endless():
        for _ in range(60):
            yield bytes(1024 * 1024)

    answer = server.client.post(
        "/api/dhash/extract", content=endless(), headers={"content-type": "image/png"}
    )
    assert answer.status_code == 413


def test_metrics_have_their_names(server, draw):
    extract_one(server, draw(1))
    text = server.get("/metrics").text
    for line in (
        'dhash_build_info{release="sha256:test",version="' + __version__ + '"} 1.0',
        'dhash_hash_seconds_bucket{le="0.25"}',
        'dhash_hash_seconds_bucket{le="2.0"}',
        'dhash_request_seconds_bucket{le="0.1",method="POST",path="/api/dhash/extract",status="200"}',
        "dhash_low_confidence_queue_length ",
        "dhash_low_confidence_queued_total ",
        "dhash_low_confidence_decided_total ",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_start_time_seconds ",
    ):
        assert line in text
    facts = server.get("/metrics/dhash").json()
    assert (
        facts["extractions_total"]
        == facts["extractions_ok_total"] + facts["extractions_failed_total"]
    )
    assert 0 <= facts["extraction_failure_rate_percent"] <= 100
    assert facts["p95_hash_seconds"] > 0
    assert facts["hash_seconds_buckets"]["+Inf"] == facts["hashes_total"]
    assert facts["version"] == __version__


def test_a_request_id_is_kept_or_made(server):
    assert (
        server.get("/version", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    )
    made = server.get("/version", headers={"X-Request-Id": "no good{}"}).headers["X-Request-Id"]
    assert len(made) == 32


def test_every_line_of_the_log_is_json_without_secrets(server, wait_until):
    server.get("/version", headers={"X-Request-Id": "log-1"})
    server.get("/nothing/ann@example.com?password=hunter2")
    wait_until(lambda: len(server.events("request")) > 2)
    wait_until(lambda: any("nothing" in line for line in server.lines))
    assert not any("hunter2" in line or "ann@example" in line for line in server.lines)
    line = next(line for line in server.events("request") if line["request_id"] == "log-1")
    assert line["fields"]["path"] == "/version"
    assert {"timestamp", "level", "message", "service", "version", "environment"} <= line.keys()
