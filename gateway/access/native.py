"""Whether an account's connector can be used by programs with the store's own API."""

from connectors import registry
from connectors.interface import Capability, Unsupported


def require_native(service: str) -> None:
    """Raises Unsupported, which names those that can, where the connector can't authorise such requests.

    Said when a token for the proxy is made: a program that runs into it would show a refusal of its own.
    """
    if Capability.RAW in registry.require(service).capabilities:
        return
    able = sorted(name for name, one in registry.installed().items() if Capability.RAW in one.capabilities)
    raise Unsupported(
        f"the {service} connector can't send requests in the store's own API; these can: {', '.join(able)}"
    )
