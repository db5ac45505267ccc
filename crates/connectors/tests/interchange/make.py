"""Makes the files of this folder. Needs pyarrow, pandas, duckdb, fastavro and apache-beam.

Run it in this folder. Each file gets a `.jsonl` beside it: its rows as purlin writes them as JSON.
"""
import datetime as dt
import decimal
import json
import os
import uuid

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

UTC = dt.timezone.utc
T1 = dt.datetime(2024, 2, 29, 12, 30, 45, 123456)
T2 = dt.datetime(1969, 12, 31, 23, 59, 59)
D1, D2 = dt.date(2024, 2, 29), dt.date(1900, 1, 1)
U1 = uuid.UUID("12345678-1234-5678-1234-567812345678")
DEC = decimal.Decimal


def plain(v):
    """A value as purlin writes it."""
    if isinstance(v, dt.datetime):
        v = v.astimezone(UTC) if v.tzinfo else v
        text = v.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{v.microsecond:06}".rstrip("0") if v.microsecond else "") + "Z"
    if isinstance(v, dt.date):
        return v.isoformat()
    if isinstance(v, dt.time):
        return v.isoformat()
    if isinstance(v, decimal.Decimal) or isinstance(v, uuid.UUID):
        return str(v)
    if isinstance(v, bytes):
        return v.decode()
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        if v and isinstance(v[0], tuple):
            return {k: plain(x) for k, x in v}
        return [plain(x) for x in v]
    return v


def expect(name, rows):
    with open(name + ".jsonl", "w") as f:
        for row in rows:
            f.write(json.dumps(plain(row), ensure_ascii=False) + "\n")


def pyarrow_files():
    columns = {
        "i8": (pa.int8(), [-128, None]), "i16": (pa.int16(), [1, 2]), "i32": (pa.int32(), [-5, None]),
        "i64": (pa.int64(), [2**62, -(2**62)]), "u8": (pa.uint8(), [255, 0]), "u16": (pa.uint16(), [65535, None]),
        "u32": (pa.uint32(), [2**32 - 1, 7]), "u64": (pa.uint64(), [2**63 - 1, None]),
        "f16": (pa.float16(), None), "f32": (pa.float32(), [1.5, None]), "f64": (pa.float64(), [0.1, -2.0]),
        "b": (pa.bool_(), [True, None]), "s": (pa.string(), ["ä", None]), "ls": (pa.large_string(), ["long", ""]),
        "sv": (pa.string_view(), ["view", None]), "bin": (pa.binary(), [b"ab", b""]),
        "fix": (pa.binary(2), [b"xy", None]), "dict": (pa.dictionary(pa.int32(), pa.string()), ["x", "y"]),
        "date": (pa.date32(), [D1, D2]), "d64": (pa.date64(), [D2, None]),
        "ms": (pa.timestamp("ms"), [T2, None]), "us": (pa.timestamp("us", "UTC"), [T1.replace(tzinfo=UTC), None]),
        "ns": (pa.timestamp("ns"), [T1, T2]), "zone": (pa.timestamp("us", "Europe/Berlin"), [T2.replace(tzinfo=UTC), None]),
        "t32": (pa.time32("ms"), [dt.time(12, 30, 45), None]), "t64": (pa.time64("us"), [dt.time(1, 2, 3), None]),
        "dec": (pa.decimal128(10, 2), [DEC("123.45"), DEC("-0.01")]), "dec9": (pa.decimal128(5, 0), [DEC("7"), None]),
        "dec256": (pa.decimal256(50, 3), [DEC("1.250"), None]),
        "nul": (pa.null(), [None, None]), "list": (pa.list_(pa.int32()), [[1, None, 3], None]),
        "llist": (pa.large_list(pa.string()), [["a"], []]), "fsl": (pa.list_(pa.int64(), 2), [[1, 2], None]),
        "map": (pa.map_(pa.string(), pa.int32()), [[("k", 1), ("l", None)], [("e", 5)]]),
        "row": (pa.struct([("x", pa.int32()), ("y", pa.list_(pa.struct([("z", pa.float32())])))]),
                [{"x": 1, "y": [{"z": 0.5}]}, {"x": None, "y": None}]),
    }
    columns = {k: v for k, v in columns.items() if v[1] is not None}
    table = pa.table({k: pa.array(v, t) for k, (t, v) in columns.items()})
    pq.write_table(table, "pyarrow.parquet", compression="snappy", write_page_checksum=True)
    rows = [{k: v[i] for k, (_, v) in columns.items()} for i in range(2)]
    expect("pyarrow.parquet", rows)
    # Other pages, other codecs, old timestamps, several row groups.
    small = pa.table({"i": pa.array(range(10), pa.int64()), "s": [f"s{i % 3}" for i in range(10)],
                      "t": pa.array([dt.datetime(3000 + i, 1, 1) for i in range(10)], pa.timestamp("us"))})
    want = [{"i": i, "s": f"s{i % 3}", "t": dt.datetime(3000 + i, 1, 1)} for i in range(10)]
    for codec in ["none", "gzip", "zstd", "lz4"]:
        pq.write_table(small, f"pyarrow_{codec}.parquet", compression=codec, data_page_version="2.0", row_group_size=4,
                       use_deprecated_int96_timestamps=codec == "none")
        expect(f"pyarrow_{codec}.parquet", want)
    # A codec that is not read.
    pq.write_table(small, "brotli.parquet", compression="brotli")
    # One value that does not fit.
    pq.write_table(pa.table({"u": pa.array([1, 2**64 - 1, 3], pa.uint64())}), "u64.parquet")


