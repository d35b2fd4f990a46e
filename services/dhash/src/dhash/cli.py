"""The command line: `dhash serve | hash | golden | migrate | heads | log-probe`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dhash import __version__
from dhash.errors import ConfigError, ServiceError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the answer is no, 2 something is set up wrongly."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigError as error:
        print(f"dhash: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has seen enough; Python would complain once more while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dhash", description="Perceptual difference hashes of pictures and PDFs."
    )
    parser.add_argument("--version", action="version", version=f"dhash {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="answer requests until SIGTERM")
    serve.add_argument("--uds", default="", metavar="PATH", help="listen on this unix socket")
    serve.add_argument("--host", default="", help="listen on this address (with --port)")
    serve.add_argument("--port", type=int, default=0)
    serve.add_argument("--workers", type=int, default=1, metavar="N", help="processes; default 1")
    serve.set_defaults(run=_serve)

    hashing = commands.add_parser("hash", help="print the hashes of files")
    hashing.add_argument("files", nargs="+", metavar="FILE", type=Path)
    hashing.add_argument("--exact", action="store_true", help="never take the fast path")
    hashing.set_defaults(run=_hash)

    golden = commands.add_parser("golden", help="compare hashes with the approved ones")
    golden.add_argument("action", choices=("check", "approve"))
    golden.add_argument("--corpus", type=Path, default=Path("golden"), metavar="DIR")
    golden.add_argument("--yes", action="store_true", help="approve what differs")
    golden.set_defaults(run=_golden)

    migrate = commands.add_parser("migrate", help="move the database to another schema")
    migrate.add_argument("--to", default="head", metavar="REV", help="head, base or a revision")
    migrate.add_argument("--sql", action="store_true", help="print the SQL, change nothing")
    migrate.set_defaults(run=_migrate)

    probe = commands.add_parser("log-probe", help="log the records of standard input")
    probe.set_defaults(run=_log_probe)

    heads = commands.add_parser("heads", help="print the newest schema this release knows")
    heads.set_defaults(run=_heads)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from dhash.listener import Address
    from dhash.settings import Settings

    if bool(options.uds) == bool(options.host or options.port):
        raise ConfigError("Say where to listen: either --uds PATH, or --host and --port.")
    if not options.uds and not 0 < options.port < 65536:
        raise ConfigError("--port must be from 1 to 65535.")
    if not 0 < options.workers <= 64:
        raise ConfigError("--workers must be from 1 to 64.")
    address = Address(options.uds, options.host or "127.0.0.1", options.port)
    settings = Settings.from_environment()
    from dhash.serve import serve

    return serve(settings, address, options.workers)


def _hash(options: argparse.Namespace) -> int:
    from dhash.golden import hash_file

    failed = 0
    for file in options.files:
        try:
            for picture in hash_file(file, exact=options.exact):
                page = "" if picture.page is None else f" page {picture.page}"
                print(f"{picture.hash}  {file}{page}")
        except (OSError, ServiceError) as error:
            print(f"dhash: {file}: {error}", file=sys.stderr)
            failed = 1
    return failed


def _golden(options: argparse.Namespace) -> int:
    from dhash.golden import approve, compare

    differences = compare(options.corpus)
    for difference in differences:
        print(difference)
    if not differences:
        print("Every hash is as approved.")
        return 0
    if options.action == "check":
        print(f"{len(differences)} differences. If they are meant: dhash golden approve --yes")
        return 1
    if not options.yes:
        print(f"{len(differences)} differences, nothing written. To approve them add --yes")
        return 1
    approve(options.corpus)
    print(f"{len(differences)} differences approved.")
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    from dhash.schema import migrate, print_sql
    from dhash.settings import Settings

    url = Settings.from_environment().database_url
    if options.sql:
        print_sql(url, options.to)
        return 0
    try:
        before, after = migrate(url, options.to)
    except (CommandError, SQLAlchemyError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        print(f"dhash: the schema is as it was: {reason}", file=sys.stderr)
        return 1
    print(f"schema: {before or 'empty'} -> {after or 'empty'}")
    return 0


def _heads(_options: argparse.Namespace) -> int:
    from dhash.schema import heads

    for revision in heads():
        print(revision)
    return 0


def _log_probe(_options: argparse.Namespace) -> int:
    from dhash.log_probe import probe
    from dhash.settings import Settings

    probe(sys.stdin, Settings.from_environment())
    return 0
