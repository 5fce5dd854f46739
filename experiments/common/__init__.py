"""Code shared by several rooms: read `classification` first, the task of every classifier.

`settings` declares shared settings, `pictures` draws images and confusion matrices, `plane`
projects vectors, `stdin` reads lines.
"""
