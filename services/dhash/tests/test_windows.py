from dhash.metrics import Totals
from dhash.windows import History, failure_rate_percent, quantile_seconds

INF = float("inf")


def test_no_traffic_has_no_rate():
    assert failure_rate_percent(Totals(), Totals()) is None
    assert quantile_seconds(Totals(), Totals(), 0.95) is None


def test_rate_and_quantile_are_of_the_window_only():
    then = Totals(ok=90, failed=10, hash_buckets={1.0: 90, 2.0: 100, INF: 100})
    now = Totals(ok=99, failed=11, hash_buckets={1.0: 91, 2.0: 110, INF: 110})
    assert failure_rate_percent(now, then) == 10
    assert quantile_seconds(now, then, 0.05) == 1.0
    assert quantile_seconds(now, then, 0.95) == 2.0
    slow = Totals(hash_buckets={1.0: 0, 2.0: 0, INF: 4})
    assert quantile_seconds(slow, Totals(), 0.95) == 2.0


def test_history_begins_where_the_window_begins():
    history = History()
    for moment in range(0, 3000, 15):
        history.add(moment, Totals(ok=moment))
    assert history.before(2985, 600).ok == 2385
    assert history.before(2985, 900).ok == 2085
    young = History()
    young.add(100, Totals(ok=5))
    assert young.before(130, 600).ok == 5
