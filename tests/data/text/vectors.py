"""Files of word vectors for the tests."""

from data.text.vectors import file_of_vectors


def write_vectors(path, words, vectors):
    """Write a file of vectors; its name decides between text and binary."""
    path.write_bytes(file_of_vectors(path, words, vectors))
