"""People who are told, in memory."""

from dataclasses import dataclass

from guarded_rollout.core.notice import Notice
from guarded_rollout.ports import Issue, Told
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


@dataclass(frozen=True)
class FakeTracker:
    """ports.Tracker."""

    world: World

    def name(self, environment: str) -> str | None:
        del environment
        return self.world.tracker

    def tell(self, issue: Issue, news: Notice) -> Told:
        if self.world.tracker in self.world.deaf:
            return Told("kept", 3, "no answer")
        known = self.world.issues.setdefault(issue.name, [])
        if news.key not in known:
            known.append(news.key)
        return Told("delivered", 1)


@dataclass(frozen=True)
class FakePapers:
    """ports.Papers."""

    world: World

    def template(self, name: str) -> str:
        return f"# {name} of {{incident}}\n"

    def write(self, file: str, text: str) -> None:
        if "write" in self.world.fails:
            raise self.world.fails["write"]
        path = self.world.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def written(self, file: str) -> str | None:
        path = self.world.root / file
        return path.read_text() if path.exists() else None
