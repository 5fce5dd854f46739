"""Task of an autoencoder: reconstruct images from a short code, better than PCA does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.feedforward.codes import coded
from experiments.feedforward.linear import Components
from nets.feedforward.autoencoder import Autoencoder, DenseAutoencoder
from train.task import Mean, Task


class Reconstruct(Task):
    """Reconstruction error of an image, summed over its pixels.

    loss: "cross_entropy" or "squared_error", which training minimises. components: principal
    components for comparison, as many as the code has units.
    """

    headline = "squared_error"
    model: Autoencoder

    def __init__(self, model: Autoencoder, loss: str, components: Components):
        self.model, self.loss, self.components = model, loss, components

    def inputs(self, batch):
        """Return the images."""
        return (batch["image"],)

    def errors(self, logits: jax.Array, images: jax.Array) -> dict[str, jax.Array]:
        """Loss [B] and squared error [B] of logits and images [B, H, W, C]."""
        errors = {
            "cross_entropy": optax.sigmoid_binary_cross_entropy(logits, images),
            "squared_error": jnp.square(jax.nn.sigmoid(logits) - images),
        }
        totals = {name: error.sum(axis=(1, 2, 3)) for name, error in errors.items()}
        return {"loss": totals[self.loss], "squared_error": totals["squared_error"]}

    def means(self, outputs, batch):
        """Loss and squared error."""
        errors = self.errors(outputs[0], batch["image"])
        return {name: Mean.from_values(error, batch.get("mask")) for name, error in errors.items()}

    def scores(self, predict, batches):
        """Return the squared error of the principal components."""
        total = count = 0.0
        for batch in batches:
            x = batch["image"][batch["mask"] > 0].reshape(int(batch["mask"].sum()), -1)
            total += float(np.square(self.components.reconstruct(x) - x).sum())
            count += len(x)
        return {"pca_squared_error": total / count}

    def figures(self, predict, batches):
        """Draw reconstructions, the codes in a plane, and the weights of the first layer."""
        from experiments.feedforward.pictures import (
            codes_picture,
            first_layer_picture,
            reconstructions_picture,
        )

        result = coded(predict, batches)
        params = predict.variables["params"]
        return {
            "reconstructions": reconstructions_picture(result, self.components),
            "codes": codes_picture(result.codes, result.labels),
            "filters": first_layer_picture(params, self.model.shape),
        }


class PretrainAndReconstruct(Reconstruct):
    """The same after stages in which each layer is trained by contrastive divergence.

    In a stage the loss and the squared error of training are those of the layer.
    """

    model: DenseAutoencoder

    def apply(self, variables, batch, carry, **options):
        """Return the model's outputs, or in training the errors of the stage."""
        if not options.get("train"):
            return super().apply(variables, batch, carry, **options)

        def whole(variables):
            (logits, _), changed = self.model.apply(variables, *self.inputs(batch), **options)
            return self.errors(logits, batch["image"]), changed

        penalties = jax.eval_shape(whole, variables)[1]

        def stage(index):
            def layer(variables):
                loss, error = self.model.apply(
                    variables,
                    *self.inputs(batch),
                    index,
                    rngs=options["rngs"],
                    method="contrastive_divergence",
                )
                zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), penalties)
                return {"loss": loss, "squared_error": error}, zeros

            return layer

        layers = [stage(index) for index in range(len(self.model.widths) + 1)]
        errors, changed = jax.lax.switch(batch["stage"][0], [*layers, whole], variables)
        return (errors, ()), changed

    def means(self, outputs, batch):
        """Loss and squared error."""
        if not isinstance(outputs, dict):
            return super().means(outputs, batch)
        return {name: Mean.from_values(error) for name, error in outputs.items()}
