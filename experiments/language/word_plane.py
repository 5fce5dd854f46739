"""A picture of frequent words in the plane of the first two principal components."""

from matplotlib.figure import Figure

from data.text.analogies import normalized
from data.text.words import WordVocabulary
from experiments.common.plane import principal_components


def plane(vocabulary: WordVocabulary, vectors, count: int = 150) -> Figure:
    """Draw the `count` most frequent words in the plane of their principal components."""
    points, shares = principal_components(normalized(vectors[:count]))
    figure = Figure(figsize=(11, 8), layout="constrained")
    axis = figure.subplots()
    axis.plot(*points.T, ".", alpha=0)  # sets the limits of the axes, which texts do not
    for (x, y), word in zip(points, vocabulary.words, strict=False):
        axis.annotate(word, (x, y), fontsize=7, ha="center", va="center")
    axis.set_xlabel(f"first principal component, {shares[0]:.0%} of the variance")
    axis.set_ylabel(f"second principal component, {shares[1]:.0%} of the variance")
    axis.set_title(f"the {len(points)} most frequent words")
    axis.grid(alpha=0.3)
    return figure
