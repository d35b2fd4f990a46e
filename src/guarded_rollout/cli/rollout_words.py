"""What the commands take that begin a rollout or steer it."""

from guarded_rollout.cli.parser import (
    Commands,
    command,
    detach,
    dry_run,
    forward_only,
    given_reason,
    reason,
    release_options,
    without_signoffs,
    word,
)


def add_rollouts(commands: Commands) -> None:
    """Commands that begin a rollout."""
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


def add_steering(commands: Commands) -> None:
    """Commands that steer one that is under way or has ended."""
    rollback = command(
        commands,
        "rollback",
        "rolling_back:rollback",
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
        "rolling_back:rollback",
        "the same as rollback: a live rollout goes back",
        "  rollout abort --env production --reason 'wrong version'",
    )
    abort.set_defaults(backup=None, schema_down=False, restore_data=False, give_up_rows=None)
    reason(abort, default="aborted")
    abort.add_argument("--force", action="store_true", help="skip the question, nothing else")
    dry_run(abort)
    detach(abort)

    down = command(
        commands,
        "down",
        "taking_down:down",
        "stop what serves, proxy and all, once its requests are answered; its data stay, and "
        "rollback brings it back",
        "  rollout down --env development --reason 'tried it'",
    )
    reason(down, default=None)
    down.add_argument("--force", action="store_true", help="skip the question, nothing else")
    dry_run(down)
    detach(down)

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
