"""Examples that are rows of arrays.

Read first: `batches` (rows of arrays by name, shuffled for training, padded for evaluation). `rows`
has the iris flowers and reads tables with a column of classes; `columns` makes inputs of them.
`two_classes` has the data of perceptrons, `boolean` the functions of binary inputs.
"""
