"""The Traffic port on Envoy: configured by files, looked at through its admin socket."""

from guarded_rollout.adapters.envoy.supervisor import ProxySupervisor
from guarded_rollout.adapters.envoy.traffic import EnvoyTraffic

__all__ = ["EnvoyTraffic", "ProxySupervisor"]
