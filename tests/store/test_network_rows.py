"""A network's authorities: setting them makes its accounts, and no others, new to whoever has them open."""

from store.engine import Database
from store.queries import accounts, networks
from tests.store.rows import account, network, tenant


async def test_its_accounts_are_opened_anew(database: Database) -> None:
    application = (await tenant(database)).application
    office, lab = await network(database), await network(database, "lab")
    inside = await account(database, application, network=office)
    others = [await account(database, application, network=place) for place in (lab, None)]
    async with database.session() as session:
        await networks.trust(session, office, "PEM")
    async with database.session() as session:
        assert await networks.authorities_of(session, office) == "PEM"
        assert await networks.authorities_of(session, lab) is None
        assert await networks.authorities_of(session, None) is None
        found = [await accounts.fetch(session, one) for one in (inside, *others)]
        assert [row.revision for row in found if row is not None] == [1, 0, 0]
        await networks.trust(session, office, None)
        assert await networks.authorities_of(session, office) is None
