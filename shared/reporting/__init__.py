"""The report of a scored file: one HTML page for a person, which follows from the file and the model alone."""
