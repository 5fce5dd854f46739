"""Published word language models of the Penn Treebank, as presets of `word_lm`.

Learning rates and gradient limits are those of the papers, except in `mikolov`. Where a paper sums
the loss over a window (Zaremba et al.), the rate is multiplied and the limit divided by the window
length, because the loss here is a mean over words.
"""

# steps of an epoch: 20 streams in windows of 20, 35 and 70 words, and 32 streams in windows of 20
EPOCH_20, EPOCH_35, EPOCH_70 = 2323, 1327, 663
WIDE_EPOCH_20 = 1452

PRESETS = {
    # the network of Mikolov 2012, trained differently: he uses plain SGD on one word at a time,
    # halves the rate, and has no dropout
    "mikolov": {
        "min_count": 1,
        "batch_size": 32,
        "bptt_length": 20,
        "cell": "rnn",
        "hidden": 200,
        "embedding": 200,
        "dropout": 0.3,
        "learning_rate": 2e-3,
        "ema_decay": 0.999,
        "steps": 6 * WIDE_EPOCH_20,
        "eval_every": WIDE_EPOCH_20,
    },
    "zaremba_small": {
        "min_count": 1,
        "batch_size": 20,
        "bptt_length": 20,
        "cell": "lstm",
        "layers": 2,
        "hidden": 200,
        "embedding": 200,
        "tie_embeddings": False,
        "init_range": 0.1,
        "optimizer": "sgd",
        "learning_rate": 20.0,
        "clip_norm": 5 / 20,
        "schedule": "step",
        "decay_start": 3 * EPOCH_20,
        "decay_every": EPOCH_20,
        "decay_factor": 0.5,
        "steps": 13 * EPOCH_20,
        "eval_every": EPOCH_20,
        "save_every": 500,
    },
    "zaremba_medium": {
        "min_count": 1,
        "batch_size": 20,
        "bptt_length": 35,
        "cell": "lstm",
        "layers": 2,
        "hidden": 650,
        "embedding": 650,
        "tie_embeddings": False,
        "init_range": 0.05,
        "dropout": 0.5,
        "embedding_dropout": 0.5,
        "optimizer": "sgd",
        "learning_rate": 35.0,
        "clip_norm": 5 / 35,
        "schedule": "step",
        "decay_start": 5 * EPOCH_35,
        "decay_every": EPOCH_35,
        "decay_factor": 1 / 1.2,
        "steps": 39 * EPOCH_35,
        "eval_every": EPOCH_35,
        "save_every": 500,
    },
    # Merity et al. 2018 with three differences: they have dropout 0.25 between layers and windows
    # of random length, and averaging starts when the validation loss stops improving (here its
    # memory grows with the steps, up to 10,000)
    "awd": {
        "min_count": 1,
        "batch_size": 20,
        "bptt_length": 70,
        "cell": "lstm",
        "layers": 3,
        "hidden": 1150,
        "embedding": 400,
        "tie_embeddings": True,
        "init_range": 0.05,
        "variational_dropout": True,
        "dropout": 0.4,
        "embedding_dropout": 0.4,
        "word_dropout": 0.1,
        "weight_drop": 0.5,
        "activation_reg": 2.0,
        "temporal_activation_reg": 1.0,
        "optimizer": "sgd",
        "schedule": "constant",
        "learning_rate": 30.0,
        "clip_norm": 0.25,
        "weight_decay": 1.2e-6,
        "ema_decay": 0.9999,
        "steps": 500 * EPOCH_70,
        "eval_every": 2 * EPOCH_70,
    },
}
