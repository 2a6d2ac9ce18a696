"""Runs side by side: rows over seeds, ranked by their scores, as tables, curves and an HTML page."""

from gan_lab import lazy_attributes

__getattr__ = lazy_attributes(__name__, {"Comparison": "rows", "Row": "rows", "compare": "rows", "summary": "rows"})
