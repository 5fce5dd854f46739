"""Translation: what nmt and multiway_nmt share.

Read task.py first: settings, the network and the task. corpora.py makes batches of dates or
parallel text; modes.py has the modes; pictures.py draws attention and encoder states.
"""
