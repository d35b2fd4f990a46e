"""Sign-offs as files below `signoffs/`, signed with SSH keys: `ssh-keygen -Y sign | verify`."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.core.problems import BadInput, Broken, NotPossible
from guarded_rollout.core.statement import (
    Refused,
    SignOff,
    Statement,
    read_statement,
    statement_text,
)

FOLDER = "signoffs"
NAMESPACE = "guarded-rollout"
"""A signature that was made for something else, such as a commit, is none for us."""

_FINGERPRINT = re.compile(r"key (\S+)\s*$")
_SECONDS = 30.0


class SignedFiles:
    """Satisfies ports.SignOffs. `signers`: an allowed-signers file below `root`."""

    def __init__(self, root: Path, signers: str) -> None:
        self._root = root
        self._signers = signers

    def found(self, digest: str) -> tuple[SignOff | Refused, ...]:
        """Look: what lies there for this digest. Broken without ssh-keygen."""
        return tuple(self._read(file) for file in sorted(self._folder(digest).glob("*.json")))

    def others(self, digest: str, environment: str) -> tuple[Statement, ...]:
        """Look: what was said of other plans of the environment. Not verified."""
        files = (self._root / FOLDER).glob("*/*.json")
        said = [_statement(file) for file in sorted(files) if file.parent.name != digest]
        return tuple(one for one in said if one is not None and one.environment == environment)

    def sign(self, statement: Statement, key: Path) -> str:
        """Sign it, verify that, then write both files. Returns the statement's place.

        Broken: ssh-keygen cannot use the key. NotPossible: it is not that person's.
        """
        text = statement_text(statement).encode()
        done = _ssh_keygen("sign", "-n", NAMESPACE, "-f", str(key), text=text)
        if done.returncode != 0:
            words = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
            raise Broken(f"ssh-keygen cannot sign with {key}: {words}", "name yours: --key FILE")
        file = self._folder(statement.digest) / f"{statement.who}.json"
        checked = self.check(statement, done.stdout.decode(), self._shown(file))
        if isinstance(checked, Refused):
            raise NotPossible(
                f"{key} does not sign for {statement.who}: {checked.why}",
                f"sign with the right key (--key FILE), or add this one to {self._signers}",
            )
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            write_whole(_signature(file), done.stdout, 0o644)
            write_whole(file, text, 0o644)
        except OSError as error:
            raise Broken(
                f"{file} cannot be written: {error.strerror}",
                "make room, or see whose the folder is",
            ) from error
        return self._shown(file)

    def check(self, statement: Statement, signature: str, source: str) -> SignOff | Refused:
        """Whether the signature is over this statement, by a key of whom it names.

        BadInput: the signers' file is not there.
        """
        if not (self._root / self._signers).is_file():
            raise BadInput(
                f"{self._signers} does not exist, and [signoffs] of an environment names it",
                f'a line for each person: NAME namespaces="{NAMESPACE}" ssh-ed25519 KEY',
            )
        text = statement_text(statement).encode()
        with tempfile.NamedTemporaryFile(prefix="signature-") as file:
            file.write(signature.encode())
            file.flush()
            over = ("-n", NAMESPACE, "-s", file.name)
            sound = _ssh_keygen("check-novalidate", *over, text=text)
            if sound.returncode != 0:
                return Refused(
                    source, "forged, or edited after it was signed: the signature is not over it"
                )
            key = _fingerprint(sound.stdout)
            signers = str(self._root / self._signers)
            verified = _ssh_keygen("verify", *over, "-f", signers, "-I", statement.who, text=text)
        if verified.returncode != 0 or _fingerprint(verified.stdout) != key:
            return Refused(
                source, f"wrong key: {self._signers} does not give {key} to {statement.who}"
            )
        return SignOff(statement, source, key, signature)

    def _read(self, file: Path) -> SignOff | Refused:
        source = self._shown(file)
        statement = _statement(file)
        if statement is None:
            return Refused(source, "edited: it is not as `rollout approve` writes it")
        try:
            signature = _signature(file).read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return Refused(source, f"not signed: {_signature(file).name} cannot be read")
        return self.check(statement, signature, source)

    def _folder(self, digest: str) -> Path:
        return self._root / FOLDER / digest

    def _shown(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()


def _statement(file: Path) -> Statement | None:
    try:
        return read_statement(file.read_bytes())
    except OSError:
        return None


def _signature(file: Path) -> Path:
    """Where ssh-keygen itself would put it."""
    return file.with_name(f"{file.name}.sig")


def _fingerprint(said: bytes) -> str:
    found = _FINGERPRINT.search(said.decode("utf-8", "replace"))
    return found[1] if found else "a key without a fingerprint"


def _ssh_keygen(verb: str, *words: str, text: bytes) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise Broken("ssh-keygen is missing", "on Debian or Ubuntu: apt-get install openssh-client")
    # A person may have to type a passphrase: only what is not asked for has a limit.
    limit = None if verb == "sign" else _SECONDS
    try:
        return subprocess.run(
            [program, "-Y", verb, *words],
            input=text,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Broken(
            f"ssh-keygen {verb}: {error}", "try it: ssh-keygen -Y find-principals"
        ) from error
