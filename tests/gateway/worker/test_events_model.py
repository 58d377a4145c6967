"""Whoever follows the events has the store's tree, whatever others and the gateway do to it, and when."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from connectors.interface import Unavailable
from store import migrate
from tests.gateway.worker.eventful import Hook, Node, World, world

type Change = tuple[bool, str, str, str]
"""Whether the gateway makes it, the operation, the path, where a move goes."""

PATHS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map("/".join)
CHANGE = st.tuples(st.booleans(), st.sampled_from(["/write", "/mkdir", "/move", "/delete"]), PATHS, PATHS)


class Ended(Exception):
    """What ends a crawl between two of its transactions."""


async def change(world: World, one: Change) -> None:
    """The change, by the gateway or behind its back, if it makes sense in the tree as it is."""
    ours, operation, path, to = one
    if not makes_sense(world, operation, path, to):
        return
    if ours:
        await world.ours(operation, path, to)
    elif operation == "/write":
        world.store.put(path)
    elif operation == "/mkdir":
        world.store.nodes[path] = Node(None)
    elif operation == "/move":
        world.store.rename(path, to)
    else:
        world.store.remove(path)


def makes_sense(world: World, operation: str, path: str, to: str) -> bool:
    nodes = world.store.nodes

    def is_folder(folder: str) -> bool:
        return not folder or (folder in nodes and nodes[folder].version is None)

    if operation == "/mkdir":
        return path not in nodes and is_folder(path.rpartition("/")[0])
    if operation == "/write":
        return not is_folder(path) and is_folder(path.rpartition("/")[0])
    if path not in nodes or operation == "/delete":
        return path in nodes
    return to not in nodes and is_folder(to.rpartition("/")[0]) and not f"{to}/".startswith(f"{path}/")


class Model(RuleBasedStateMachine):
    """Changes; crawls that nothing disturbs, with changes in their midst, and ones that break off."""

    template: ClassVar[Path]
    number: ClassVar[int] = 0
    world: World

    @initialize()
    def begin(self) -> None:
        Model.number += 1
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.file = self.template.parent / f"model-{Model.number}.db"
        shutil.copy(self.template, self.file)
        self.world = self.run(
            self.stack.enter_async_context(world(self.file.parent, f"sqlite:///{self.file}"))
        )

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.run(self.stack.aclose())
            self.loop.close()
            for file in self.file.parent.glob(f"{self.file.name}*"):
                file.unlink()

    def crawl_with(self, at: int, act: Hook) -> None:
        """A crawl in which something happens when this page was listed and is not compared yet."""
        pages = 0

        async def after_page() -> None:
            nonlocal pages
            pages += 1
            if pages == at + 1:
                await act()

        self.world.store.after_page = after_page
        self.run(self.world.crawl())
        self.world.store.after_page = None

    @rule(one=CHANGE)
    def something_changes(self, one: Change) -> None:
        self.run(change(self.world, one))

    @rule(changes=st.lists(CHANGE, min_size=3, max_size=8))
    def much_changes(self, changes: list[Change]) -> None:
        for one in changes:
            self.run(change(self.world, one))

    @rule(at=st.integers(0, 3), changes=st.lists(CHANGE, min_size=1, max_size=3))
    def it_changes_under_a_crawl(self, at: int, changes: list[Change]) -> None:
        async def meanwhile() -> None:
            for one in changes:
                await change(self.world, one)

        self.crawl_with(at, meanwhile)

    @rule(at=st.integers(0, 3))
    def a_crawl_breaks_off(self, at: int) -> None:
        async def broken() -> None:
            raise Unavailable("the connection broke")

        self.crawl_with(at, broken)

    @rule(at=st.integers(0, 2))
    def a_crawl_ends_while_it_tells(self, at: int) -> None:
        steps, feeds = 0, self.world.desk.feeds
        wake = feeds.wake

        def ended(account_id: int) -> None:
            nonlocal steps
            steps += 1
            if steps == at + 1:
                raise Ended

        feeds.wake = ended  # type: ignore[method-assign]  # called behind each transaction
        self.run(self.world.crawl())
        feeds.wake = wake  # type: ignore[method-assign]

    @rule()
    def a_crawl_that_nothing_disturbs(self) -> None:
        for _ in range(2):  # a store that became empty is believed the second time
            self.run(self.world.crawl())
        self.run(self.world.read())
        assert self.world.reader.tree == self.world.truth()

    @invariant()
    def each_event_makes_sense(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.read())


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "state.db"
    migrate.upgrade(f"sqlite:///{file}")
    return file


@pytest.mark.slow
def test_who_follows_the_events_has_the_tree(migrated: Path) -> None:
    Model.template = migrated
    bounded = settings(
        max_examples=20, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Model, settings=bounded)
