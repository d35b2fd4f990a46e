"""The notifier as the engine knows it: `ports.Notices`."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from guarded_rollout.core.notice import Channel, Notice, NoticePolicy
from guarded_rollout.core.problems import Problem
from guarded_rollout.notify.delivery import Desk, deliver
from guarded_rollout.notify.patience import Patience
from guarded_rollout.notify.settings import chosen, load_policy
from guarded_rollout.notify.templates import load_templates
from guarded_rollout.ports import Clock, Told


@dataclass(frozen=True, slots=True)
class Notifier:
    """The channels are read anew each time: a plan freezes what is done, not who is told of it.

    `say`: where the console's lines go.
    """

    root: Path
    clock: Clock
    say: Callable[[str], None] = print

    def channels(self, environment: str) -> tuple[str, ...]:
        """Look: where this environment's notices go now."""
        return tuple(channel.name for channel in self._chosen(environment)[1])

    def deliver(self, notice: Notice, channel: str) -> Told:
        """Send it, or give it up and keep it. A key that arrived there is not sent again."""
        policy, channels = self._chosen(notice.environment)
        named = [one for one in channels if one.name == channel]
        if not named:
            return Told("skipped", 0, "the channel is configured no more")
        desk = Desk(
            root=self.root,
            clock=self.clock,
            environ=os.environ,
            templates=load_templates(self.root / policy.templates),
            say=self.say,
            patience=replace(Patience(), deadline=policy.deadline),
        )
        (done,) = deliver(notice, named, desk)
        return Told(str(done.status), done.attempts, done.reason)

    def _chosen(self, environment: str) -> tuple[NoticePolicy, tuple[Channel, ...]]:
        """A file that is broken must not keep anything secret: then the variables decide."""
        try:
            policy = load_policy(self.root, environment)
            return policy, chosen(policy, None, os.environ)
        except Problem:
            policy = load_policy(self.root / "nowhere", environment)
            return policy, chosen(policy, None, os.environ)
