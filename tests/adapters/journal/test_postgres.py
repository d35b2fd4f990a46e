"""The journal on a real PostgreSQL that stops, vanishes, forgets to answer, or refuses."""

import os
import random
import signal
import threading
from dataclasses import replace

import pytest
from journal_kinds import made
from wires import wire

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal import server as servers
from guarded_rollout.adapters.journal.postgres import PostgresJournal, open_readonly
from guarded_rollout.core.facts import Adopted, RollbackAsked
from guarded_rollout.core.problems import BadInput, Broken, Busy, NotPossible
from guarded_rollout.ports import Away


@pytest.fixture
def access(postgres):
    return made(postgres)


@pytest.fixture
def opens(access, clock):
    """Opens the database's journal; closed in the end."""
    opened = []

    def opening(where=access, **settings):
        opened.append(PostgresJournal(where, settings.pop("clock", clock), **settings))
        return opened[-1]

    yield opening
    for journal in opened:
        journal.close()


@pytest.fixture
def shared(opens):
    return opens()


def filled(journal, started, count=5):
    """A rollout with so many entries. Its lease and its last entry."""
    last = journal.begin("production", "r1", started(), exclusive=True)
    lease = journal.claim("production", "guard")
    for number in range(count - 1):
        last = journal.append(lease, "r1", Adopted(f"guard {number}"), after=last.seq)
    return lease, last


