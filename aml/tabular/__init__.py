"""Models of tables whose rows stand for themselves: from declared columns to classes and their probabilities."""
