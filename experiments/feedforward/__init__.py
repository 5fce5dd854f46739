"""Code shared by experiments with feed-forward networks.

`margin` finds the best separator of two classes, `perceptron_task` has the task of a perceptron and
`perceptron_pictures` its figures, `perceptron_bound` the mode that compares its updates with the
bound; `construction` has the pictures and the mode of networks of Boolean functions.
`rows` has the modes of classifiers of rows, `regions` draws their decision regions, and `encoding`
the training of the identity network.
"""
