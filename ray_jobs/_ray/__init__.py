"""The only package that knows Ray: clusters, Train gangs, Data pipelines, Tune sweeps, job submission.

What it runs is in `hybrid_core`; these modules move requests to workers and results back.
"""
