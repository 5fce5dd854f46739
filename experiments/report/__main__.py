"""Entry point of python -m experiments.report --workdir=DIR."""

import sys

from experiments.report.report import main

main(sys.argv)
