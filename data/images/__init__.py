"""Labelled images: loading, augmentation, and training and evaluation batches.

Read first: `labelled` (image datasets that fit into memory). `photos` has large photographs, which
are decoded when needed, `augment` the random distortions. `own` has users' own images, which
`files` reads from folders and tables and `arrays` from IDX and .npz files; `decode` decodes them.
`voc` and `coco` read images with boxes, masks and captions.
"""
