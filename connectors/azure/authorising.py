"""Requests to the container that somebody else made: their signature is taken off, and ours put on.

Microsoft's pages "Authorize with Shared Key" and "Create a service SAS".
"""

from email.utils import formatdate
from urllib.parse import quote, unquote, urlsplit

from connectors.azure.settings import AzureSettings
from connectors.azure.signing import Query, SharedKey
from connectors.http1.others import below, below_url, encoded, joined, kept, pairs, require_origin, values
from connectors.interface import Authorised, ErrorForm, NotPermitted, Origin, Request, Unsupported

_OURS = ("date", "x-ms-date", "x-ms-copy-source-authorization", "x-ms-source-authorization")
_COPY_SOURCE = "x-ms-copy-source"
# the parameters of service, account and user delegation SAS
_SAS = frozenset(
    {
        *("sv", "ss", "srt", "sr", "si", "sp", "st", "se", "sip", "spr", "sig", "ses", "sdd", "saoid"),
        *("suoid", "scid", "skoid", "sktid", "skt", "ske", "sks", "skv", "sduoid", "rscc", "rscd", "rsce"),
        *("rscl", "rsct"),
    }
)
# of List Blobs
_LISTING = frozenset(
    {
        *("restype", "comp", "prefix", "delimiter", "marker", "maxresults", "include", "showonly"),
        *("startfrom", "timeout"),
    }
)


class Authoriser:
    """Lets others' requests for blobs of the account in, by its key or its token."""

    def __init__(self, settings: AzureSettings, key: SharedKey | None, token: str, version: str) -> None:
        url = urlsplit(settings.endpoint())
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        path, form = f"{settings.path()}/", ErrorForm.AZURE
        self.origin = Origin(url.scheme, host, port, path, settings.ca, flat_names=True, errors=form)
        self._base = f"{settings.prefix}/" if settings.prefix else ""
        self._key = key
        self._token = token
        self._version = version

    def authorise(self, request: Request) -> Authorised:
        """The request with a Shared Key signature, or with the token in its query."""
        require_origin(request, [self.origin])
        path, _, text = request.target.partition("?")
        query = _plain(text)
        self._require_ours(request, below(path, self.origin.path), query)
        fields = [
            (name, self._source(value) if name == _COPY_SOURCE else value)
            for name, value in kept(request, _OURS)
        ]
        if not values(request, "x-ms-version"):
            fields.append(("x-ms-version", self._version))
        asked = encoded(query)
        if self._key is None:
            target = f"{path}?{'&'.join(filter(None, (asked, self._token)))}"
            return Authorised(target, fields, _token_spellings(self._token))
        fields.append(("x-ms-date", formatdate(usegmt=True)))
        signature = self._key.authorization(request.method, path, _merged(query), joined(fields))
        fields.append(("authorization", signature))
        target = f"{path}?{asked}" if asked else path
        return Authorised(target, fields, (signature, signature.rpartition(":")[2]))

    def _require_ours(self, request: Request, blob: str, query: Query) -> None:
        """Raises NotPermitted for what reaches beyond the account's blobs, Unsupported for batches."""
        if ("comp", "batch") in [(name, value.lower()) for name, value in query]:
            raise Unsupported("the requests in a batch are signed one by one, which can't be done anew")
        if values(request, "x-ms-rename-source"):
            raise NotPermitted("x-ms-rename-source is not passed on")
        for source in values(request, _COPY_SOURCE):
            copied = below_url(source, self.origin)
            if not copied or not copied.startswith(self._base):
                raise NotPermitted("the source of the copy is not the account's")
        if blob:
            if not blob.startswith(self._base):
                raise NotPermitted("the blob is not below the account's folder of the container")
        elif [value for name, value in query if name == "restype"] != ["container"]:
            # else it is a blob of the storage account's root container
            raise NotPermitted("a request for the container itself needs restype=container")
        elif self._base and not self._is_fit(request.method, query):
            raise NotPermitted("this reaches beyond the account's folder of the container")

    def _is_fit(self, method: str, query: Query) -> bool:
        """Whether it is the container's properties, or a listing with the account's folder as its prefix."""
        names = sorted(name for name, _ in query if name != "timeout")
        if method in ("GET", "HEAD") and names == ["restype"]:
            return True
        acts = [value for name, value in query if name == "comp"]
        prefixes = [value for name, value in query if name == "prefix"]
        listing = method == "GET" and acts == ["list"] and _LISTING.issuperset(names)
        return listing and len(prefixes) == 1 and prefixes[0].startswith(self._base)

    def _source(self, url: str) -> str:
        """A copy's source with our token in place of any other."""
        path, _, text = url.partition("?")
        query = "&".join(filter(None, (encoded(_plain(text)), self._token)))
        return f"{path}?{query}" if query else path


def _plain(text: str) -> list[tuple[str, str]]:
    """The query without any token's parameters; names in lower case, which Azure does not tell apart."""
    return [(name.lower(), value) for name, value in pairs(text) if name.lower() not in _SAS]


def _merged(query: Query) -> list[tuple[str, str]]:
    """A name that comes twice is signed once, its values in order with commas between."""
    found: dict[str, list[str]] = {}
    for name, value in query:
        found.setdefault(name, []).append(value)
    return [(name, ",".join(sorted(several))) for name, several in found.items()]


def _token_spellings(token: str) -> tuple[str, ...]:
    signature = dict(pair.partition("=")[::2] for pair in token.split("&")).get("sig", "")
    plain = unquote(signature)
    return tuple(dict.fromkeys((token, signature, plain, quote(plain, safe=""), token.replace("&", "&amp;"))))
