"""`make bench`: how fast a file is scored through the whole stack, beside two simpler ways, as ratios in one run."""
