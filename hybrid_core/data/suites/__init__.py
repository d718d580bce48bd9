"""Evaluation suites: test collections by name, and readers for the forms in which they are published."""

from hybrid_core.data.suites.beir import load_beir
from hybrid_core.data.suites.collection import SETTINGS, Suite, Texts
from hybrid_core.data.suites.registry import SUITE_NAMES, load_suites
from hybrid_core.data.suites.sample_suites import SAMPLE_SUITES

__all__ = ["SAMPLE_SUITES", "SETTINGS", "SUITE_NAMES", "Suite", "Texts", "load_beir", "load_suites"]