def duckdb_files():
    duckdb.sql("SET TimeZone = 'UTC'")
    query = """
        SELECT 1::TINYINT AS i, 2::UTINYINT AS u, 3::HUGEINT AS h, 1.5::FLOAT AS f, 12.345::DECIMAL(18, 3) AS d,
               'text' AS s, 'ab'::BLOB AS b, DATE '2024-02-29' AS date, TIME '01:02:03' AS time,
               TIMESTAMP '2024-02-29 12:30:45.123456' AS ts, TIMESTAMPTZ '1969-12-31 23:59:59+00' AS tz,
               '12345678-1234-5678-1234-567812345678'::UUID AS id, 'sad'::ENUM('happy', 'sad') AS mood,
               [1, NULL] AS l, {'x': 1, 'y': ['a']} AS r, MAP {'k': 1} AS m
    """
    duckdb.sql(query).write_parquet("duckdb.parquet")
    expect("duckdb.parquet", [{
        "i": 1, "u": 2, "h": 3.0, "f": 1.5, "d": DEC("12.345"), "s": "text", "b": b"ab", "date": D1,
        "time": dt.time(1, 2, 3), "ts": T1, "tz": T2, "id": U1, "mood": "sad", "l": [1, None],
        "r": {"x": 1, "y": ["a"]}, "m": {"k": 1}}])


