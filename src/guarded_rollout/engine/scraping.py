"""Reading what replicas and the proxy count. A source that fails is unknown, never fatal."""

from collections.abc import Mapping

from guarded_rollout.core.series import ProxyReading, Reading
from guarded_rollout.core.spec import Release, Service
from guarded_rollout.ports import Address, Ports

SCRAPE_TIMEOUT = 3.0


def scrape_proxy(ports: Ports) -> tuple[Mapping[str, ProxyReading], tuple[str, ...]]:
    """The proxy's counters per release name, and why there are none."""
    try:
        return ports.traffic.readings(), ()
    except Exception as error:  # noqa: BLE001 - see above
        return {}, (f"proxy: {error}",)


def scrape_replicas(
    ports: Ports, service: Service, release: Release
) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """The readings of a release's replicas, and why some gave none."""
    readings, problems = [], []
    for replica in ports.target.replicas(release):
        found = ports.web.metrics(
            Address(socket=replica.socket),
            service.metrics_path,
            service.metrics,
            replica.name,
            SCRAPE_TIMEOUT,
        )
        if isinstance(found, str):
            problems.append(f"{replica.name}: {found}")
        else:
            readings.append(found)
    return tuple(readings), tuple(problems)
