"""Captions of images: a convolutional network sees, and a recurrent one writes.

Reproduces: image captioning by a convolutional encoder and a recurrent decoder (Vinyals et al.,
"Show and tell", 2015; Donahue et al. 2015), and with attention over places (Xu et al., "Show,
attend and tell", 2015). With `feedback=False` the decoder does not read its own output, as in a
deterministic system: its words are drawn independently of one another, and rarely make a sentence.

    python -m experiments.captioning --workdir=runs/captions
    python -m experiments.captioning --workdir=runs/independent --config.feedback=False
    python -m experiments.captioning --workdir=runs/coco --config.preset=coco \\
        --config.dataset=coco:FILE
    python -m experiments.captioning --workdir=runs/captions --mode=caption --config.input=a.png
    python -m experiments.captioning --workdir=runs/captions --mode=compare \\
        --config.others=runs/independent

Data: scenes of two coloured digits (the default), made by number, with eight true captions each, so
that a caption is tested for grammar and for truth; or coco:FILE, a JSON file with captions in
COCO's format, or a ZIP file with annotations.json, of which one fold of five is the test set.
Published: BLEU-1 to BLEU-4 of 0.54, 0.33, 0.19 and 0.12 on Flickr8k. Scores of captions that no
network wrote are printed with those of the test set: a constant caption, that of the nearest
training image, and a true caption of another image. With `consensus`, the captions of similar
training images choose among the hypotheses of the search (Devlin et al. 2015), and two captions of
these images, chosen in the same way, are baselines too. Measured: the rows of D6 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from data.builtin.captions import COLOURS, NUMBERS
from experiments.common.settings import picture
from experiments.image.backbones import STRIDES, backbone, make_backbone, pretrained_values
from experiments.image.captions import Caption, SearchConfig
from experiments.image.own import others
from nets.recurrent.variants import ALL_CELLS
from nets.translation.captioner import VIEWS, Captioner
from nets.translation.seq2seq import Decoder
from train import cli
from train.config import option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment

if TYPE_CHECKING:
    from data.text.vocabulary import Vocabulary

VOCABULARY, IMAGES = "vocabulary", "images.npz"  # names of the assets
KNOWN = 1000  # training images for the baselines and the consensus, at most
MODES = {
    "caption": "experiments.image.caption_modes:caption",
    "compare": "experiments.image.caption_modes:compare",
}


@dataclass(slots=True, kw_only=True)
class Config(SearchConfig):
    """Settings of the data, the network and its training."""

    PRESETS: ClassVar = {
        "coco": {  # 40 passes over 125 images
            "image_size": 224,
            "backbone": "lite0",
            "frozen": True,
            "stride": 32,
            "flip": True,
            "captions_per_image": 5,
            "max_length": 24,
            "dropout": 0.7,
            "beam_size": 20,
            "consensus": 20,
            "batch_size": 16,
            "optimizer": "adam",
            "learning_rate": 3e-3,
            "weight_decay": 0.0,
            "clip_norm": 1.0,
            "steps": 320,
            "eval_every": 40,
            "save_every": 80,
        },
    }
    TINY: ClassVar = {
        "train_examples": 16,
        "heldout_examples": 8,
        "image_size": 48,
        "blocks": 1,
        "captions_per_image": 2,
        "hidden": 8,
        "embedding": 8,
        "beam_size": 2,
        "consensus": 2,
        "n_best": 2,
    }

    dataset: str = SearchConfig.changed("dataset", "scenes", "scenes, or coco:FILE")
    image_size: int = option(
        64,
        "side of the images, in pixels",
        note="scenes are made with 96",
        group="data",
        minimum=32,
    )
    fold: int = option(
        -1,
        "cross-validation fold that is the test set",
        note="0 to 4, or -1: the remainder of the seed divided by 5; only with coco:FILE",
        group="data",
        minimum=-1,
        below=5,
    )
    vocab_size: int = option(
        1000, "maximum vocabulary size", note="only with coco:FILE", group="data", minimum=8
    )
    captions_per_image: int = option(
        4, "captions of each image in a batch", group="data", minimum=1
    )
    max_length: int = option(
        12,
        "maximum length of a training sequence",
        note="in words and the end; longer captions are cut",
        group="data",
        minimum=4,
    )
    flip: bool = option(False, "augmentation: random horizontal flips", group="data")
    distortion: float = option(
        0.25,
        "augmentation: largest turn, slant and stretch of a digit",
        note="in radians; only with scenes",
        group="data",
        minimum=0,
        below=1,
    )
    train_examples: int = option(
        8000, "number of training examples", note="only with scenes", group="data", minimum=1
    )
    heldout_examples: int = option(
        500, "examples per held-out set", note="only with scenes", group="data", minimum=1
    )
    batch_size: int = SearchConfig.changed("batch_size", 16, "in images")

    backbone: str = backbone()
    frozen: bool = option(False, "do not train the backbone")
    blocks: int = option(3, "residual blocks per stage", note="of a convnet", minimum=1)
    stride: int = option(8, "stride of the finest map that is read", note="a power of 2", minimum=2)
    view: str = option(
        "attention",
        "how the decoder sees the image",
        note="by attention over places, at each step, or only as its initial state",
        choices=VIEWS,
    )
    feedback: bool = option(True, "feed the preceding word to the decoder")
    naming: bool = option(
        True,
        "train the backbone to name the objects at places, not on captions",
        note="only with scenes, whose masks say what is where",
    )
    attention: str = option(
        "additive",
        "attention score function",
        note="not with view=initial",
        choices=("additive", "dot", "general"),
    )
    input_feeding: bool = option(True, "feed the attentional state to the next decoder step")
    cell: str = option("lstm", "recurrent cell", choices=ALL_CELLS)
    hidden: int = option(128, "hidden units per layer", note="and features of a place", minimum=1)
    embedding: int = option(64, "embedding dimension", minimum=1)
    layers: int = option(1, "number of recurrent layers", minimum=1)
    dropout: float = option(
        0.0, "dropout probability", note="of embeddings and layer outputs", minimum=0, maximum=0.95
    )

    steps: int = SearchConfig.changed("steps", 5000)
    eval_every: int = SearchConfig.changed("eval_every", 2500)
    save_every: int = SearchConfig.changed("save_every", 2500)
    optimizer: str = SearchConfig.changed("optimizer", "adamw")
    learning_rate: float = SearchConfig.changed("learning_rate", 5e-3)
    weight_decay: float = SearchConfig.changed("weight_decay", 0.05)
    clip_norm: float = SearchConfig.changed("clip_norm", 5.0)
    warmup_steps: int = SearchConfig.changed("warmup_steps", 50)
    figures_at: tuple[float, ...] = SearchConfig.changed("figures_at", (1.0,))

    input: str = option("", "input file", note="images, comma-separated", modes=("caption",))
    others: str = others()
    picture: str = picture(
        "caption",
        "compare",
        note="mode caption: attention maps, by default none; mode compare: RUN/compare.png",
    )


def make_network(config: Config, vocabulary: int) -> Captioner:
    """Network for a vocabulary of this size; ConfigError if settings are incompatible."""
    initial = config.view == "initial"
    dtype = jnp.dtype(config.precision)
    decoder = Decoder(
        vocabulary,
        config.embedding,
        config.hidden,
        config.layers,
        config.cell,
        attention="none" if initial else config.attention,
        input_feeding=config.input_feeding and not initial,
        dropout=config.dropout,
        dtype=dtype,
    )
    return Captioner(
        make_backbone(config.backbone, config.precision, config.stride, config.blocks),
        decoder,
        level=STRIDES.index(config.stride),
        features=config.hidden,
        view=config.view,
        feedback=config.feedback,
        naming=config.naming and config.dataset == "scenes",
        objects=(len(NUMBERS), len(COLOURS)),
        frozen=config.frozen,
    )


def make_task(config: Config, assets: Assets) -> Caption:
    """Make the network for the vocabulary."""
    from data.images.captioned import Pictures
    from data.text.subwords import Words

    vocabulary = Words.from_bytes(assets[VOCABULARY])
    network = make_network(config, len(vocabulary))
    known = Pictures.from_bytes(assets[IMAGES]) if IMAGES in assets else None
    return Caption(network, vocabulary, config.dataset == "scenes", config, known)


def read_data(config: Config) -> tuple["Vocabulary", Any, dict[str, Any], dict[str, Any]]:
    """Vocabulary, training batches, held-out sets and provenance.

    Raises DataError for another dataset, or one that cannot be read.
    """
    from data.catalogue import unknown_dataset
    from data.images import captioned
    from data.text.subwords import Words

    form, _, path = config.dataset.partition(":")
    if config.dataset == captioned.SCENES:
        size = config.image_size
        splits = captioned.held_out_scenes(config.heldout_examples, size)
        count = config.train_examples
        train = captioned.scenes("train", config.seed, 0, count, size, distortion=config.distortion)
        texts = captioned.scene_captions()
    elif form == "coco" and path:
        fold = config.seed % captioned.FOLDS if config.fold < 0 else config.fold
        splits = captioned.split_fold(captioned.load_captioned(path, config.image_size), fold)
        train = splits.pop("train")
        texts = [caption for captions in train.captions for caption in captions]
    else:
        raise unknown_dataset(config.dataset, ("coco:FILE",), (captioned.SCENES,))
    vocabulary = Words.from_texts(texts, config.vocab_size)
    layout = captioned.Layout(vocabulary.encode, config.captions_per_image, config.max_length)
    batches = captioned.TrainingCaptions(train, layout, config.batch_size, config.seed, config.flip)
    known = train.subset(np.arange(min(KNOWN, len(train.images))))
    evals = {
        name: captioned.HeldOutCaptions(
            pictures, layout, config.batch_size, known if name == "test" else None
        )
        for name, pictures in splits.items()
    }
    sizes = {name: len(pictures.images) for name, pictures in splits.items()}
    provenance = {
        "dataset": form,
        "train": len(train.images),
        **sizes,
        "words": len(vocabulary),
        "sha256": captioned.checksum(train),
    }
    return vocabulary, batches, evals, provenance


def build(config: Config) -> Experiment:
    """Read or make the images; make the vocabulary, the task and the batches."""
    vocabulary, train, evals, provenance = read_data(config)
    assets = {VOCABULARY: vocabulary.to_bytes()}
    if config.consensus:
        assets[IMAGES] = evals["test"].known.to_bytes()
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=train,
        evals=evals,
        provenance=provenance,
        assets=assets,
        pretrained=pretrained_values(config.backbone, "params/backbone"),
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
