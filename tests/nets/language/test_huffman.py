"""Huffman trees: one built by hand, prefix codes, the minimal mean length by enumeration."""

import numpy as np
import pytest

from nets.language.huffman import huffman_tree


def test_tree_by_hand():
    tree = huffman_tree([5, 2, 1, 1])
    # node 0 merges the last two, node 1 merges that and the second, node 2 is the root; of equal
    # counts the older is merged first
    np.testing.assert_array_equal(tree.nodes, [[2, 0, 0], [2, 1, 0], [2, 1, 0], [2, 1, 0]])
    np.testing.assert_array_equal(tree.branches, [[-1, 0, 0], [1, 1, 0], [1, -1, 1], [1, -1, -1]])
    assert tree.nodes.dtype == np.int32
    assert tree.branches.dtype == np.float32


def least(counts):
    """Minimal sum of count times length, over every order of merging two trees at a time."""
    if len(counts) == 1:
        return 0
    return min(
        counts[i] + counts[j] + least([*counts[:i], *counts[i + 1 : j], *counts[j + 1 :], both])
        for j in range(len(counts))
        for i in range(j)
        for both in [counts[i] + counts[j]]
    )


@pytest.mark.parametrize("counts", [[1, 1], [3, 3, 3, 3, 3], [13, 8, 5, 3, 2], [9, 1, 1, 1, 1, 1]])
def test_mean_length_is_minimal_and_no_path_is_a_prefix_of_another(counts):
    tree = huffman_tree(counts)
    lengths = (tree.branches != 0).sum(axis=1)
    assert lengths @ counts == least(counts)
    assert (0.5**lengths).sum() == 1
    paths = {
        tuple(branches[:length]) for branches, length in zip(tree.branches, lengths, strict=True)
    }
    assert len(paths) == len(counts)
    for nodes, branches in zip(tree.nodes, tree.branches, strict=True):
        assert nodes[0] == len(counts) - 2
        assert (branches != 0).tolist() == sorted(branches != 0, reverse=True)


def test_a_single_leaf_is_rejected():
    with pytest.raises(ValueError, match="two leaves or more, got 1"):
        huffman_tree([4])
