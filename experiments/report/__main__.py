"""Run the report: python -m experiments.report --workdir=DIR."""

import sys

from experiments.report.report import main

main(sys.argv)
