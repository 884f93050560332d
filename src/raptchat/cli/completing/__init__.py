"""What a Tab offers: the words so far in, candidates out."""
