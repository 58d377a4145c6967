"""The pages behind a link's URL, as HTML: no script, nothing from elsewhere, every text escaped."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from starlette.responses import Response

_STYLE = """
:root { color-scheme: light dark }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1.5rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere }
form { display: grid; gap: .6rem }
input, button, .button { font: inherit; padding: .6rem 1.2rem; border-radius: .4rem; border: 1px solid }
button, .button { background: #14508c; color: #fff; text-decoration: none; display: inline-block }
.error { border-left: .3rem solid #b3261e; padding-left: .8rem }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the URL is the secret
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

_FAILURES = {
    404: ("Nothing here", "This link leads to no file. It may have expired or been switched off."),
    413: ("Not understood", "What was sent is too large."),
    429: ("Too many tries", "Too many wrong passwords. Wait a minute, then try again."),
}
_OTHERWISE = ("Not just now", "The file can't be fetched just now. Try again later.")
# overrides of the writing direction would show "gpj.exe" as "exe.jpg"
_DIRECTION = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")


def offer(name: str, size: int | None, href: str) -> Response:
    """A file: its name, its size, and a button that downloads it."""
    shown = escape(name.translate(_DIRECTION))
    told = "" if size is None else f"<p>{_size(size)}</p>"
    return _page(
        shown, f'<h1><bdi>{shown}</bdi></h1>{told}<p><a class="button" href="{escape(href)}">Download</a></p>'
    )


def ask_password(*, wrong: bool) -> Response:
    """A form for the password; it tells nothing of the file."""
    told = '<p class="error" role="alert" id="told">This password is not right.</p>' if wrong else ""
    described = ' aria-invalid="true" aria-describedby="told"' if wrong else ""
    form = (
        '<form method="post"><label for="password">Password</label>'
        '<input id="password" name="password" type="password" required autofocus '
        f'autocomplete="off"{described}><button type="submit">Open</button></form>'
    )
    body = f"<h1>This file needs a password</h1>{told}{form}"
    return _page("Password", body, 403 if wrong else 200)


def failure(status: int, headers: Mapping[str, str]) -> Response:
    """What went wrong, without a detail: whoever sees it has no account here."""
    title, text = _FAILURES.get(status, _OTHERWISE)
    return _page(title, f'<h1>{title}</h1><p role="alert">{text}</p>', status, headers)


def _page(title: str, body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
    sent = {**HEADERS, **(headers or {})}
    return Response(html.encode("utf-8", "replace"), status, sent, media_type="text/html; charset=utf-8")


def _size(size: int) -> str:
    """`1.5 MB (1,500,000 bytes)`; below a thousand the bytes alone."""
    exact = "1 byte" if size == 1 else f"{size:,} bytes"
    if size < 1000:
        return exact
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):
        amount /= 1000
        if amount < 999.95 or unit == "EB":
            break
    return f"{amount:.1f} {unit} ({exact})"
