"""A comparison as pictures, sentences, and one self-contained HTML page."""
