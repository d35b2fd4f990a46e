"""`rollout completion`: what bash, zsh and fish need to complete our words."""

import argparse

from guarded_rollout.cli.parser import Commands, command
from guarded_rollout.cli.screen import write_out

SHELLS = ("bash", "zsh", "fish")

_ENVIRONMENTS = (
    "sed -n 's/^\\[environments\\.\\([A-Za-z0-9_-]*\\)\\]$/\\1/p' rollout.toml 2>/dev/null"
)
"""Names without starting Python at every key: those of the folder where the words are typed."""


def add_completion(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "completion",
        "completion:completion",
        "print what a shell needs to complete these words; it only looks",
        "  rollout completion bash\n  rollout completion zsh\n  rollout completion fish",
        "all",
    )
    parser.add_argument("shell", choices=SHELLS, help="docs/how-to/complete-words.md")
    parser.set_defaults(anywhere=True)


def completion(args: argparse.Namespace) -> int:
    """`rollout completion`."""
    import shtab

    from guarded_rollout.cli.commands import build_parser
    from guarded_rollout.cli.reference import parsers

    whole = build_parser()
    by_value = {
        "ENVIRONMENT": shtab.cmd(_ENVIRONMENTS),
        "FILE": shtab.FILE,
        "FOLDER": shtab.DIRECTORY,
    }
    for _, parser in parsers(whole):
        for action in parser._actions:  # noqa: SLF001 - there is no public way to look
            if action.metavar in by_value:
                action.complete = by_value[action.metavar]  # type: ignore[attr-defined]  # shtab reads it
    script = shtab.complete(whole, args.shell)
    if args.json:
        args.screen.document({"shell": args.shell, "script": script})
    else:
        write_out([script.encode(), b"\n"])
    return 0
