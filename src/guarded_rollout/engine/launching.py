"""How a release of the plan is run: argument list, environment, replicas."""

from dataclasses import replace
from pathlib import Path

from guarded_rollout.core.problems import Broken
from guarded_rollout.core.spec import Release, Spec
from guarded_rollout.ports import Arm, Built, Database, Launch, Ports, Replica


def built_release(ports: Ports, release: Release) -> Built:
    """The release on disk. Broken when somebody removed it."""
    built = ports.builder.built(replace(release, control=False))
    if built is None:
        raise Broken(
            f"release {release.name} is not on disk any more",
            "build it again from its source: rollout deploy --source FOLDER",
        )
    return replace(built, release=release)


def launch(ports: Ports, spec: Spec, built: Built, database: Database | None = None) -> Launch:
    """Placeholders of the service's environment are filled in; secrets come from ours.

    `database` None: the environment's own.
    """
    database = database or ports.database
    words = {
        "environment": spec.environment.name,
        "release": built.release.name,
        "version": built.release.version,
        "database_url": database.url(),
    }
    merged = {**dict(spec.service.env), **dict(spec.environment.env)}
    env = list(database.environment().items())
    for key, value in sorted(merged.items()):
        for word, text in words.items():
            value = value.replace("{" + word + "}", text)  # noqa: PLW2901 - filled in step by step
        env.append((key, value))
    return Launch(built, spec.service.start, tuple(env), spec.environment.replicas)


def arm_of(ports: Ports, release: Release) -> Arm:
    """The release's arm, as its replicas are now."""
    return arm(release, ports.target.replicas(release))


def standing(ports: Ports, release: Release | None) -> Arm | None:
    """The old version as a warm standby; None when it is not running."""
    if release is None:
        return None
    replicas = ports.target.replicas(release)
    return arm(release, replicas) if any(replica.alive for replica in replicas) else None


def arm(release: Release, replicas: tuple[Replica, ...]) -> Arm:
    """Where the proxy finds the release."""
    return Arm(release.name, tuple(replica.socket for replica in replicas))


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"
