"""Time series: labelled series in memory, pen strokes of digits, and the adding problem.

Read first: `labelled` (series, their augmentation and batches). `strokes` has the digits as paths
of a pen, `adding` a synthetic test of memory.
"""
