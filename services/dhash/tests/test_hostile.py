import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FILES = {
    "photo_small.jpg": "image/jpeg",
    "photo_progressive.jpg": "image/jpeg",
    "photo.webp": "image/webp",
    "transparent_half.png": "image/png",
    "rulebook.pdf": "application/pdf",
}


@pytest.mark.parametrize("file", FILES)
def test_damaged_files_never_break_the_server(sqlite_server, golden, file):
    whole = (golden / file).read_bytes()

    @settings(max_examples=40, deadline=None)
    @given(
        cut=st.integers(1, len(whole)),
        changes=st.lists(
            st.tuples(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=6)), max_size=6
        ),
    )
    def check(cut, changes):
        content = bytearray(whole)
        for place, data in changes:
            content[place : place + len(data)] = data
        answer = sqlite_server.extract(bytes(content[:cut]), FILES[file])
        assert answer.status_code in (200, 413, 415, 422), answer.text
        assert answer.status_code == 200 or answer.json()["error"]

    check()
    assert sqlite_server.get("/health").json()["status"] == "OK"
    assert sqlite_server.get("/integrity").status_code == 200


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=400), kind=st.sampled_from(sorted(set(FILES.values()))))
def test_garbage_is_refused(sqlite_server, content, kind):
    head = b"%PDF-1.4\n" if kind == "application/pdf" else b""
    assert sqlite_server.extract(head + content, kind).status_code in (415, 422)


@pytest.fixture(scope="module")
def sqlite_server(new_url, with_driver, serve_for_module):
    from dhash.schema import migrate

    url = new_url("sqlite")
    migrate(with_driver(url))
    return serve_for_module(url)