class TestTheServerComesAndGoes:
    def test_it_is_stopped_and_started_in_mid_use(self, postgres, opens, started):
        """At once, as a crash stops it: what was told is there once, in order, and it goes on."""
        journal = opens(wait_seconds=60)
        lease, last = filled(journal, started)
        told, over, failures = [last], threading.Event(), []

        def work():
            try:
                while not over.is_set():
                    fact = Adopted(str(len(told)))
                    told.append(journal.append(lease, "r1", fact, after=told[-1].seq))
                    journal.renew(lease)
            except BaseException as error:  # noqa: BLE001 - told to the test below
                failures.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        for _ in range(2):
            seen = len(told)
            while len(told) < seen + 20 and worker.is_alive():
                journal._clock.sleep(0.01)
            postgres.stop()
            postgres.start()
        seen = len(told)
        while len(told) < seen + 5 and worker.is_alive():
            journal._clock.sleep(0.01)
        over.set()
        worker.join()
        assert failures == []
        assert journal.entries("r1", told[0].seq - 1) == tuple(told)
        assert journal.verify().problem is None
        assert journal.verify().entries == told[-1].seq

    def test_while_it_is_away_every_verb_says_so(self, postgres, opens, started, access, clock):
        """After the wait that was asked for; who looks is told the same; then all goes on."""
        journal = opens(wait_seconds=0.2)
        lease, last = filled(journal, started)
        looking = open_readonly(access, clock, wait_seconds=0.2)
        postgres.stop()
        try:
            for use in (
                lambda: journal.append(lease, "r1", Adopted("x"), after=last.seq),
                lambda: journal.begin("staging", "r2", started("staging"), exclusive=True),
                lambda: journal.renew(lease),
                lambda: journal.claim("staging", "guard"),
                lambda: journal.entries("r1"),
                journal.verify,
                looking.known,
                lambda: opens(wait_seconds=0.2),
            ):
                with pytest.raises(Away) as caught:
                    use()
                assert str(access) in caught.value.why.what
                assert "goes on when the journal is back" in caught.value.why.hint
        finally:
            postgres.start()
        assert journal.append(lease, "r1", Adopted("x"), after=last.seq).seq == last.seq + 1
        journal.renew(lease)

    @pytest.mark.parametrize("what", ["request", "answer"])
    def test_an_append_whose_answer_is_lost_is_written_once(
        self, postgres, access, opens, started, what
    ):
        """Cut before the server has it, or after it committed: one entry, and it is told."""
        with wire(postgres.port) as line:
            journal = opens(replace(access, port=line.port))
            lease, last = filled(journal, started)
            for ended in (None, None, "done"):
                line.lose = (b"INSERT INTO facts", what)
                last = journal.append(
                    lease, "r1", Adopted(f"{last.seq}"), after=last.seq, ended=ended
                )
                assert journal.entries("r1", last.seq - 1) == (last,)
            assert line.lost == 3
            assert journal.known()[0].ended == "done"
            assert journal.verify().entries == last.seq == 8

    @pytest.mark.parametrize("what", ["request", "answer"])
    def test_the_same_for_a_beginning_a_claim_a_heartbeat_and_a_giving_back(
        self, postgres, access, opens, started, what
    ):
        """None of them is done twice, or the second time is no harm."""
        with wire(postgres.port) as line:
            journal = opens(replace(access, port=line.port))
            line.lose = (b"INSERT INTO rollouts", what)
            first = journal.begin("production", "r1", started(), exclusive=True)
            assert journal.entries("r1") == (first,)
            line.lose = (b"INSERT INTO leases", what)
            lease = journal.claim("production", "guard")
            line.lose = (b"UPDATE leases SET until", what)
            journal.renew(lease)
            journal.append(lease, "r1", Adopted("x"), after=first.seq)
            line.lose = (b"UPDATE leases SET owner = NULL", what)
            journal.release(lease)
            assert line.lost == 4
            assert journal.holder("production") is None

    def test_what_was_lost_and_is_another_fact_is_not_taken_for_it(
        self, postgres, access, opens, started
    ):
        """The controller changed its mind meanwhile: it has to read what it wrote."""
        from guarded_rollout.ports import Behind

        with wire(postgres.port) as line:
            journal = opens(replace(access, port=line.port), wait_seconds=0.0)
            lease, last = filled(journal, started)
            line.lose = (b"INSERT INTO facts", "answer")
            once = journal._server.once
            sent = []

            def no_second_time(sql, *values):
                sent.append(sql)
                if line.lost:
                    raise Away("the test cut it off")
                return once(sql, *values)

            journal._server.once = no_second_time
            with pytest.raises(Away):
                journal.append(lease, "r1", Adopted("one"), after=last.seq)
            journal._server.once = once
            with pytest.raises(Behind):
                journal.append(lease, "r1", Adopted("two"), after=last.seq)
            found = journal.append(lease, "r1", Adopted("one"), after=last.seq)
            assert journal.entries("r1", last.seq) == (found,)
            with pytest.raises(Behind):
                opens().append(lease, "r1", Adopted("one"), after=last.seq)

    def test_a_server_that_is_silent_does_not_hang_a_guard(
        self, postgres, access, opens, started, monkeypatch
    ):
        """The line stands, and nothing comes: a stopped server, a dropped packet."""
        monkeypatch.setattr(servers, "ANSWER_SECONDS", 0.3)
        monkeypatch.setattr(servers, "CONNECT_SECONDS", 2)
        with wire(postgres.port) as line:
            journal = opens(replace(access, port=line.port), wait_seconds=0.0)
            lease, last = filled(journal, started)
            line.silent = True
            with pytest.raises(Away, match="does not answer"):
                journal.append(lease, "r1", Adopted("x"), after=last.seq)
            line.silent = False
            journal.renew(lease)
            assert journal.append(lease, "r1", Adopted("x"), after=last.seq).seq == last.seq + 1

    def test_somebody_else_s_lock_is_no_lost_lease(self, postgres, access, opens, started):
        """A person's open transaction, or a pg_dump with a lock: Away, and never Busy."""
        journal = opens(wait_seconds=0.0)
        lease, last = filled(journal, started)
        with postgres.connect(access.name) as other, other.transaction():
            other.execute("LOCK TABLE guarded_rollout.facts")
            with pytest.raises(Away, match="lock timeout"):
                journal.append(lease, "r1", Adopted("x"), after=last.seq)
        assert journal.append(lease, "r1", Adopted("x"), after=last.seq).seq == last.seq + 1

    def test_a_stale_session_is_no_problem(self, postgres, access, opens, started):
        """The administrator ended all sessions while nobody used them."""
        journal = opens(wait_seconds=0.0)
        lease, last = filled(journal, started)
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{access.name}' AND pid <> pg_backend_pid()"
        )
        assert journal.append(lease, "r1", Adopted("x"), after=last.seq).seq == last.seq + 1


