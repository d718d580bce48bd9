"""Texts: training corpora, evaluation suites, the built-in sample, and how sources are read and cleaned."""
