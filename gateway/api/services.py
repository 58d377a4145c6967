"""The services that accounts can be connected on, for whoever asks (API.md 7)."""

from starlette.responses import Response

from connectors import registry
from connectors.interface import settings_schema
from gateway.api import resources
from gateway.api.call import Call, resource

_APIS = {"storage"}


async def index(call: Call) -> Response:
    """Every installed connector; none when only other APIs than ours are asked for.

    `settings` is our own: the JSON schema of what an account of the service takes, secrets write-only.
    `app_id` is taken as it comes: every application has every service.
    """
    asked = {api for api in call.query_params.get("apis", "").split(",") if api}
    installed = {} if asked and not asked & _APIS else registry.installed()
    services = [
        {
            "name": name,
            "friendly_name": kind.friendly_name,
            "category": kind.category,
            "logo_url": None,
            "apis": sorted(_APIS),
            "settings": settings_schema(kind),
        }
        for name, kind in sorted(installed.items())
    ]
    return resources.listing(services, "meta", total=len(services))


ROUTES = [resource("/v1/public/services", GET=index)]