class TestOwners:
    @pytest.fixture
    def fleet(self, controllers, access):
        controllers.on(access)
        return controllers

    def test_a_killed_owner_of_this_machine_is_succeeded_at_once(self, fleet, shared):
        """Though its lease has most of a minute left."""
        owner = fleet.start("hold", "production", lease=60)
        assert fleet.said(owner) == ["holding", "0"]
        with pytest.raises(Busy) as caught:
            shared.claim("production", "next")
        assert f"guard (process {owner.pid}) has the lease" in caught.value.why.what
        assert f"kill -9 {owner.pid}" in caught.value.why.hint
        fleet.kill(owner)
        assert not shared.holder("production").alive
        assert shared.claim("production", "next").fence == 2

    def test_an_owner_on_another_machine_is_waited_for(
        self, fleet, shared, monkeypatch, claim_when_possible
    ):
        """Whether it lives cannot be seen from here: only its lease says so."""
        from guarded_rollout.adapters.journal import owner as owners

        owner = fleet.start("hold", "production", lease=1.5)
        assert fleet.said(owner) == ["holding", "0"]
        monkeypatch.setattr(owners, "here", lambda: "box-b boot pids")
        with pytest.raises(Busy) as caught:
            shared.claim("production", "next")
        assert f"guard (process {owner.pid}) on {os.uname().nodename}" in caught.value.why.what
        assert "when it has run out" in caught.value.why.hint
        fleet.kill(owner)
        with pytest.raises(Busy):
            shared.claim("production", "next")
        assert claim_when_possible(shared).fence == 2

    def test_a_stalled_owner_that_wakes_up_writes_nothing_any_more(
        self, fleet, shared, started, claim_when_possible
    ):
        """Stopped in a tight loop of appends, succeeded when its lease is over, then woken."""
        shared.begin("production", "r1", started(), exclusive=True)
        owner = fleet.start("append", "production", lease=1)
        word, fence, _ = fleet.said(owner)
        assert (word, fence) == ("claimed", "1")
        for _ in range(10):
            fleet.said(owner)
        os.kill(owner.pid, signal.SIGSTOP)
        lease = claim_when_possible(shared)
        assert lease.fence == 2
        after = shared.entries("r1")[-1].seq
        mine = shared.append(lease, "r1", Adopted("next"), after=after)
        os.kill(owner.pid, signal.SIGCONT)
        assert owner.wait(60) != 0
        told = [line.split() for line in owner.stdout.read().splitlines()]
        assert told[-1][:2] == ["lost", "Busy"]
        assert all(int(line[0]) < mine.seq for line in told[:-1])
        assert shared.entries("r1")[-1] == mine
        assert shared.verify().problem is None

    @pytest.mark.parametrize("verb", ["begin", "claim"])
    def test_of_eight_processes_that_race_exactly_one_wins(self, fleet, shared, verb):
        """Ten rounds. The others are told by name who won."""
        for environment, named in fleet.race(verb, racers=8, rounds=10):
            if verb == "begin":
                assert shared.active(environment).rollout == named
            else:
                assert f"(process {shared.holder(environment).pid})" == named
        assert shared.verify().problem is None

    def test_a_clock_of_this_machine_that_jumps_means_nothing(self, access, opens, started):
        """Hours forward and backward: the server's time counts."""
        jumps = random.Random(3)

        class Jumping(SystemClock):
            def now(self):
                return super().now() + jumps.choice([-3600, 0, 3600])

        one, two = opens(clock=Jumping()), opens(clock=Jumping())
        lease = one.claim("production", "guard")
        for _ in range(20):
            with pytest.raises(Busy):
                two.claim("production", "other")
            one.renew(lease)
            assert 0 < two.holder("production").until - two._clock.now() <= 15
            assert two.holder("production").alive

    def test_a_forked_child_has_no_lease_and_harms_no_connection(self, shared, started):
        """It opens its own; the parent's goes on."""
        lease, last = filled(shared, started)
        child = os.fork()
        if child == 0:
            try:
                shared.claim("production", "child")
            except Busy:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert shared.append(lease, "r1", Adopted("x"), after=last.seq).seq == last.seq + 1


