"""`make bench-detection`: how well anomalies are found, on simulated gas meters and on labelled series."""
