"""Requests to the bucket's JSON API that somebody else made: the account's token in place of what they had.

https://cloud.google.com/storage/docs/json_api/v1 has the methods; each names objects by segments of its path.
"""

from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote

from connectors.gcs.settings import GcsSettings
from connectors.http1.authorisation import NOBODY, bearer
from connectors.http1.others import Query, below, encoded, pairs, require_origin
from connectors.http1.tokens import Tokens
from connectors.interface import Authorised, ErrorForm, NotPermitted, Origin, Request

_ROOTS: Final = ("/storage/v1/b/", "/upload/storage/v1/b/", "/download/storage/v1/b/")
_CALLERS_QUERY = frozenset({"access_token", "oauth_token", "key"})
_COPIES = frozenset({"copyTo", "rewriteTo"})  # .../o/SOURCE/copyTo/b/BUCKET/o/TARGET
_LISTING = frozenset(
    {
        *("prefix", "delimiter", "pagetoken", "maxresults", "startoffset", "endoffset", "versions"),
        *("includetrailingdelimiter", "matchglob", "projection", "fields", "softdeleted", "alt"),
        *("prettyprint", "userproject", "includefoldersasprefixes", "filter"),
    }
)


class Authoriser:
    """Lets others' requests for objects of the account in, by its current token."""

    def __init__(self, settings: GcsSettings, place: Origin, tokens: Tokens | None) -> None:
        self.origins = tuple(
            replace(place, path=f"{root}{quote(settings.bucket)}/", flat_names=True, errors=ErrorForm.GOOGLE)
            for root in _ROOTS
        )
        self._name = settings.bucket
        self._base = f"{settings.prefix}/" if settings.prefix else ""
        self._tokens = tokens

    async def authorise(self, request: Request, refused: str | None) -> Authorised:
        """The request with a Bearer token, a new one after a refusal; as `CanAuthorise.authorise`."""
        require_origin(request, self.origins)
        path, _, text = request.target.partition("?")
        below(path, request.origin.path)
        skipped = request.origin.path.count("/")
        segments = [unquote(one, errors="surrogateescape") for one in path.split("/")[skipped:]]
        query = [(name, value) for name, value in pairs(text) if name.lower() not in _CALLERS_QUERY]
        if segments and not segments[-1]:
            segments.pop()
        self._require_ours(request, segments, query)
        authorisation = NOBODY
        if self._tokens is not None:
            if refused is not None:
                self._tokens.refused()
            authorisation = bearer(await self._tokens.current())
        plain = replace(request, target=f"{path}?{encoded(query)}" if query else path)
        return authorisation.put(plain, ("x-goog-api-key",))

    def _require_ours(self, request: Request, segments: list[str], query: Query) -> None:
        """Raises NotPermitted for what reaches beyond the account's objects."""
        match segments:
            case ["o", source, verb, "b", bucket, "o", target] if verb in _COPIES:
                fits = self._has(source) and bucket == self._name and self._has(target)
            case ["o", _, verb, *_] if verb in _COPIES:
                fits = False
            case _ if not self._base:
                fits = True
            case ["o", source, "moveTo", "o", target]:
                fits = self._has(source) and self._has(target)
            case ["o", _, "compose" | "moveTo", *_]:  # the sources stand in the body
                fits = False
            case ["o", name, *_]:
                fits = self._has(name)
            case ["o"]:
                fits = self._is_fit_listing(request, query) or self._is_fit_upload(request, query)
            case _:
                fits = not segments and request.method == "GET"
        if not fits:
            raise NotPermitted("this reaches beyond the account's objects of the bucket")

    def _has(self, name: str) -> bool:
        return name.startswith(self._base)

    def _is_fit_listing(self, request: Request, query: Query) -> bool:
        prefixes = [value for name, value in query if name.lower() == "prefix"]
        known = _LISTING.issuperset(name.lower() for name, _ in query)
        return request.method == "GET" and known and len(prefixes) == 1 and self._has(prefixes[0])

    def _is_fit_upload(self, request: Request, query: Query) -> bool:
        """Whether the name is in the query, which wins over the body's; a session's was when it began."""
        names = [value for name, value in query if name.lower() == "name"]
        session = any(name.lower() == "upload_id" and value for name, value in query)
        uploads = request.origin.path.startswith("/upload/") and request.method in ("POST", "PUT", "DELETE")
        return uploads and (len(names) == 1 or (session and not names)) and all(map(self._has, names))
