"""S3-compatible storage, by obstore. Keys come from the environment (AWS_*) and stay there.

A big file goes up in parts and appears when the last one is acknowledged. What an interrupted
upload leaves is invisible, but is stored and paid for until the bucket's lifecycle rule
(AbortIncompleteMultipartUpload) removes it.
"""

import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from guarded_rollout.adapters.copies.shelf import Absent
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.redact import redact

if TYPE_CHECKING:
    from obstore.store import S3Store

_MIB = 1 << 20
_PART = 8 * _MIB
_PARTS = 9000  # the protocol's limit is 10 000
_PARALLEL = 4
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_OTHERS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_SHOWN = 300
_CODE = re.compile(r"<Code>(\w+)</Code>")


@dataclass(frozen=True, slots=True)
class ObjectShelf:
    """The objects directly below one prefix of a bucket."""

    name: str
    store: "S3Store"

    def sizes(self) -> Mapping[str, int]:
        """Look: one listing, however many pages it has."""
        import obstore  # noqa: PLC0415 - an extra, see `open_shelf`

        with self._asking():
            found = obstore.list_with_delimiter(self.store)["objects"]
        return {str(entry["path"]).rpartition("/")[2]: int(entry["size"]) for entry in found}

    def write(self, file: str, chunks: Iterator[bytes], size: int) -> None:
        """Small ones in one request, big ones in parts."""
        import obstore  # noqa: PLC0415 - as above

        raised: list[BaseException] = []

        def kept() -> Iterator[bytes]:
            try:
                yield from chunks
            except BaseException as error:
                raised.append(error)
                raise

        try:
            with self._asking():
                if size <= _PART:
                    obstore.put(self.store, file, b"".join(chunks), use_multipart=False)
                else:
                    obstore.put(
                        self.store,
                        file,
                        kept(),
                        use_multipart=True,
                        chunk_size=max(_PART, -(-size // _PARTS)),
                        max_concurrency=_PARALLEL,
                    )
        except BaseException as error:
            if raised and error is not raised[0]:
                raise raised[0] from None
            raise

    def read(self, file: str) -> Generator[bytes, None, None]:
        """One stream: not every server understands ranges."""
        import obstore  # noqa: PLC0415 - as above

        with self._asking():
            stream = iter(obstore.get(self.store, file).stream(min_chunk_size=_MIB))
        while True:
            with self._asking():
                chunk = next(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)

    def remove(self, file: str) -> None:
        """Delete it. S3 does not mind when it is gone."""
        import obstore  # noqa: PLC0415 - as above

        try:
            with self._asking():
                obstore.delete(self.store, file)
        except Absent:
            return

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """The storage's errors in our words."""
        from obstore import exceptions as e  # noqa: PLC0415 - as above

        try:
            yield
        except (e.BaseError, OSError) as error:
            code = _CODE.search(str(error))
            said = code[1] if code else _short(error)
            if said == "NoSuchBucket":
                hint = "make it, or correct `to` in rollout.toml"
                raise Broken(f"{self.name}: there is no such bucket", hint) from None
            if isinstance(error, (e.NotFoundError, FileNotFoundError)):
                raise Absent from None
            if "403 Forbidden" in str(error) or "401 Unauthorized" in str(error):
                raise Broken(
                    f"{self.name} refuses these credentials: {said}",
                    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION of the "
                    "environment, and that this key may list, read, write and delete there",
                ) from None
            raise Broken(
                f"{self.name} cannot be used: {said}",
                "check that the server is up and can be reached from here",
            ) from None


def open_shelf(
    name: str,
    to: str,
    endpoint: str | None,
    environ: Mapping[str, str] = os.environ,
    *,
    patience: float = 30.0,
) -> ObjectShelf:
    """The shelf of `s3://bucket/prefix`. Sends nothing. `patience`: seconds of trying again.

    BadInput when obstore is not installed or no credentials are in the environment: without
    them it would ask the address of a cloud's metadata service, and wait.
    """
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise BadInput(
            f"{name} needs the package obstore, which is not installed",
            'install it: uv pip install "guarded-rollout[s3]"',
        ) from error
    if not all(environ.get(key) for key in _KEYS) and not any(environ.get(o) for o in _OTHERS):
        missing = ", ".join(key for key in _KEYS if not environ.get(key))
        raise BadInput(
            f"{name} needs credentials: {missing} is not set in the environment",
            "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY before you start the rollout",
        )
    bucket, _, prefix = to.removeprefix("s3://").partition("/")
    config: dict[str, object] = {
        "region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    }
    if endpoint is not None:
        config["endpoint"] = endpoint
        config["virtual_hosted_style_request"] = False
    for key in (*_KEYS, "AWS_SESSION_TOKEN"):
        if environ.get(key):
            config[key.lower()] = environ[key]
    store = S3Store(
        bucket,
        prefix=prefix or None,
        config=config,  # type: ignore[arg-type] # its keys are typed one by one
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": "5s",
            "read_timeout": "120s",  # of silence; the whole of a big file may take long
            "timeout": "12h",
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=patience)},
    )
    return ObjectShelf(name, store)


def _short(error: BaseException) -> str:
    """One line without secrets and without the library's own dump of itself."""
    lines: Iterable[str] = str(error).splitlines()
    text = " ".join(" ".join(line for line in lines if line.strip()).split())
    text = text.partition("Debug source:")[0].strip() or type(error).__name__
    return redact(text)[:_SHOWN]
