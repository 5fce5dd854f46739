"""Code shared by experiments with feed-forward networks.

Perceptrons: `margin` finds the best separator of two classes, `perceptron_task` has the task,
`perceptron_pictures` its figures, and `perceptron_bound` the mode that compares the updates with
the bound. `construction` has the pictures and the mode of networks of Boolean functions.

Classifiers: `rows` has the modes of classifiers of rows, and `regions` draws their decision
regions. `layer_sizes` draws activities and gradients through the layers, and `restarts` compares
runs that differ in their seed.

Codes: `encoding` shows the training of the 8-3-8 network. `reconstruction` has the task of an
autoencoder and `stages` the pretraining of its layers; `codes` applies it to a set, `linear` has
principal components and linear classifiers, `features` is the mode that compares both, and
`pictures` has the figures.
"""
