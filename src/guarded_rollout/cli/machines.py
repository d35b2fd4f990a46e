"""Several machines may share a journal; replicas, proxy and sockets are one machine's own.

The rule: an environment lives on the machine where its newest rollout was begun. Everybody who
shares the journal may look at it and ask for something; only there can it be driven. A target
that every machine can reach would leave `Started.machine` empty, and then anybody may.
"""

from guarded_rollout.cli.journal_place import MACHINE, elsewhere, this_machine
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.engine.situation import machine_of
from guarded_rollout.ports import Journal


def home_elsewhere(places: Places, journal: Journal, environment: str) -> str | None:
    """The other machine that the environment lives on; None: it can be driven from here."""
    if not places.journal.shared:
        return None
    machine = machine_of(journal, environment)
    return machine if elsewhere(places.journal, machine) else None


def expect_here(places: Places, journal: Journal, environment: str) -> None:
    """NotPossible when the environment lives on another machine."""
    machine = home_elsewhere(places, journal, environment)
    if machine is not None:
        raise NotPossible(
            f"{environment} lives on {machine}: its replicas, proxy and sockets are processes and "
            f"files of that machine, and this is {this_machine()}",
            f"do it there; if {machine} is gone for good and this machine has its address, data "
            f"and .rollout folder: {MACHINE}={machine} rollout resume --env {environment}",
        )
