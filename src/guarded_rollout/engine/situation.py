"""What is there now, read from the journal: which release serves, and which one did before."""

from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, Plan, Situation, Step, Way
from guarded_rollout.core.rollout import replay
from guarded_rollout.core.spec import Release
from guarded_rollout.core.state import Phase, State, backup_of, plan_of
from guarded_rollout.core.ways import proven
from guarded_rollout.ports import Journal, Known, Ports


def recorded_plan(journal: Journal, known: Known) -> Plan:
    """The plan a rollout was started with."""
    first = journal.entries(known.rollout)[0].fact
    assert isinstance(first, Started), "the first fact of a rollout is its start"
    return first.plan


def schema_of(ports: Ports) -> str | None:
    """The database's revision; None: there is no database yet."""
    return ports.database.revision() if ports.database.exists() else None


def machine_of(journal: Journal, environment: str) -> str:
    """The machine on which the environment's newest rollout runs; empty: not known."""
    for known in journal.known(environment)[:1]:
        first = journal.entries(known.rollout)[0].fact
        return first.machine if isinstance(first, Started) else ""
    return ""


def releases_in_use(journal: Journal) -> frozenset[Release]:
    """What serves, served before, or is being rolled out, in any environment."""
    used: set[Release | None] = set()
    everything = journal.known()
    for environment in {known.environment for known in everything}:
        situation = read_situation(journal, environment)
        used |= {situation.serving, situation.previous}
    for known in everything:
        if known.ended is None:
            plan = recorded_plan(journal, known)
            used |= {plan.candidate, plan.baseline}
    return frozenset(release for release in used if release is not None)


def state_of(journal: Journal, known: Known) -> State:
    """Where a rollout is."""
    return replay(entry.fact for entry in journal.entries(known.rollout))


def read_situation(journal: Journal, environment: str, schema: str | None = None) -> Situation:
    """Newest first: the last rollout that changed what serves decides.

    `previous` is another release than `serving`: one that was deployed again has no way back in
    itself.
    """
    serving: Release | None = None
    for known in journal.known(environment):
        moved_on = (known.kind, known.ended) == (Kind.DEPLOY, Phase.DONE)
        went_back = known.ended == Phase.ROLLED_BACK and known.kind in {
            Kind.ROLLBACK,
            Kind.MONITOR,
        }
        if moved_on:
            plan = recorded_plan(journal, known)
            serving = serving or plan.candidate
            if plan.baseline != serving:
                ways = _ways(state_of(journal, known), schema)
                return Situation(serving, plan.baseline, schema, ways, plan.schema_before)
        if (known.kind, known.ended) == (Kind.DOWN, Phase.DONE):
            return _taken_down(state_of(journal, known), schema)
        if went_back:
            return Situation(serving or recorded_plan(journal, known).baseline, None, schema)
    return Situation(serving, None, schema)


def _taken_down(state: State, schema: str | None) -> Situation:
    """It can serve again on the schema that it left."""
    left = state.outcomes[Step.TAKE_DOWN]["schema"]
    ways = (Way.FLIP,) if None in {schema, left} or schema == left else ()
    return Situation(None, plan_of(state).candidate, schema, ways, left)


def _ways(state: State, schema: str | None) -> tuple[Way, ...]:
    """What the deploy has proven. A schema that moved on since has no proven way down."""
    ways = proven(plan_of(state), state.begun, state.outcomes)
    went_to = state.outcomes.get(Step.REHEARSE, {}).get("to")
    return tuple(way for way in ways if way is not Way.DOWN or went_to == schema)


def backup_to_restore(journal: Journal, environment: str) -> str | None:
    """The backup that the newest rollout made before it touched the schema or the traffic."""
    for known in journal.known(environment):
        if known.kind in {Kind.DEPLOY, Kind.MIGRATE} and known.ended != Phase.REFUSED:
            file = backup_of(state_of(journal, known))
            if file is not None:
                return file
    return None
