"""Huffman codes: short paths in a binary tree for frequent words."""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class HuffmanTree(NamedTuple):
    """Paths from the root to each of V leaves, padded on the right to the longest, L.

    nodes: int32 [V, L], inner nodes 0 .. V - 2 that a path passes, 0 at padding. turns: float32
    [V, L], which way it goes on from there: 1 or -1, 0 at padding.
    """

    nodes: np.ndarray
    turns: np.ndarray


def huffman_tree(counts: Sequence[int]) -> HuffmanTree:
    """Tree with the least mean path length over leaves that occur `counts` times.

    Of nodes with equal counts the older is joined first, leaves in their order. Raises ValueError
    when there are fewer than two leaves. Source: Huffman 1952.
    """
    leaves = len(counts)
    if leaves < 2:
        raise ValueError(f"a Huffman tree needs two leaves or more, got {leaves}")
    heap = [(int(count), leaf) for leaf, count in enumerate(counts)]
    heapq.heapify(heap)
    parent = np.zeros(2 * leaves - 1, np.int64)
    turn = np.zeros(2 * leaves - 1, np.float32)
    for node in range(leaves, 2 * leaves - 1):
        left, right = heapq.heappop(heap), heapq.heappop(heap)
        for child, way in ((left, 1.0), (right, -1.0)):
            parent[child[1]], turn[child[1]] = node, way
        heapq.heappush(heap, (left[0] + right[0], node))
    root, at, columns = 2 * leaves - 2, np.arange(leaves), []
    while (inside := at != root).any():  # all leaves climb one step at a time
        columns.append((np.where(inside, parent[at] - leaves, 0), np.where(inside, turn[at], 0)))
        at = np.where(inside, parent[at], root)
    nodes, turns = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    lengths = (turns != 0).sum(axis=1, keepdims=True)
    order = np.arange(nodes.shape[1])
    order = np.where(order < lengths, lengths - 1 - order, order)  # from the root down
    return HuffmanTree(
        np.take_along_axis(nodes, order, axis=1).astype(np.int32),
        np.take_along_axis(turns, order, axis=1).astype(np.float32),
    )
