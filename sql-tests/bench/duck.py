"""DuckDB as a peer: duck.py copy SOURCE TARGET | duck.py parquet SOURCE FILE."""

import glob
import importlib.util
import os
import sys

import duckdb

job, source, target = sys.argv[1:]
connection = duckdb.connect()
found = importlib.util.find_spec("duckdb_extension_postgres_scanner")
if found:
    # The extension as a wheel: nothing is downloaded while the clock runs.
    pattern = os.path.join(os.path.dirname(found.origin), "extensions", "*", "*.duckdb_extension")
    connection.execute(f"LOAD '{glob.glob(pattern)[0]}'")
else:
    connection.execute("LOAD postgres")
connection.execute(f"ATTACH '{source}' AS s (TYPE postgres, READ_ONLY)")
if job == "copy":
    connection.execute(f"ATTACH '{target}' AS d (TYPE postgres)")
    connection.execute("CREATE TABLE d.public.lineitem AS SELECT * FROM s.public.lineitem")
else:
    connection.execute(f"COPY (SELECT * FROM s.public.lineitem) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
