"""What is measured: ranking quality and language bias."""
