"""Every port on one world in memory."""

from guarded_rollout.ports import Journal, Ports
from guarded_rollout.testing.data import (
    FakeArchive,
    FakeAside,
    FakeCopies,
    FakeDatabase,
    FakeLint,
    FakeMigrator,
)
from guarded_rollout.testing.people import FakeNotices, FakePapers, FakeTracker
from guarded_rollout.testing.serving import (
    FakeBuilder,
    FakeHost,
    FakeStage,
    FakeTarget,
    FakeTraffic,
    FakeWeb,
)
from guarded_rollout.testing.world import World


def ports_of(world: World, journal: Journal) -> Ports:
    """All ports on one world."""
    return Ports(
        root=world.root,
        clock=world.clock,
        journal=journal,
        builder=FakeBuilder(world),
        target=FakeTarget(world),
        stage=FakeStage(world),
        traffic=FakeTraffic(world),
        database=FakeDatabase(world),
        migrator=FakeMigrator(world, FakeDatabase(world)),
        lint=FakeLint(world),
        archive=FakeArchive(world),
        aside=FakeAside(world),
        copies=FakeCopies(world),
        web=FakeWeb(world),
        host=FakeHost(),
        notices=FakeNotices(world),
        tracker=FakeTracker(world),
        papers=FakePapers(world),
    )
