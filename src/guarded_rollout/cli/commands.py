"""The command line as a table: which commands there are, what they take, what they are for."""

from guarded_rollout import __version__
from guarded_rollout.cli.completion import add_completion
from guarded_rollout.cli.gate_words import moment, percent, rate
from guarded_rollout.cli.notice_words import add_notices
from guarded_rollout.cli.paper_words import add_papers
from guarded_rollout.cli.parser import (
    EXIT_CODES,
    Commands,
    Parser,
    command,
    crowd,
    days,
    detach,
    dry_run,
    forward_only,
    given_reason,
    group,
    junit,
    reason,
    release_options,
    timeout,
    without_signoffs,
    word,
)
from guarded_rollout.cli.pull_words import add_pulls
from guarded_rollout.cli.signoff_words import add_signoffs


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="rollout",
        description="Ship a release, watch it, put the old one back by itself if it misbehaves.",
        epilog=f"{EXIT_CODES}\nexamples:\n"
        "  rollout deploy --env staging --dry-run\n"
        "  rollout deploy --env production\n"
        "  rollout status --env production\n"
        "  rollout rollback --env production --reason 'slow since the deploy'\n",
    )
    parser.add_argument("--version", action="version", version=f"rollout {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, parser_class=Parser, metavar="COMMAND"
    )
    _add_rollouts(commands)
    _add_steering(commands)
    _add_looking(commands)
    _add_journal(commands)
    _add_backup(commands)
    _add_gates(commands)
    add_notices(commands)
    add_papers(commands)
    add_signoffs(commands)
    add_pulls(commands)
    add_completion(commands)
    return parser


def _add_rollouts(commands: "Commands") -> None:
    deploy = command(
        commands,
        "deploy",
        "rollouts:deploy",
        "back up, migrate, start beside the old version, smoke, shift, watch, promote or roll back",
        "  rollout deploy --env staging --dry-run\n"
        "  rollout deploy --env production --reason 'release 1.4'",
    )
    release_options(deploy)
    dry_run(deploy)
    deploy.add_argument("--again", action="store_true", help="deploy a release that already serves")
    without_signoffs(deploy)
    reason(deploy)
    detach(deploy)

    migrate = command(
        commands,
        "migrate",
        "rollouts:migrate",
        "build, back up and migrate the schema, without deploying",
        "  rollout migrate --env staging --dry-run\n  rollout migrate --env staging",
    )
    migrate.add_argument("--source", type=word, metavar="FOLDER", help="build from here")
    forward_only(migrate)
    without_signoffs(migrate)
    dry_run(migrate)
    reason(migrate)
    detach(migrate)

    rehearse = command(
        commands,
        "rehearse",
        "rollouts:rehearse",
        "build, back up, and prove on a scratch database what the ways back are; nothing else",
        "  rollout rehearse --env production\n  rollout rehearse --env staging --source FOLDER",
    )
    rehearse.add_argument("--source", type=word, metavar="FOLDER", help="build from here")
    forward_only(rehearse)
    dry_run(rehearse)
    reason(rehearse)
    detach(rehearse)

    monitor = command(
        commands,
        "monitor",
        "rollouts:monitor",
        "watch the release that serves, with its gates; roll back if it breaches",
        "  rollout monitor --env production --duration 30",
    )
    monitor.add_argument("--duration", metavar="MINUTES", help="60, 60m, 3600s, 1h")
    monitor.add_argument("--config", type=word, metavar="FILE", help="quality gates")
    dry_run(monitor)
    reason(monitor)
    detach(monitor)


