"""Sweeps and searches: their grammar, runs as processes or jobs, and their state on disk.

Read sweep.py first (from the command line to sets of overrides), then run.py (one run and its
command), local.py (worker processes) and status.py (the state of every run). sbatch.py, slurm.py,
queue.py and task.py submit to Slurm; pod_options.py, manifest.py, cluster.py and pod.py to
Kubernetes; space.py, study.py and search.py search with optuna. Nothing imports an experiment.
"""
