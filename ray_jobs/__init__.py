"""Jobs on a Ray cluster: `python -m ray_jobs.<job>`. `_ray` alone knows Ray, `_tracking` alone knows MLflow."""
