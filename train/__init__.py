"""Training code that every experiment shares.

Read task.py first, the interface between an experiment and the loop; then step.py (one optimizer
step), loop.py (when to evaluate, draw, save and log) and recorder.py (the output of a run). cli.py
is the command line, config.py the shared settings; placement.py and replicas.py use the devices.
"""