def fastavro_files():
    schema = {"type": "record", "name": "All", "namespace": "org.example", "fields": [
        {"name": "n", "type": "null"}, {"name": "b", "type": "boolean"}, {"name": "i", "type": ["int", "null"]},
        {"name": "l", "type": "long"}, {"name": "f", "type": "float"}, {"name": "d", "type": "double"},
        {"name": "by", "type": "bytes"}, {"name": "s", "type": ["null", "string"]},
        {"name": "fx", "type": {"type": "fixed", "name": "Two", "size": 2}}, {"name": "fx2", "type": "Two"},
        {"name": "e", "type": {"type": "enum", "name": "Mood", "symbols": ["HAPPY", "SAD"]}},
        {"name": "a", "type": {"type": "array", "items": ["null", "int"]}},
        {"name": "m", "type": {"type": "map", "values": "long"}},
        {"name": "r", "type": {"type": "record", "name": "In", "fields": [{"name": "x", "type": "int"}, {"name": "e", "type": "Mood"}]}},
        {"name": "nr", "type": ["null", "In"]},
        {"name": "u", "type": ["null", "string", "long", "In"]}, {"name": "num", "type": ["int", "double"]},
        {"name": "date", "type": {"type": "int", "logicalType": "date"}},
        {"name": "tm", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "tu", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "lus", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "dec", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "dfx", "type": {"type": "fixed", "name": "Dec", "size": 20, "logicalType": "decimal", "precision": 12, "scale": 4}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
    ]}
    rows = [
        {"n": None, "b": True, "i": -7, "l": 2**62, "f": 1.5, "d": 0.1, "by": b"ab", "s": "ä", "fx": b"xy", "fx2": b"zz",
         "e": "SAD", "a": [1, None], "m": {"k": 1}, "r": {"x": 1, "e": "HAPPY"}, "nr": None, "u": "text", "num": 1,
         "date": D1, "tm": dt.time(12, 30, 45), "tu": dt.time(1, 2, 3), "ms": T2.replace(tzinfo=UTC),
         "us": T1.replace(tzinfo=UTC), "lus": T1, "dec": DEC("123.45"), "dfx": DEC("-1.2500"), "id": U1},
        {"n": None, "b": False, "i": None, "l": -1, "f": -2.0, "d": 1e300, "by": b"", "s": None, "fx": b"xy", "fx2": b"zz",
         "e": "HAPPY", "a": [], "m": {}, "r": {"x": 2, "e": "SAD"}, "nr": {"x": 3, "e": "SAD"}, "u": 5, "num": 0.5,
         "date": D2, "tm": dt.time(0), "tu": dt.time(23, 59, 59), "ms": T2.replace(tzinfo=UTC),
         "us": T2.replace(tzinfo=UTC), "lus": T2, "dec": DEC("-0.01"), "dfx": DEC("0.0001"), "id": U1},
    ]
    parsed = fastavro.parse_schema(schema)
    with open("fastavro.avro", "wb") as f:
        fastavro.writer(f, parsed, rows)
    expect("fastavro.avro", [{**r, "num": float(r["num"])} for r in rows])
    small = fastavro.parse_schema({"type": "record", "name": "S", "fields": [{"name": "i", "type": "int"}, {"name": "s", "type": "string"}]})
    many = [{"i": i, "s": f"s{i % 3}"} for i in range(200)]
    for codec in ["deflate", "bzip2", "xz", "snappy", "zstandard"]:
        try:
            with open(f"fastavro_{codec}.avro", "wb") as f:
                fastavro.writer(f, small, many, codec=codec, sync_interval=600)
            expect(f"fastavro_{codec}.avro", many)
        except ValueError as e:
            os.remove(f"fastavro_{codec}.avro")
            print(e)


def beam_files():
    import apache_beam as beam
    rows = [{"i": 1, "s": "a", "f": 1.5, "b": True}, {"i": 2, "s": None, "f": 2.0, "b": False}]
    schema = pa.schema([("i", pa.int64()), ("s", pa.string()), ("f", pa.float64()), ("b", pa.bool_())])
    avro = {"type": "record", "name": "R", "fields": [{"name": "i", "type": "long"}, {"name": "s", "type": ["string", "null"]},
                                                     {"name": "f", "type": "double"}, {"name": "b", "type": "boolean"}]}
    with beam.Pipeline() as p:
        made = p | beam.Create(rows)
        _ = made | beam.io.WriteToParquet("beam", schema, file_name_suffix=".parquet", shard_name_template="")
        _ = made | beam.io.WriteToAvro("beam", avro, file_name_suffix=".avro", shard_name_template="")
    expect("beam.parquet", rows)
    expect("beam.avro", rows)


if __name__ == "__main__":
    pyarrow_files()
    duckdb_files()
    fastavro_files()
    beam_files()
