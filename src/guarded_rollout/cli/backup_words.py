"""What the commands about backups take."""

from guarded_rollout.cli.parser import Commands, command, days, dry_run, group, reason, word


def add_backup(commands: Commands) -> None:
    """The group `backup`."""
    actions = group(
        commands, "backup", "create, verify, drill, list, fetch, reapply and prune backups"
    )
    create = command(
        actions,
        "create",
        "backups:create",
        "dump the database while it is written, pack it with the configuration, verify",
        "  rollout backup create --env production --retention-days 14",
    )
    create.add_argument("--retention-days", type=days, metavar="N", help="prune older ones too")
    dry_run(create)
    reason(create)
    verify = command(
        actions,
        "verify",
        "backups:verify",
        "checksum, every member, the database inside",
        "  rollout backup verify --env production",
        "staging",
    )
    verify.add_argument("file", nargs="?", type=word, help="default: the environment's newest")
    verify.add_argument(
        "--restore",
        action="store_true",
        help="restore it into a scratch database too, and compare rows and contents",
    )
    verify.set_defaults(env=None)
    command(
        actions,
        "drill",
        "backups:drill",
        "restore the newest backup into a scratch database and compare; for a timer",
        "  rollout backup drill --env production",
        "staging",
    )
    command(
        actions,
        "list",
        "backups:show",
        "the environment's backups, newest first",
        "  rollout backup list --env production",
        "staging",
    )
    copies = command(
        actions,
        "copies",
        "copies:show",
        "what lies in the other places that rollout.toml names",
        "  rollout backup copies --env production --verify",
        "staging",
    )
    copies.add_argument("--verify", action="store_true", help="read every copy back")
    fetch = command(
        actions,
        "fetch",
        "copies:fetch",
        "bring a copy back into backups/, verified",
        "  rollout backup fetch --env production dhash_production_20260131_120000.zip",
    )
    fetch.add_argument("file", type=word, help="the backup's name")
    fetch.add_argument(
        "--from", dest="place", type=word, metavar="PLACE", help="default: each in turn"
    )
    reapply = command(
        actions,
        "reapply",
        "aside:reapply",
        "bring back the rows that a restore set aside: all of them, or none and what stands in "
        "the way",
        "  rollout backup reapply --env staging backups/set-aside_dhash_staging_1.jsonl",
    )
    reapply.add_argument("file", type=word, help="backups/set-aside_*.jsonl")
    reapply.add_argument(
        "--what-fits",
        action="store_true",
        help="bring back what fits, though other rows of the file do not; a row whose parent "
        "does not come back stays out too",
    )
    dry_run(reapply, "only say what is in the file")
    prune = command(
        actions,
        "prune",
        "backups:prune",
        "remove backups older than the retention, never the newest verified one",
        "  rollout backup prune --env production --retention-days 14",
    )
    prune.add_argument("--retention-days", type=days, metavar="N", help="default: rollout.toml's")
    dry_run(prune, "only say what would go")
