"""The only package that knows Ray: clusters, Train gangs, Data pipelines, Tune sweeps, job submission.

Ray reads its settings (authentication, timeouts) when it is first imported, so jobs import these modules inside functions,
after `ray_jobs.environment` has been applied. What it runs is in `hybrid_core`; these modules move requests to workers and results back.
"""
