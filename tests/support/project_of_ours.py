"""A copy of the project's root, in which people type what the documents say.

Free ports and a short watch; its `.venv` lends `rollout` and installs nothing.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from site_of_ours import ENVIRONMENT, REPOSITORY, Site, free_port

TOP = ("quick-deploy.sh", "pyproject.toml", "requirements.lock", "requirements-dev.lock")
NOT_SOURCE = shutil.ignore_patterns("tests", ".*", "__pycache__", "build", "dist")


class Project(Site):
    """A copy of the project's root."""

    def __init__(self):
        super().__init__(watch="6s", replicas=1)
        (self.root / "services").unlink()
        shutil.copytree(
            REPOSITORY / "services" / "dhash",
            self.root / "services" / "dhash",
            ignore=NOT_SOURCE,
        )
        shutil.copytree(REPOSITORY / "scripts", self.root / "scripts")
        (self.root / "src").symlink_to(REPOSITORY / "src")
        shutil.copytree(REPOSITORY / "config", self.root / "config")
        for name in TOP:
            shutil.copy2(REPOSITORY / name, self.root / name)
        self._configure()
        self._lend_rollout()

    def _configure(self):
        """Both environments watch for seconds, with requests of their own."""
        file = self.root / "rollout.toml"
        text = file.read_text().replace('"127.0.0.1:8081"', f'"127.0.0.1:{free_port()}"', 1)
        for name in (ENVIRONMENT, "staging"):
            head = f"[environments.{name}]\n"
            text = text.replace(head, f"{head}synthetic_per_second = 20\n")
        file.write_text(re.sub(r"replicas = 2", "replicas = 1", text))
        gates = self.root / "quality-gates-config.json"
        policy = json.loads(gates.read_text())["environments"][ENVIRONMENT]
        # Evidence would want a hundred requests; these stories are about lines that people type.
        policy |= {"minimumSamples": 5, "judge": "thresholds", "extendMinutes": 0}
        del policy["evidence"]
        both = {ENVIRONMENT: policy, "staging": policy}
        gates.write_text(json.dumps({"environments": both}))

    def _lend_rollout(self):
        """The set-up finds its own mark and does nothing; if it did something, that would fail."""
        tools = self.root / ".venv" / "bin"
        tools.mkdir(parents=True)
        (tools / "rollout").symlink_to(Path(sys.executable).parent / "rollout")
        (tools / "python").write_text("#!/bin/sh\necho 'nothing may be installed' >&2\nexit 99\n")
        (tools / "python").chmod(0o755)
        lock = "requirements-dev.lock"
        content = (self.root / lock).read_bytes() + (self.root / "pyproject.toml").read_bytes()
        mark = f"{hashlib.sha256(content).hexdigest()} {tuple(sys.version_info[:2])}\n"
        (tools.parent / f".set-up-{lock}").write_text(mark)
        self.env |= {"PYTHON": sys.executable}

    def type(self, line):
        """What somebody types in the root."""
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=400,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def ship(self, version):
        """The source is another version from now on."""
        init = self.root / "services" / "dhash" / "src" / "dhash" / "__init__.py"
        text = init.read_text()
        before = re.search(r'__version__ = "(.+)"', text)[1]
        init.write_text(text.replace(f'"{before}"', f'"{version}"'))