def _add_steering(commands: "Commands") -> None:
    rollback = command(
        commands,
        "rollback",
        "steering:rollback",
        "put the old version back by the safest way that was proven, then 3 consecutive OK, then "
        "smoke checks; works without a guard and with a broken configuration",
        "  rollout rollback --env production --reason 'customers see errors' --force\n"
        "  rollout rollback --env production --restore-data --dry-run\n"
        "  rollout rollback --env production --restore-data --reason 'rows are damaged'\n"
        "  rollout rollback --env production --restore-data --give-up-rows 'disk died'",
    )
    rollback.add_argument(
        "--backup",
        type=word,
        metavar="FILE",
        help="verify this backup first; it is put back with --restore-data only",
    )
    ways = rollback.add_mutually_exclusive_group()
    ways.add_argument(
        "--schema-down", action="store_true", help="migrate the schema down too, if that was proven"
    )
    ways.add_argument(
        "--restore-data",
        action="store_true",
        help="put the backup in the database's place; says first which rows are set aside, and "
        "keeps them in a file: rollout backup reapply",
    )
    rollback.add_argument(
        "--give-up-rows",
        type=given_reason,
        metavar="WHY",
        help="with --restore-data, for a database that cannot be read: do not compare it, keep "
        "it as it is, and do without what was written since the backup; written down",
    )
    reason(rollback, default="manual")
    rollback.add_argument("--force", action="store_true", help="skip the question, nothing else")
    dry_run(rollback)
    detach(rollback)

    abort = command(
        commands,
        "abort",
        "steering:rollback",
        "the same as rollback: a live rollout goes back",
        "  rollout abort --env production --reason 'wrong version'",
    )
    abort.set_defaults(backup=None, schema_down=False, restore_data=False, give_up_rows=None)
    reason(abort, default="aborted")
    abort.add_argument("--force", action="store_true", help="skip the question, nothing else")
    dry_run(abort)
    detach(abort)

    promote = command(
        commands,
        "promote",
        "steering:promote",
        "take the candidate as it is, before its window ends or while it is held",
        "  rollout promote --env staging --reason 'no traffic at night, checked by hand'",
    )
    reason(promote, default=None)
    detach(promote)

    pause = command(
        commands,
        "pause",
        "steering:pause",
        "keep a canary at its share; the watch goes on and a breach still rolls back",
        "  rollout pause --env production --reason 'over lunch'",
    )
    reason(pause, default=None)

    resume = command(
        commands,
        "resume",
        "steering:resume",
        "let a paused rollout go on, or give one that lost its guard a new one, and watch it",
        "  rollout resume --env production",
    )
    reason(resume, default="resumed")
    detach(resume)

    ack = command(
        commands,
        "ack",
        "steering:ack",
        "say that a person is on it: what went wrong is not told again and again",
        "  rollout ack --env production --reason 'looking at the log'",
    )
    reason(ack)

    guard = command(
        commands,
        "guard",
        "guard_process:guard",
        "the guard's own process; the other commands start it",
        "  rollout guard --env production --rollout production-20261121-031500-3f9c0a",
    )
    guard.add_argument("--rollout", required=True, type=word, metavar="ID")

    command(
        commands,
        "agent",
        "agent:agent",
        "look after a project for as long as it runs: give rollouts that lost their guard a new "
        "one, start what should serve after a reboot; for a service manager",
        "  rollout agent\n  rollout agent --env production",
        some=True,
    )


def _add_looking(commands: "Commands") -> None:
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


def _add_journal(commands: "Commands") -> None:
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


def _add_backup(commands: "Commands") -> None:
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


def _add_gates(commands: "Commands") -> None:
    actions = group(commands, "gates", "check, replay, measure and learn the gates; only looks")
    check = command(
        actions,
        "check",
        "gates:check",
        "read the gates file for every environment and say what is wrong with it",
        "  rollout gates check\n  rollout gates check stricter-gates.json --env production",
        "all",
    )
    check.add_argument(
        "file", nargs="?", type=word, metavar="FILE", help="default: quality-gates-config.json"
    )
    replay = command(
        actions,
        "replay",
        "gates:replay",
        "judge a recorded rollout again: when each gate fires, by the gates it ran with or others",
        "  rollout gates replay --env production\n"
        "  rollout gates replay --env production --gates stricter-gates.json",
        "staging",
    )
    replay.add_argument(
        "rollout", nargs="?", type=word, metavar="ROLLOUT", help="default: the newest watched one"
    )
    replay.add_argument(
        "--gates", type=word, metavar="FILE", help="judge by this file, not by its own gates"
    )
    replay.add_argument(
        "--prometheus", type=word, metavar="URL", help="judge a range of time of a Prometheus"
    )
    replay.add_argument(
        "--from", type=moment, metavar="TIME", help="2026-11-21T17:00:00Z, or Unix seconds"
    )
    replay.add_argument("--to", type=moment, metavar="TIME", help="the same")
    replay.add_argument(
        "--queries", type=word, metavar="FILE", help="PromQL: docs/reference/gates.md"
    )
    power = command(
        actions,
        "power",
        "gates:power",
        "simulate what the gates find at this traffic, how soon and at what price; propose the "
        "stages of a canary",
        "  rollout gates power --env production\n"
        "  rollout gates power --requests-per-second 50 --share 5 --failures 0.5",
        "staging",
    )
    power.add_argument(
        "--requests-per-second", type=rate, metavar="N", help="default: the newest watched rollout"
    )
    power.add_argument(
        "--share",
        type=percent,
        metavar="PERCENT",
        help="of the requests that the candidate gets; default: the environment's first stage",
    )
    power.add_argument(
        "--failures",
        type=percent,
        metavar="PERCENT",
        help="of the requests that fail usually; default: the newest watched rollout",
    )
    command(
        actions,
        "suggest",
        "gates:suggest",
        "limits, margin and dispersion from the rollouts that ended well, as JSON to paste",
        "  rollout gates suggest --env production",
        "staging",
    )
