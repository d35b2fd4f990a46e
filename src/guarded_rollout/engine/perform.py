"""Steps become deeds here, and exceptions become facts here and nowhere else.

Every step may be asked for twice: it looks, and does only what is missing.
"""

from collections.abc import Callable, Mapping

from guarded_rollout.core.facts import Outcome, StepDone, StepFailed
from guarded_rollout.core.plan import Step
from guarded_rollout.core.problems import Interrupted, Problem, Why
from guarded_rollout.engine import (
    calibrating,
    finishing,
    preparing,
    rehearsal,
    restoring,
    returning,
    taking_down,
)
from guarded_rollout.engine.order import Order
from guarded_rollout.ports import Control, Ports


def perform(order: Order, ports: Ports, control: Control) -> StepDone | StepFailed:
    """Do the step. Raises Interrupted only; every other failure is a fact with a hint."""
    try:
        return StepDone(order.step, _DEEDS[order.step](order, ports, control))
    except Interrupted:
        raise
    except Problem as problem:
        return StepFailed(order.step, problem.why)
    except Exception as error:  # noqa: BLE001 - a defect must end in a rollback, not in a dead guard
        what = f"unexpected {type(error).__name__} in step {order.step}: {error}"
        return StepFailed(order.step, Why(what, "this is a defect of the tool: please report it"))


_Deed = Callable[[Order, Ports, Control], Outcome]

_DEEDS: Mapping[Step, _Deed] = {
    Step.PREFLIGHT: preparing.preflight,
    Step.BUILD: preparing.build,
    Step.BACKUP: preparing.backup,
    Step.REHEARSE: rehearsal.rehearse,
    Step.MIGRATE: preparing.migrate,
    Step.START: preparing.start,
    Step.SMOKE: preparing.smoke,
    Step.CALIBRATE: calibrating.calibrate,
    Step.SHIFT: preparing.shift,
    Step.SMOKE_USERS: finishing.smoke_users,
    Step.RETIRE: finishing.retire,
    Step.PRUNE: finishing.prune,
    Step.CLOSE: restoring.close,
    Step.TAKE_DOWN: taking_down.take_down,
    Step.SET_ASIDE: restoring.set_aside,
    Step.RESTORE: restoring.restore,
    Step.UNMIGRATE: returning.unmigrate,
    Step.RETURN: returning.bring_back,
    Step.STOP_CANDIDATE: returning.stop_candidate,
    Step.CONFIRM: returning.confirm,
    Step.SMOKE_BASELINE: returning.smoke_baseline,
    Step.REPORT: finishing.report,
}
