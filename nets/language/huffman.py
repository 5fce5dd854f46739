"""Huffman codes: short paths in a binary tree for frequent words."""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class HuffmanTree(NamedTuple):
    """Paths from the root to each of V leaves, padded on the right to the longest length L.

    nodes: int32 [V, L], the inner nodes 0 .. V - 2 on the path, 0 at padding. branches: float32
    [V, L], sign of the branch taken at each of these nodes, 1 or -1, 0 at padding.
    """

    nodes: np.ndarray
    branches: np.ndarray


def huffman_tree(counts: Sequence[int]) -> HuffmanTree:
    """Return the tree of least mean path length over leaves that occur `counts` times.

    Of nodes with equal counts the older one is merged first, leaves in their order. Raises
    ValueError for fewer than two leaves. Source: Huffman 1952.

    >>> tree = huffman_tree([5, 2, 1, 1])
    >>> tree.branches.astype(int).tolist()
    [[-1, 0, 0], [1, 1, 0], [1, -1, 1], [1, -1, -1]]
    """
    leaves = len(counts)
    if leaves < 2:
        raise ValueError(f"a Huffman tree needs two leaves or more, got {leaves}")
    heap = [(int(count), leaf) for leaf, count in enumerate(counts)]
    heapq.heapify(heap)
    parent = np.zeros(2 * leaves - 1, np.int64)
    sign = np.zeros(2 * leaves - 1, np.float32)
    for node in range(leaves, 2 * leaves - 1):
        left, right = heapq.heappop(heap), heapq.heappop(heap)
        for child, branch in ((left, 1.0), (right, -1.0)):
            parent[child[1]], sign[child[1]] = node, branch
        heapq.heappush(heap, (left[0] + right[0], node))
    root, at, columns = 2 * leaves - 2, np.arange(leaves), []
    while (below := at != root).any():  # all leaves climb one step at a time
        columns.append((np.where(below, parent[at] - leaves, 0), np.where(below, sign[at], 0)))
        at = np.where(below, parent[at], root)
    nodes, branches = (np.stack(column, axis=1) for column in zip(*columns, strict=True))
    lengths = (branches != 0).sum(axis=1, keepdims=True)
    order = np.arange(nodes.shape[1])
    order = np.where(order < lengths, lengths - 1 - order, order)  # from the root down
    return HuffmanTree(
        np.take_along_axis(nodes, order, axis=1).astype(np.int32),
        np.take_along_axis(branches, order, axis=1).astype(np.float32),
    )
