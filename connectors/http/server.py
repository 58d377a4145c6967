"""One API as requests see it: its place, its connections, and the authorisation that they carry."""

from urllib.parse import urlsplit

from connectors.http.credentials import credentials_of
from connectors.http.settings import HttpSettings
from connectors.http1 import Response
from connectors.http1.authorisation import Authorisation
from connectors.http1.connection import Headers
from connectors.http1.others import require_below
from connectors.http1.places import client_of
from connectors.http1.secure import tls_context
from connectors.interface import Authorised, Context, Origin, Request

_MOST_CONNECTIONS = 64
# by these some servers take a request for another path than was judged
_OTHER_PATHS = ("x-original-url", "x-rewrite-url", "x-original-uri")


class Server:
    """Sends requests below the account's URL, authorised.

    Attributes:
        place: the account's URL, for those who send requests of their own.
        root: its path as it was given, with a last slash or without.
    """

    def __init__(self, settings: HttpSettings, context: Context) -> None:
        self.place = Origin.of(settings.url, settings.ca)
        self.root = self.place.path if urlsplit(settings.url).path[-1:] in ("", "/") else self.place.path[:-1]
        tls = tls_context(settings.ca, settings.identity()) if self.place.scheme == "https" else None
        self._client = client_of(self.place, context, tls, max_connections=_MOST_CONNECTIONS)
        self._credentials = credentials_of(settings, context)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._client.aclose()
        await self._credentials.aclose()

    async def request(self, method: str, path: str, fields: Headers = ()) -> Response:
        """The answer of a request without a body, whatever its status; a 401 only where no better is known.

        Raises what `Client.request` raises, and BadCredential.
        """
        answer = await self._sent(method, path, fields, await self._credentials.current())
        if answer.status == 401:
            await answer.aclose()
            answer = await self._sent(method, path, fields, await self._credentials.current(refused=True))
        return answer

    async def authorise(self, request: Request, refused: str | None) -> Authorised:
        """Another's request below the account's URL, authorised; as `CanAuthorise.authorise`."""
        require_below(request, self.place)
        authorisation = await self._credentials.current(refused=refused is not None)
        return authorisation.put(request, _OTHER_PATHS)

    async def _sent(self, method: str, path: str, fields: Headers, authorisation: Authorisation) -> Response:
        own = [(name.encode(), value.encode()) for name, value in authorisation.fields]
        return await self._client.request(method, authorisation.target(path), [*fields, *own])
