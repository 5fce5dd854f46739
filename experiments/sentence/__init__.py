"""Sentences: what pos_tagger, opinion_spans and sentiment share.

Read tagging.py first: settings, network and task of the taggers. spans.py scores spans;
tag_modes.py and tag_sheet.py print and draw tags; rating.py, rating_modes.py and evidence.py serve
sentiment.
"""
