"""The proxy's authorities on disk: one that signs, perhaps a next one, perhaps old ones.

`proxy-ca.pem` is what clients are given: the certificate that signs first, the others behind it. It is
replaced in one step, and nothing else says which one signs; so whoever is killed in between leaves a state
that works. Keys lie beside it, each in its own file, and belong to the certificate of the same public key:

    rotate   key of the next one written; then the bundle [present, next]: both given out, the present signs
    finish   the bundle [next, present]: both given out, the next one signs; then the former's key is deleted
    retire   the bundle [next]

A next one signs by itself when it has been given out for the overlap, whether or not anybody finished.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.proxy.authority import ca
from gateway.proxy.authority.ca import Authority
from store.envelope import keyfiles

BUNDLE: Final = "proxy-ca.pem"
_KEYS: Final = "proxy-ca*.key.pem"
_FIRST_KEY: Final = "proxy-ca.key.pem"


class NotNow(Exception):
    """The step is none from the present state; the message says which is."""


@dataclass(frozen=True, slots=True)
class State:
    """The authorities whose certificates are given out, as of one moment.

    Attributes:
        signs: signs what the proxy shows to clients.
        next: takes over at `switches`.
        old: signed before; still given out.
    """

    signs: Authority
    next: Authority | None
    old: tuple[Authority, ...]
    switches: datetime | None

    @property
    def all(self) -> Sequence[Authority]:
        """Every one."""
        return [self.signs, *([self.next] if self.next else []), *self.old]


def create(folder: Path) -> None:
    """Makes an authority for every host, unless one is there. Its key's mode is 0600."""
    if (folder / BUNDLE).exists() and key_files(folder):
        return
    made, key = ca.make()
    _write(folder / _FIRST_KEY, key, 0o600)
    _write(folder / BUNDLE, made.pem, 0o644)


def state(folder: Path, overlap: timedelta, now: datetime | None = None) -> State:
    """Who signs, and who is given out besides. Raises OSError or ValueError when that can't be read."""
    moment = now or datetime.now(UTC)
    first, *others = [
        Authority(one) for one in x509.load_pem_x509_certificates((folder / BUNDLE).read_bytes())
    ]
    newer = [one for one in others if one.made > first.made]
    older = tuple(one for one in others if one not in newer)
    if not newer:
        return State(first, None, older, None)
    following, switches = newer[0], newer[0].made + overlap
    if moment >= switches:
        return State(following, None, (first, *older), None)
    return State(first, following, older, switches)


def rotate(
    folder: Path, overlap: timedelta, hosts: Sequence[str] | None = None, *, again: bool = False
) -> State:
    """Makes the next authority, constrained to the hosts unless they are None.

    Raises NotNow when there is one already, unless it is to be made `again`; ValueError as `ca.make`.
    """
    found = state(folder, overlap)
    if found.next is not None and not again:
        raise NotNow("a next authority is given out already: finish with --finish, or make it --again")
    made, key = ca.make(hosts, _after(found))
    present = key_file(folder, found.signs)
    _write(folder / f"proxy-ca-{made.fingerprint[:16]}.key.pem", key, 0o600, like=present)
    _publish(folder, [found.signs, made, *found.old])
    _sweep(folder, [found.signs, made])
    return state(folder, overlap)


def finish(folder: Path, overlap: timedelta) -> State:
    """The next authority signs from now on; the former is still given out, and its key is gone.

    Where the overlap is over, so that the next one signs already, this puts that in the files. Raises NotNow.
    """
    found = state(folder, overlap)
    if found.next is None and not found.old:
        raise NotNow("there is no next authority: 'isthmus proxy ca rotate' makes one")
    signs, former = (found.next, [found.signs]) if found.next else (found.signs, [])
    key_file(folder, signs)  # raises before anything changes
    _publish(folder, [signs, *former, *found.old])
    _sweep(folder, [signs])
    return state(folder, overlap)


def retire(folder: Path, overlap: timedelta) -> State:
    """Old authorities are given out no more. Raises NotNow when there are none."""
    found = state(folder, overlap)
    if not found.old:
        raise NotNow("no old authority is given out")
    kept = [found.signs, *([found.next] if found.next else [])]
    _publish(folder, kept)
    _sweep(folder, kept)
    return state(folder, overlap)


def key_files(folder: Path) -> Sequence[Path]:
    """The files with keys; each is for the proxy's user alone."""
    return sorted(folder.glob(_KEYS))


def key_file(folder: Path, authority: Authority) -> Path:
    """Where the authority's key lies. Raises OSError when it is not there, or not for us to read."""
    wanted, unreadable = authority.certificate.public_key(), None
    for path in key_files(folder):
        try:
            if load_key(path).public_key() == wanted:
                return path
        except OSError as error:
            unreadable = error
    raise unreadable or FileNotFoundError(f"the key of authority {authority.fingerprint[:16]} is not there")


def load_key(path: Path) -> EllipticCurvePrivateKey:
    """The key in a file. Raises OSError, and ValueError for another kind."""
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} holds no EC key")
    return key


def _after(found: State) -> datetime:
    """When a next one is made: what is newer is told by that, to the second, as certificates have it."""
    return max(datetime.now(UTC), *(one.made + timedelta(seconds=1) for one in found.all))


def _publish(folder: Path, authorities: Iterable[Authority]) -> None:
    bundle = folder / BUNDLE
    _write(bundle, "".join(one.pem for one in authorities), 0o644, like=bundle)


def _sweep(folder: Path, kept: Sequence[Authority]) -> None:
    """Deletes keys of nobody who signs or will: of old ones, and what was left by whoever was killed."""
    wanted = [one.certificate.public_key() for one in kept]
    for path in key_files(folder):
        if load_key(path).public_key() not in wanted:
            path.unlink()


def _write(path: Path, text: str, mode: int, like: Path | None = None) -> None:
    """Replaces the file in one step, on disk when this returns; readable by those who may read `like`."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            if like is not None:
                keyfiles.same_readers(Path(beside), like)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
