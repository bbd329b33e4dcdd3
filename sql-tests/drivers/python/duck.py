"""Reads Parquet that the gateway wrote with DuckDB, and prints what SQL over it says.

usage: duck.py GLOB; duckdb comes from requirements-duck.txt
"""

import sys

import duckdb

table = f"read_parquet('{sys.argv[1]}')"
types = duckdb.sql(f"DESCRIBE SELECT * FROM {table}").fetchall()
print(" ".join(f"{name}:{kind}" for name, kind, *_ in types))
duckdb.sql("SET TimeZone = 'UTC'")
for row in duckdb.sql(f"SELECT COLUMNS(*)::VARCHAR FROM {table} ORDER BY id").fetchall():
    print(row)
