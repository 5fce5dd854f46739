"""Linear methods to compare with an autoencoder: principal components, and linear classifiers."""

import io
from typing import NamedTuple

import numpy as np


class Components(NamedTuple):
    """Mean [D] of the training examples, and their first principal components [K, D]."""

    mean: np.ndarray
    directions: np.ndarray

    def code(self, x: np.ndarray) -> np.ndarray:
        """Coordinates [N, K] of x [N, D]."""
        return (x - self.mean) @ self.directions.T

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Return the point [N, D] nearest to x [N, D] among those that the components reach."""
        return self.mean + self.code(x) @ self.directions

    def to_bytes(self) -> bytes:
        """Contents of a .npz file."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **self._asdict())
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Components":
        """Inverse of `to_bytes`."""
        with np.load(io.BytesIO(content)) as loaded:
            return cls(**loaded)


def principal_components(x: np.ndarray, count: int) -> Components:
    """First `count` principal components of x [N, D], or all D if there are fewer."""
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.cov(x, rowvar=False, dtype=np.float64)
    directions = np.linalg.eigh(covariance).eigenvectors[:, ::-1].T[:count]
    return Components(mean.astype(np.float32), directions.astype(np.float32))


def linear_accuracy(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Test accuracy of a logistic regression on features [N, D], scaled to variance 1."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = train.mean(axis=0), train.std()
    model = LogisticRegression(max_iter=2000).fit((train - mean) / scale, labels)
    return float(model.score((test - mean) / scale, test_labels))
