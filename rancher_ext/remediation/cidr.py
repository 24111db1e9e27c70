"""Which pod ranges are free, and which node gets which?

Pure: node ranges in, node ranges out. The controller manager cuts the cluster's range into equal blocks and gives every node
one of each address family; what it did not do is computed here by the same rule. No answer ever overlaps a range that some
node, alive or not, still holds.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Ranges = tuple[str, ...]

# Kubernetes' own defaults of node-cidr-mask-size.
DEFAULT_MASKS = {4: 24, 6: 64}
# The controller manager refuses a cluster range with more blocks than this, so nobody has one.
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Unfit:
    """Why no range can be given: a fact of the cluster that a person has to look at."""

    why: str


def parse(text: str) -> Network | None:
    """The network, or None when the text is none or has host bits."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        return None


def assign(
    without: Iterable[str], held: Mapping[str, Ranges], cluster: Sequence[str], masks: Mapping[int, int]
) -> dict[str, Ranges] | Unfit:
    """A range of each of the cluster's families for every node of `without`, or why not.

    `held` has every range that is taken, by its holder. The lowest free block goes to the first name: the same facts give
    the same answer, whoever computes it.
    """
    pools: list[Network] = []
    for text in cluster:
        network = parse(text)
        if network is None:
            return Unfit(f"the cluster's range {text!r} is not a network")
        pools.append(network)
    if len({pool.version for pool in pools}) != len(pools) or not pools:
        return Unfit("the cluster's ranges must be one per address family")
    taken = _taken(held, pools, masks)
    if isinstance(taken, Unfit):
        return taken
    names = sorted(set(without) - set(held))
    given: dict[str, list[str]] = {name: [] for name in names}
    for pool in pools:
        mask = masks.get(pool.version, DEFAULT_MASKS[pool.version])
        if mask < pool.prefixlen or mask > pool.max_prefixlen or mask - pool.prefixlen > 16:
            return Unfit(f"blocks of /{mask} cannot be cut from the cluster's range {pool}")
        free = _free(pool, mask, [each for each in taken if each.version == pool.version], len(names))
        if len(free) < len(names):
            return Unfit(
                f"the cluster's range {pool} is used up: {len(free)} free blocks of /{mask} for {len(names)} nodes"
            )
        for name, block in zip(names, free, strict=True):
            given[name].append(str(block))
    return {name: tuple(ranges) for name, ranges in given.items()}


def overlap(mine: Ranges, held: Mapping[str, Ranges]) -> str | None:
    """Who else holds a part of these ranges."""
    wanted = [network for each in mine if (network := parse(each))]
    for holder, ranges in held.items():
        for text in ranges:
            other = parse(text)
            if other is not None and any(one.version == other.version and _meet(one, other) for one in wanted):
                return holder
    return None


def within(one: Network, pool: Network) -> bool:
    return (
        one.version == pool.version
        and int(pool.network_address) <= int(one.network_address)
        and int(one.broadcast_address) <= int(pool.broadcast_address)
    )


def _taken(held: Mapping[str, Ranges], pools: Sequence[Network], masks: Mapping[int, int]) -> list[Network] | Unfit:
    """The ranges in use, provided that they look as the cluster's configuration says: else the configuration is not what we think."""
    seen: list[tuple[str, Network]] = []
    for holder in sorted(held):
        for text in held[holder]:
            network = parse(text)
            if network is None:
                return Unfit(f"the range {text!r} of {holder} is not a network")
            pool = next((pool for pool in pools if pool.version == network.version), None)
            if pool is None or not within(network, pool):
                return Unfit(f"the range {network} of {holder} lies outside the cluster's {', '.join(map(str, pools))}")
            mask = masks.get(network.version, DEFAULT_MASKS[network.version])
            if network.prefixlen != mask:
                return Unfit(f"{holder} has a /{network.prefixlen} while the configuration says /{mask} for each node")
            seen.append((holder, network))
    blocks: dict[Network, str] = {}
    for holder, network in seen:
        # Equal masks: two blocks overlap only when they are the same.
        if network in blocks:
            return Unfit(f"{blocks[network]} and {holder} already share the range {network}")
        blocks[network] = holder
    return list(blocks)


def _free(pool: Network, mask: int, taken: Sequence[Network], count: int) -> list[Network]:
    used = set(taken)
    free: list[Network] = []
    blocks: Iterator[Network] = iter(pool.subnets(new_prefix=mask))
    for number, block in enumerate(blocks):
        if len(free) == count or number >= _LARGEST:
            break
        if block not in used:
            free.append(block)
    return free


def _meet(one: Network, other: Network) -> bool:
    return int(one.network_address) <= int(other.broadcast_address) and int(other.network_address) <= int(
        one.broadcast_address
    )
