"""Hybrid-batch training and multilingual evaluation, without a cluster: plain Python, torch and Arrow."""
