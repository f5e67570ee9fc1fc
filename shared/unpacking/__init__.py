"""Workbooks and Parquet files read in a process of their own, see `shared.tables.foreign`."""
