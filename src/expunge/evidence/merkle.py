"""The Merkle tree of RFC 6962: root, inclusion proofs, consistency proofs. Leaves and proofs are bytes.

A leaf has the hash H(0x00 || data), a node H(0x01 || left || right), with H = SHA-256; the root of no leaves is H().
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

Hash = bytes


def leaf_hash(data: bytes) -> Hash:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """The hash of a node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[Hash]) -> Hash:
    """The root over leaf hashes, in the order of the leaves.

    A level is folded pairwise and a last odd hash goes up as it is, which gives the tree of the RFC.
    """
    level = list(hashes)
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        level = [node_hash(*level[k : k + 2]) if k + 1 < len(level) else level[k] for k in range(0, len(level), 2)]
    return level[0]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(hashes: Sequence[Hash], index: int) -> list[Hash]:
    """The path from leaf `index` to the root over `hashes`; `IndexError` for a leaf that is not there."""
    if not 0 <= index < len(hashes):
        raise IndexError(f"there is no leaf {index} among {len(hashes)}")
    if len(hashes) == 1:
        return []
    k = _split(len(hashes))
    if index < k:
        return [*inclusion_proof(hashes[:k], index), root_of(hashes[k:])]
    return [*inclusion_proof(hashes[k:], index - k), root_of(hashes[:k])]


def is_included(leaf: Hash, index: int, size: int, path: Sequence[Hash], root: Hash) -> bool:
    """Whether `path` leads from the leaf hash at `index` to the root of a tree of `size` leaves (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, current = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            current = node_hash(step, current)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            current = node_hash(current, step)
        node, last = node >> 1, last >> 1
    return last == 0 and current == root


def consistency_proof(hashes: Sequence[Hash], first: int) -> list[Hash]:
    """What shows that the tree over the first `first` leaves is the start of the tree over all `hashes`.

    `IndexError` where `first` is negative or beyond the leaves.
    """
    if not 0 <= first <= len(hashes):
        raise IndexError(f"there are no {first} leaves among {len(hashes)}")
    return [] if first in (0, len(hashes)) else _subproof(hashes, first, True)


def _subproof(hashes: Sequence[Hash], first: int, whole: bool) -> list[Hash]:
    if first == len(hashes):
        return [] if whole else [root_of(hashes)]
    k = _split(len(hashes))
    if first <= k:
        return [*_subproof(hashes[:k], first, whole), root_of(hashes[k:])]
    return [*_subproof(hashes[k:], first - k, False), root_of(hashes[:k])]


def is_consistent(first: int, first_root: Hash, second: int, second_root: Hash, proof: Sequence[Hash]) -> bool:
    """Whether a tree of `first` leaves is shown to be the start of one of `second` leaves (RFC 9162, 2.1.4.2)."""
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == hashlib.sha256().digest()
    if not 0 < first < second or not proof:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root
