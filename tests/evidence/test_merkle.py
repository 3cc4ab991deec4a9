"""The Merkle tree against published values, and proofs of every leaf and every start of small trees."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.evidence import merkle

LEAVES = [bytes.fromhex(t) for t in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "60616263" * 4)]
LEAVES[7] = bytes(range(0x60, 0x70))
ROOTS = (  # of the first 1 to 8 leaves, as the reference implementation of certificate transparency has them
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]


def test_known_values() -> None:
    a, b = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.root_of([]) == hashlib.sha256(b"").digest()
    assert a.hex().startswith("022a6979")
    assert merkle.root_of([a, b]).hex().startswith("b137985f")
    assert [merkle.root_of(HASHES[:n]).hex() for n in range(1, 9)] == list(ROOTS)


@pytest.mark.parametrize("size", range(1, 18))
def test_every_proof_of_a_small_tree(size: int) -> None:
    hashes = [merkle.leaf_hash(bytes([k])) for k in range(size)]
    root = merkle.root_of(hashes)
    for k in range(size):
        path = merkle.inclusion_proof(hashes, k)
        assert merkle.is_included(hashes[k], k, size, path, root)
        assert not merkle.is_included(hashes[(k + 1) % size], k, size, path, root) or size == 1
        assert not any(merkle.is_included(hashes[k], other, size, path, root) for other in range(size) if other != k)
        assert not merkle.is_included(hashes[k], k, size, [*path, root], root)
        assert not path or not merkle.is_included(hashes[k], k, size, path[:-1], root)
    for first in range(size + 1):
        proof = merkle.consistency_proof(hashes, first)
        assert merkle.is_consistent(first, merkle.root_of(hashes[:first]), size, root, proof)
        if 0 < first < size:
            forked = merkle.root_of([merkle.leaf_hash(b"another"), *hashes[1:first]])
            assert not merkle.is_consistent(first, forked, size, root, proof)
            assert not merkle.is_consistent(first, merkle.root_of(hashes[:first]), size, root, [])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 70), st.data())
def test_no_changed_proof_holds(size: int, data: st.DataObject) -> None:
    hashes = [merkle.leaf_hash(k.to_bytes(2, "big")) for k in range(size)]
    k = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_proof(hashes, k)
    place, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    step = bytearray(path[place])
    step[bit // 8] ^= 1 << bit % 8
    assert not merkle.is_included(
        hashes[k], k, size, [*path[:place], bytes(step), *path[place + 1 :]], merkle.root_of(hashes)
    )


def test_a_leaf_that_is_not_there_has_no_proof() -> None:
    with pytest.raises(IndexError):
        merkle.inclusion_proof(HASHES, 8)
    with pytest.raises(IndexError):
        merkle.consistency_proof(HASHES, 9)
    assert not merkle.is_included(HASHES[0], 8, 8, [], HASHES[0])
