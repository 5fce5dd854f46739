"""Training code that every experiment shares.

Read task.py first, the interface between an experiment and the loop; then step.py (one optimizer
step), loop.py (what happens at each step), start.py (from which state) and recorder.py (the output
of a run). cli.py is the command line, config.py the shared settings; placement.py, pmap.py and
replicas.py use the devices. trained.py opens a run after training; transfer.py starts from one.
"""
