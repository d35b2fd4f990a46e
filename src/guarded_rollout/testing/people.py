"""People who are told, in memory."""

from dataclasses import dataclass

from guarded_rollout.core.notice import Notice
from guarded_rollout.ports import Told
from guarded_rollout.testing.world import World


@dataclass(frozen=True)
class FakeNotices:
    """ports.Notices."""

    world: World

    def channels(self, environment: str) -> tuple[str, ...]:
        del environment
        return self.world.channels

    def deliver(self, notice: Notice, channel: str) -> Told:
        if channel in self.world.deaf:
            return Told("kept", 3, "no answer")
        if any(where == channel and one.key == notice.key for where, one in self.world.told):
            return Told("delivered", 1)
        self.world.told.append((channel, notice))
        return Told("delivered", 1)
