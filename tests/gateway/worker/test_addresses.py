"""Which addresses a caller's URL may lead to, whatever they are spelled like."""

from ipaddress import ip_address, ip_network

import pytest

from gateway.worker.outside.addresses import is_public

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
OURS_ALONE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", OURS_ALONE)
def test_other_addresses_are_not(text: str) -> None:
    assert not is_public(ip_address(text))


def test_a_network_that_is_allowed_is_and_no_other() -> None:
    allowed = [ip_network("127.0.0.1/32"), ip_network("fd00::/64")]
    assert is_public(ip_address("127.0.0.1"), allowed)
    assert is_public(ip_address("::ffff:127.0.0.1"), allowed)
    assert is_public(ip_address("fd00::5"), allowed)
    assert not is_public(ip_address("127.0.0.2"), allowed)
