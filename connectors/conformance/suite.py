"""All the tests. Each works in a folder of its own, which is removed afterwards; nothing else is touched."""

from connectors.conformance.content import ContentTests
from connectors.conformance.entries import EntryTests
from connectors.conformance.extras import ExtraTests
from connectors.conformance.parts import PartsTests
from connectors.conformance.places import PlaceTests
from connectors.conformance.raw import RawTests


class Conformance(EntryTests, ContentTests, PlaceTests, PartsTests, ExtraTests, RawTests):
    """Subclass it as `class TestMine(Conformance)` with a fixture `store` that gives a `Store`."""
