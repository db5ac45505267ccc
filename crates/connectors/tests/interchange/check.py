"""Has purlin copy the files of this folder, and reads the copies with pyarrow, DuckDB, fastavro and Beam.

python check.py PURLIN, in this folder. Needs what make.py needs.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import duckdb
import fastavro
import pyarrow.parquet as pq

from make import plain

purlin = sys.argv[1]
failed = 0


def copy(read, write, source, out, **config):
    steps = [{"type": read, "config": {"path": source}}, {"type": write, "config": {"path": out, **config}}]
    with open(out + ".yaml", "w") as f:
        json.dump({"pipeline": {"type": "chain", "transforms": steps}}, f)
    run = subprocess.run([purlin, "run", out + ".yaml"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return out + "-00000-of-00001"


def check(what, got, want):
    global failed
    same = [json.loads(json.dumps(plain(r), default=str)) for r in got] == want
    failed += not same
    print("same" if same else "DIFFERENT", what)
    if not same:
        for g, w in zip(got, want):
            g = json.loads(json.dumps(plain(g), default=str))
            print("   ", {k: (g.get(k), w[k]) for k in w if g.get(k) != w[k]})


with tempfile.TemporaryDirectory() as folder:
    for source in sorted(glob.glob("*.jsonl")):
        file = source.removesuffix(".jsonl")
        want = [json.loads(line) for line in open(source)]
        if file == "fastavro.avro":
            # A field without a common type is written as text that holds JSON.
            want = [{**row, "u": json.dumps(row["u"])} for row in want]
        read = "ReadFromParquet" if file.endswith(".parquet") else "ReadFromAvro"
        path = os.path.abspath(file)
        for codec in ["none", "snappy", "gzip", "zstd", "lz4"]:
            out = copy(read, "WriteToParquet", path, f"{folder}/{file}.{codec}.p", codec=codec)
            check(f"{file} {codec}: pyarrow", pq.read_table(out).to_pylist(maps_as_pydicts="strict"), want)
            found = duckdb.sql(f"SELECT * FROM read_parquet('{out}')").fetchall()
            assert len(found) == len(want), out
        for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]:
            out = copy(read, "WriteToAvro", path, f"{folder}/{file}.{codec}.a", codec=codec)
            with open(out, "rb") as f:
                check(f"{file} {codec}: fastavro", list(fastavro.reader(f)), want)
    import apache_beam as beam
    for kind in ["Parquet", "Avro"]:
        out = copy(f"ReadFrom{kind}", f"WriteTo{kind}", os.path.abspath(f"beam.{kind.lower()}"), f"{folder}/beam{kind}")
        want = [json.loads(line) for line in open("beam.parquet.jsonl")]
        with beam.Pipeline() as p:
            rows = p | getattr(beam.io, f"ReadFrom{kind}")(out)
            _ = rows | beam.combiners.ToList() | beam.Map(lambda r, want: check("Beam", sorted(r, key=lambda x: x["i"]), want), want)
sys.exit(failed > 0)
