"""Notices to people: nothing but the standard library, so that it works before any set-up.

`deliver` sends one notice to its channels and writes down what came of it; `known` looks whether
a notice was delivered on a channel; `render` is a channel's payload, pure.
"""

from guarded_rollout.notify.delivery import Delivery, Desk, deliver, known
from guarded_rollout.notify.ledger import Entry, Status
from guarded_rollout.notify.patience import Patience
from guarded_rollout.notify.payloads import render
from guarded_rollout.notify.templates import Templates, load_templates

__all__ = [
    "Delivery",
    "Desk",
    "Entry",
    "Patience",
    "Status",
    "Templates",
    "deliver",
    "known",
    "load_templates",
    "render",
]
