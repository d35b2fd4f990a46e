"""Which hosts are this machine."""

from ipaddress import ip_address


def loopback(host: str) -> bool:
    """Whether what is sent to this host's name or address stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