class TestTheDatabaseDefendsItself:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE facts SET at = 0",
            "DELETE FROM facts",
            "TRUNCATE facts, rollouts",
            "INSERT INTO facts SELECT seq + 2, rollout, at, kind, body, fence, hash, '' FROM facts",
            "INSERT INTO facts SELECT seq + 1, rollout, at, kind, body, fence, '', '' FROM facts",
            "DELETE FROM rollouts",
            "UPDATE rollouts SET environment = 'staging'",
            "UPDATE leases SET fence = fence - 1",
            "DELETE FROM leases",
            "TRUNCATE leases",
        ],
    )
    def test_history_cannot_be_rewritten_by_accident(
        self, postgres, access, shared, started, statement
    ):
        """Not even by its owner at a psql prompt."""
        import psycopg

        filled(shared, started, 1)
        with postgres.connect(access.name) as prompt:
            prompt.execute("SET search_path = guarded_rollout")
            with pytest.raises(psycopg.IntegrityError):
                prompt.execute(statement)

    def test_a_rollout_cannot_be_reopened_by_accident(self, postgres, access, shared, started):
        """Its ending stands."""
        import psycopg

        first = shared.begin("production", "r1", started(), exclusive=True)
        shared.append(None, "r1", RollbackAsked("a", "b"), after=first.seq, ended="refused")
        with postgres.connect(access.name) as prompt, pytest.raises(psycopg.IntegrityError):
            prompt.execute("UPDATE guarded_rollout.rollouts SET ended = NULL")

    def test_what_a_superuser_changed_is_found(self, postgres, access, shared, started):
        """Past the triggers; nobody acts on it."""
        filled(shared, started)
        postgres.run(
            "SET session_replication_role = replica",
            "UPDATE guarded_rollout.facts SET at = 1 WHERE seq = 3",
            name=access.name,
        )
        assert shared.verify().broken_at == 3
        with pytest.raises(Broken, match=r"entry 3 .* cannot be trusted"):
            shared.entries("r1")

    def test_a_role_s_own_settings_change_nothing(self, postgres, opens, started):
        """Durable, and the same values, whatever the role sets."""
        for setting in (
            "synchronous_commit = off",
            "extra_float_digits = 0",
            "bytea_output = escape",
            "default_transaction_isolation = serializable",
            "search_path = nowhere",
        ):
            postgres.run(f"ALTER ROLE dhash SET {setting}")
        try:
            journal = opens()
            filled(journal, started)
            assert journal._server.ask("SELECT current_setting('synchronous_commit')") == [
                ("local",)
            ]
            assert journal.verify().problem is None
        finally:
            postgres.run("ALTER ROLE dhash RESET ALL")

    def test_many_may_create_it_at_once(self, access, clock, at_once):
        """It appears whole, once."""
        at_once(8, lambda: _soundly(PostgresJournal(access, clock)))

    def test_a_newer_version_is_not_touched(self, postgres, access, opens, shared, clock):
        """It may mean things this version does not know."""
        postgres.run("UPDATE guarded_rollout.meta SET value = 7", name=access.name)
        for use in (opens, open_readonly(access, clock).known):
            with pytest.raises(NotPossible, match="schema 7, this one knows 1"):
                use()


def _soundly(journal):
    assert journal.verify().problem is None
    journal.close()


class TestWhatIsRefused:
    def test_looking_makes_no_tables(self, postgres, access, clock):
        """And finds nothing."""
        journal = open_readonly(access, clock)
        assert journal.known() == ()
        assert journal.entries("r1") == ()
        assert journal.holder("production") is None
        assert journal.verify().entries == 0
        schemas = "SELECT 1 FROM pg_namespace WHERE nspname = 'guarded_rollout'"
        assert postgres.run(schemas, name=access.name) == []

    def test_a_wrong_password_is_not_shown(self, access, clock, monkeypatch):
        """The journal's own variable goes before the service's."""
        monkeypatch.setenv("ROLLOUT_JOURNAL_PASSWORD", "swordfish-1")
        with pytest.raises(BadInput) as caught:
            PostgresJournal(access, clock)
        assert "refuses the password of dhash" in caught.value.why.what
        assert "ROLLOUT_JOURNAL_PASSWORD" in caught.value.why.hint
        assert "swordfish" not in str(caught.value)

    def test_a_password_may_lie_in_a_file_or_in_pgpass(
        self, access, clock, monkeypatch, tmp_path, opens
    ):
        """Its own, that is."""
        password = os.environ["PGPASSWORD"]
        monkeypatch.delenv("PGPASSWORD")
        (tmp_path / "word").write_text(f"{password}\n")
        monkeypatch.setenv("ROLLOUT_JOURNAL_PASSWORD_FILE", str(tmp_path / "word"))
        opens()
        monkeypatch.delenv("ROLLOUT_JOURNAL_PASSWORD_FILE")
        line = f"*:*:*:*:{password}\n"
        (tmp_path / "pgpass").write_text(line)
        (tmp_path / "pgpass").chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
        opens()

    def test_a_database_or_a_role_that_is_not_there_is_named(self, access, clock):
        """In the words of the configuration."""
        with pytest.raises(BadInput, match="there is no database nowhere on"):
            PostgresJournal(replace(access, name="nowhere"), clock)
        with pytest.raises(BadInput, match=r"password of nobody|does not let nobody"):
            PostgresJournal(replace(access, user="nobody"), clock)
