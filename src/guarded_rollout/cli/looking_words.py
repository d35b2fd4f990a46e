"""What the commands take that look and check."""

from guarded_rollout.cli.parser import Commands, command, crowd, group, junit, timeout, word


def add_looking(commands: Commands) -> None:
    """Commands that look and check, and change nothing."""
    command(
        commands,
        "status",
        "looking:status",
        "what serves, what is going on, who guards it; a guard that died is started again",
        "  rollout status --env production --json",
        "staging",
    )
    watch = command(
        commands,
        "watch",
        "looking:watch",
        "show a rollout from its beginning, until it rests",
        "  rollout watch --env production",
        "staging",
    )
    watch.add_argument(
        "--rollout", type=word, metavar="ID", help="default: the active or the newest one"
    )
    smoke = command(
        commands,
        "smoke",
        "smoke:smoke",
        "send the smoke checks through the proxy, as a user would; the report is in logs/ too",
        "  rollout smoke --env production\n"
        "  rollout smoke --env production --tier all --timeout 10m --junit smoke.xml\n"
        "  rollout smoke --env production --post-rollback",
        "staging",
    )
    tier = smoke.add_mutually_exclusive_group()
    tier.add_argument(
        "--tier",
        "--level",
        choices=["critical", "standard", "all"],
        default="standard",
        help="this one and the more urgent ones; default: standard",
    )
    tier.add_argument("--quick", action="store_true", help="the same as --tier critical")
    smoke.add_argument(
        "--timeout",
        type=timeout,
        default=600.0,
        metavar="SECONDS",
        help="for all checks together: 600, 600s, 10m; what is left then has failed; default: 600",
    )
    smoke.add_argument(
        "--post-rollback",
        action="store_true",
        help="leave out what came with the new version, and say so",
    )
    junit(smoke)
    logs = group(commands, "logs", "can the loggers be trusted")
    validation = command(
        logs,
        "validate",
        "logs:validate_logs",
        "exercise the logger of the release that serves, and this tool's own: nothing lost or "
        "torn, secrets hidden, fields, levels, rotation, file modes",
        "  rollout logs validate --env production\n"
        "  rollout logs validate --env production --concurrency 10 --junit logging.xml",
        "staging",
    )
    validation.add_argument(
        "--concurrency", type=crowd, default=10, metavar="N", help="processes at once; default: 10"
    )
    validation.add_argument(
        "--lines", type=crowd, default=200, metavar="N", help="of each process; default: 200"
    )
    junit(validation)
    premerge = command(
        commands,
        "premerge",
        "premerge:premerge",
        "try all that can be tried before a change is merged: dry runs here; a rollout, its checks "
        "and the way back in a throwaway copy. Logs, backups, digests and a summary in one folder",
        "  rollout premerge --base origin/main\n  rollout premerge --quick --out /tmp/premerge",
        "staging",
    )
    premerge.add_argument(
        "--base",
        type=word,
        metavar="COMMIT",
        help="its release serves first and is what the rollback goes back to; default: the same "
        "files, told apart by one file more",
    )
    premerge.add_argument(
        "--out", type=word, metavar="FOLDER", help="default: premerge_artifacts beside rollout.toml"
    )
    premerge.add_argument("--quick", action="store_true", help="ship nothing, only check and plan")
