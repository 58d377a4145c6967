"""The page that says what each store can do, held against the classes."""

from pathlib import Path

from connectors import registry
from connectors.interface import Capability, implemented

PAGE = Path(__file__).parents[2] / "docs" / "connectors" / "support.md"


def rows() -> dict[str, list[str]]:
    """The cells of the page's first table, by the first of each row."""
    table = [line for line in PAGE.read_text().split("\n\n")[2].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {first: rest for first, *rest in cells}


def test_the_table_says_what_the_classes_can() -> None:
    found = rows()
    services = found.pop("capability")
    del found["---"]
    assert {*services, "s3_compatible"} == {
        name for name, kind in registry.installed().items() if kind.__module__.startswith("connectors.")
    }
    assert list(found) == [str(capability) for capability in Capability]
    for capability, marks in found.items():
        told = {service for service, mark in zip(services, marks, strict=True) if mark}
        able = {s for s in services if Capability(capability) in implemented(registry.require(s))}
        assert told == able, capability
