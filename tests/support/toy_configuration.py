"""The smallest rollout.toml, of a service that does not exist."""

ROLLOUT = """\
[service]
name = "toy"
source = "toy"
start = ["{python}", "-m", "toy", "--uds", "{socket}"]
health = "/health"

[service.metrics]
failures = 'toy_total{result="failed"}'
durations = "toy_seconds"
queue = "toy_queue"

[[service.checks]]
name = "health"
path = "/health"

[environments.production]
listen = "127.0.0.1:18080"
database = "sqlite:data/production/toy.db"

[environments.staging]
listen = "127.0.0.1:18081"
database = "sqlite:data/staging/toy.db"
"""
