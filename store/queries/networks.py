"""Private networks, agents, invitations."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Account, Agent, Enrolment, Network


async def create(session: AsyncSession, name: str) -> Network:
    """The new network. Raises Duplicate when the name is taken."""
    network = Network(name=name)
    session.add(network)
    await session.flush()
    return network


async def by_name(session: AsyncSession, name: str) -> Network | None:
    """The network of that name, or None."""
    return await session.scalar(select(Network).where(Network.name == name))


async def every(session: AsyncSession) -> Sequence[Network]:
    """Every network, by name."""
    return (await session.scalars(select(Network).order_by(Network.name))).all()


async def fetch(session: AsyncSession, network_id: int) -> Network | None:
    """The network, or None."""
    return await session.get(Network, network_id)


async def authorities_of(session: AsyncSession, network_id: int | None) -> str | None:
    """Whom the network's stores are checked with, as PEM; None where nobody said, or without a network."""
    if network_id is None:
        return None
    return await session.scalar(select(Network.authorities).where(Network.id == network_id))


async def trust(session: AsyncSession, network_id: int, authorities: str | None) -> None:
    """Sets whom the network's stores are checked with, as PEM; None is whom the machine trusts.

    Its accounts' revisions grow, so that workers open them anew and the proxy asks again.
    """
    network = update(Network).where(Network.id == network_id)
    await session.execute(network.values(authorities=authorities))
    members = update(Account).where(Account.network_id == network_id)
    await session.execute(members.values(revision=Account.revision + 1))


async def add_enrolment(session: AsyncSession, network_id: int, digest: bytes, expires: datetime) -> None:
    """Keeps an invitation by the digest of its secret."""
    session.add(Enrolment(network_id=network_id, digest=digest, expires=expires))
    await session.flush()


async def use_enrolment(session: AsyncSession, digest: bytes, at: datetime) -> Network | None:
    """The network that the invitation is for, once: None when unknown, used or expired."""
    take = (
        update(Enrolment)
        .where(Enrolment.digest == digest, Enrolment.used_at.is_(None), Enrolment.expires > at)
        .values(used_at=at)
    )
    if not (await session.execute(take)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        return None
    return await session.scalar(select(Network).join(Enrolment).where(Enrolment.digest == digest))


async def add_agent(session: AsyncSession, network_id: int, name: str, public_key: bytes) -> Agent:
    """The new agent. Raises Duplicate when the key is known already."""
    agent = Agent(network_id=network_id, name=name, public_key=public_key)
    session.add(agent)
    await session.flush()
    return agent


async def agent(session: AsyncSession, agent_id: int) -> Agent | None:
    """The agent, revoked or not; or None."""
    return await session.get(Agent, agent_id)


async def agents_of(session: AsyncSession, network_id: int) -> Sequence[Agent]:
    """The network's agents, in id order."""
    members = select(Agent).where(Agent.network_id == network_id)
    return (await session.scalars(members.order_by(Agent.id))).all()


async def revoke_agent(session: AsyncSession, agent_id: int) -> bool:
    """Whether there was such an agent that could still connect; it can't any more."""
    ended = update(Agent).where(Agent.id == agent_id, Agent.revoked.is_(False)).values(revoked=True)
    return bool((await session.execute(ended)).rowcount)  # type: ignore[attr-defined]  # a CursorResult


async def saw_agent(session: AsyncSession, agent_id: int, policy: str, at: datetime) -> None:
    """Notes that the agent connected, and the allow-list that it told."""
    await session.execute(update(Agent).where(Agent.id == agent_id).values(policy=policy, last_seen=at))
