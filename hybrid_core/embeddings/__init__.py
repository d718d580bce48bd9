"""Embeddings at rest: shards that are committed one by one, and a store of what need not be computed again.

numbers    float32, float16 or int8 on disk, and what each loses
shards     a directory of Arrow files that is complete when its marker says so
store      embeddings keyed by model, settings and text, shared by runs
sources    texts to encode, in pieces that have the same rows in every run
queries    texts to look for
searching  exact lists of a group of shards, merged over groups
kept_lists lists of groups, kept until a search is done
exporting  one numpy file, or an index with its measured recall
indexes    faiss: fitted, filled, opened, searched
"""
