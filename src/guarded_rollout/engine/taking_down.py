"""Taking a service down: nothing of it runs afterwards, and its data stay."""

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.problems import Problem
from guarded_rollout.engine.order import Order
from guarded_rollout.engine.returning import stop_all
from guarded_rollout.engine.situation import schema_of
from guarded_rollout.ports import Control, Ports, Route


def take_down(order: Order, ports: Ports, _: Control) -> Outcome:
    """No new request first; what was begun is answered; then no process is left."""
    if ports.traffic.running():
        ports.traffic.route(Route(None, None, order.fence))
    schema = _schema(ports)
    stopped = stop_all(order, ports)
    ports.traffic.stop()
    return {"stopped": stopped, "schema": schema, "at": ports.clock.now()}


def _schema(ports: Ports) -> str | None:
    """None: it does not say. A broken database may be why somebody takes the service down."""
    try:
        return schema_of(ports)
    except Problem:
        return None
