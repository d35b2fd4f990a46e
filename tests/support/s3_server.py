"""A real S3 server: `rclone serve s3` on 127.0.0.1, with signatures and multipart uploads."""

import socket
import subprocess
import sys
import time
from pathlib import Path

KEY = "AKIDOFTHETESTS012345"
SECRET = "a-secret-of-the-tests-0123456789abcdef"
BUCKET = "backups-of-toy"
ENVIRON = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


class S3Server:
    """Buckets are folders of `folder`. `process` is ours to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "s3"
        self.bucket = self.folder / BUCKET
        self.bucket.mkdir(parents=True)
        self.log = folder / "rclone.log"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        """Returns when it answers."""
        rclone = Path(sys.executable).with_name("rclone")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(rclone), "serve", "s3", str(self.folder)),
                    *("--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}"),
                    *("--config", str(self.folder.parent / "no.conf"), "--dir-cache-time", "0s"),
                    *more,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
