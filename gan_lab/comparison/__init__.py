"""Runs side by side: rows over seeds, ranked by their scores, as tables, curves and an HTML page."""
