"""Changing what the proxy does: clusters first, then the routes in one rename, or all as before."""

from collections.abc import Callable

from guarded_rollout.adapters.envoy import live
from guarded_rollout.adapters.envoy.admin import Session
from guarded_rollout.adapters.envoy.config_files import ConfigFiles
from guarded_rollout.adapters.envoy.frame import Resource
from guarded_rollout.adapters.envoy.marks import Mark
from guarded_rollout.adapters.envoy.proxy import Proxy
from guarded_rollout.adapters.envoy.routes import routes
from guarded_rollout.adapters.envoy.visitors import Visitors
from guarded_rollout.adapters.envoy.wires import Lane, Wiring, wiring
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Route

BACK_SECONDS = 5.0
NOTHING = Mark(Route(None, None, 0), 0, ())


class Changes:
    """Only to be used by whoever holds the folder's lock."""

    def __init__(
        self, files: ConfigFiles, proxy: Proxy, health_path: str, visitors: Visitors
    ) -> None:
        self._files = files
        self._proxy = proxy
        self._health_path = health_path
        self._visitors = visitors

    def first(self) -> None:
        """Before the proxy's start: the last good files, or the first ones."""
        for kind in ("cds", "rds"):
            self._files.put_back(kind)
        if self._files.mark() is None:
            self._files.put("cds", NOTHING.version, [])
            self._files.put("rds", NOTHING.version, [routes(NOTHING, Wiring({}), self._visitors)])

    def settled(self) -> Mark:
        """Wait for the proxy, see to it that its files say what it does, return its mark.

        They differ when a controller died in the middle of a change: then what is live counts,
        or the last good routes when a restarted proxy refused the newer ones.
        """
        mark = self._proxy.until(self._proxy.ready_seconds, self._ready)
        if mark is None:
            raise self._proxy.silent()
        if mark != self._files.mark():
            mark = self._files.mark(good=True) or NOTHING
            self.put_back(mark)
        elif mark != self._files.mark(good=True):
            self._files.keep()
        return mark

    def shift(self, route: Route, last: Mark) -> None:
        """From the routes of `last` to these, in one change; Broken: nothing has moved."""
        wires = wiring(route, self._health_path, pins=self._visitors.pin is not None)
        mark = Mark(route, last.counter + 1, tuple(sorted(wires.clusters)))
        try:
            self._wire(wires, mark, last)
            for lane in wires.lanes:
                self._await_healthy(lane)
            self._turn(wires, mark)
        except BaseException:
            self.put_back(last)
            raise
        self._files.keep()

    def put_back(self, mark: Mark) -> None:
        """The last good files again. Routes first: the clusters they leave may go only then."""
        self._files.put_back("rds")
        self._proxy.until(BACK_SECONDS, lambda: self._proxy.look(live.live_mark) == mark)
        self._files.put_back("cds")

    def hand_over(
        self, kind: str, put: Callable[[], None], taken: Callable[[Session], bool]
    ) -> None:
        """Give the proxy a file, wait until it has taken it up. Broken when it refuses."""
        before = self._proxy.look(lambda session: live.refusals(session, kind)) or 0
        put()

        def look(session: Session) -> str | None:
            if taken(session):
                return "taken"
            return "refused" if live.refusals(session, kind) > before else None

        found = self._proxy.until(self._proxy.ready_seconds, lambda: self._proxy.look(look))
        if found == "refused":
            raise self._proxy.broken(
                f"the proxy refused its new {kind} file and the old one was put back",
                "config update",
            )
        if found is None:
            raise self._proxy.broken(
                f"the proxy did not take up its new {kind} file within"
                f" {self._proxy.ready_seconds:g} s and the old one was put back"
            )

    def _ready(self) -> Mark | None:
        mark = self._proxy.ready()
        if mark is None:
            refused = self._proxy.look(lambda session: live.refusals(session, "rds"))
            if refused:
                self._files.put_back("cds")
                self._files.put_back("rds")
        return mark

    def _wire(self, wires: Wiring, mark: Mark, last: Mark) -> None:
        """The route's clusters, beside those that are still needed."""
        live_clusters = self._proxy.look(live.clusters) or {}
        busy = {name for name, hosts in live_clusters.items() if any(h.active for h in hosts)}
        needed = busy | set(last.clusters)
        kept: dict[str, Resource] = {
            cluster["name"]: cluster
            for cluster in self._files.resources("cds")
            if cluster["name"] in needed
        }
        wanted = list({**kept, **wires.clusters}.values())

        def there(session: Session) -> bool:
            return set(wires.clusters) <= set(live.clusters(session))

        self.hand_over("cds", lambda: self._files.put("cds", mark.version, wanted), there)

    def _await_healthy(self, lane: Lane) -> None:
        wanted = {str(path) for path in lane.arm.sockets}

        def healthy(session: Session) -> bool:
            hosts = live.clusters(session).get(lane.own, ())
            return {h.address for h in hosts} == wanted and any(h.healthy for h in hosts)

        seconds = self._proxy.ready_seconds
        if not self._proxy.until(seconds, lambda: self._proxy.look(healthy)):
            raise Broken(
                f"no replica of {lane.arm.release} answers GET {self._health_path} with 200 within"
                f" {seconds:g} s, so no traffic was moved; its sockets: "
                + (", ".join(sorted(wanted)) or "none"),
                "look at the logs of its replicas",
            )

    def _turn(self, wires: Wiring, mark: Mark) -> None:
        def put() -> None:
            self._files.put("rds", mark.version, [routes(mark, wires, self._visitors)])

        self.hand_over("rds", put, lambda session: live.live_mark(session) == mark)
        if not self._proxy.look(lambda session: live.settle(session, self._proxy.pause)):
            raise self._proxy.broken("the proxy died while it took up new routes; the old are back")
