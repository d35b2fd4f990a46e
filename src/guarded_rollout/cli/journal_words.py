"""What the commands about the journal and its audit take."""

from guarded_rollout.cli.parser import Commands, command, group, word


def add_audit(commands: Commands) -> None:
    """The group `audit`."""
    audit = group(commands, "audit", "whether the journal was changed, and its trail for auditors")
    verify = command(
        audit,
        "verify",
        "audit:verify",
        "walk the hash chain of the whole journal, of all environments; or check a file of "
        "audit export, against the journal where there is one",
        "  rollout audit verify\n  rollout audit verify audit.jsonl\n"
        "  rollout audit verify --head HASH",
        "staging",
    )
    verify.add_argument("file", nargs="?", type=word, metavar="FILE", help="of audit export")
    verify.add_argument(
        "--head", type=word, metavar="HASH", help="noted earlier: the journal must still have it"
    )
    command(
        audit,
        "export",
        "audit:export",
        "who did what, when and why, as JSON lines with sums on standard output; only looks",
        "  rollout audit export\n  rollout audit export --env production",
        "all",
    )


def add_journal(commands: Commands) -> None:
    """The group `journal`."""
    actions = group(commands, "journal", "write the journal into a file, and back from one")
    command(
        actions,
        "export",
        "journal:export",
        "write the journal to standard output, as JSON lines with sums; only looks",
        "  rollout journal export\n  rollout journal export --env production",
        "all",
    )
    take_in = command(
        actions,
        "import",
        "journal:take_in",
        "check such a file line by line, and write it into the empty journal that [journal] of "
        "rollout.toml names",
        "  rollout journal import journal.jsonl",
        "all",
    )
    take_in.add_argument("file", type=word, metavar="FILE", help="of journal export")
