"""The transition table: which fact can happen in which phase, and which phases may follow."""

from collections.abc import Mapping
from types import MappingProxyType

from guarded_rollout.core.facts import (
    AFTERWARDS,
    Adopted,
    Fact,
    Judged,
    Observed,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.state import Phase

_P = Phase
_MOVES: Mapping[Phase, Mapping[type[Fact], frozenset[Phase]]] = MappingProxyType(
    {
        _P.NEW: {Started: frozenset({_P.PREPARING, _P.RETURNING})},
        _P.PREPARING: {
            StepBegan: frozenset({_P.PREPARING}),
            StepDone: frozenset({_P.PREPARING, _P.WATCHING, _P.DONE, _P.RETURNING, _P.REFUSED}),
            StepFailed: frozenset({_P.RETURNING, _P.REFUSED}),
            RollbackAsked: frozenset({_P.PREPARING, _P.RETURNING, _P.REFUSED}),
            Adopted: frozenset({_P.PREPARING, _P.RETURNING, _P.REFUSED}),
        },
        _P.WATCHING: {
            Observed: frozenset({_P.WATCHING}),
            Judged: frozenset({_P.WATCHING, _P.ADVANCING, _P.HOLDING, _P.FINISHING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.RETURNING, _P.HOLDING}),
            PromoteAsked: frozenset({_P.FINISHING}),
            PauseAsked: frozenset({_P.WATCHING}),
            ResumeAsked: frozenset({_P.WATCHING}),
            Adopted: frozenset({_P.WATCHING}),
        },
        _P.ADVANCING: {
            StepBegan: frozenset({_P.ADVANCING}),
            StepDone: frozenset({_P.WATCHING, _P.HOLDING, _P.RETURNING}),
            StepFailed: frozenset({_P.ADVANCING, _P.HOLDING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.ADVANCING, _P.HOLDING, _P.RETURNING}),
            PauseAsked: frozenset({_P.ADVANCING}),
            ResumeAsked: frozenset({_P.ADVANCING}),
            Adopted: frozenset({_P.ADVANCING, _P.HOLDING, _P.RETURNING}),
        },
        _P.HOLDING: {
            Observed: frozenset({_P.HOLDING}),
            Judged: frozenset({_P.HOLDING, _P.ADVANCING, _P.FINISHING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.RETURNING, _P.HOLDING}),
            PromoteAsked: frozenset({_P.FINISHING}),
            Adopted: frozenset({_P.HOLDING}),
        },
        _P.FINISHING: {
            StepBegan: frozenset({_P.FINISHING}),
            StepDone: frozenset({_P.FINISHING, _P.DONE, _P.RETURNING}),
            StepFailed: frozenset({_P.FINISHING, _P.DONE, _P.HOLDING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.FINISHING, _P.RETURNING}),
            Adopted: frozenset({_P.FINISHING, _P.RETURNING}),
        },
        _P.RETURNING: {
            StepBegan: frozenset({_P.RETURNING}),
            StepDone: frozenset({_P.RETURNING, _P.ROLLED_BACK}),
            StepFailed: frozenset({_P.RETURNING, _P.STUCK}),
            RollbackAsked: frozenset({_P.RETURNING}),
            Adopted: frozenset({_P.RETURNING}),
        },
        _P.STUCK: {
            RollbackAsked: frozenset({_P.RETURNING}),
            Adopted: frozenset({_P.STUCK}),
        },
        _P.DONE: {},
        _P.ROLLED_BACK: {},
        _P.REFUSED: {},
    }
)

TABLE: Mapping[Phase, Mapping[type[Fact], frozenset[Phase]]] = MappingProxyType(
    {
        phase: {**moves, **({fact: frozenset({phase}) for fact in AFTERWARDS})}
        if phase is not Phase.NEW
        else moves
        for phase, moves in _MOVES.items()
    }
)
"""With what may be said at any time."""
