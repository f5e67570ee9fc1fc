"""What is strange about a row of a series, how strange, and of which kind."""
