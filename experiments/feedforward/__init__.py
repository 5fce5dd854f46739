"""Code shared by experiments with feed-forward networks.

`rows` has the modes of classifiers of rows, `regions` draws their decision regions, and `encoding`
the training of the identity network.
"""
