"""Average precision of R-CNN's published classifier and regression beside that of the network.

    python -m bench.published_detector --runs runs/rcnn/seed=* \\
        --save=experiments/results/rcnn_svm.json

The measurement of --mode=svm for several runs: linear support vector machines and ridge regressions
on the features of the trained network.
"""

from bench.results import main
from experiments.image.published_detector import compare

if __name__ == "__main__":
    main("published_detector", __doc__, compare, "classifier", "test/map")
