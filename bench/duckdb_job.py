"""W1 and W2 in DuckDB: duckdb_job.py w1|w2 INPUT OUTPUT"""

import sys

import duckdb

job, source, target = sys.argv[1:]
db = duckdb.connect()
db.execute("SET threads = 2; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
orders = f"""
    FROM read_json('{source}', format = 'newline_delimited', ignore_errors = true, columns = {{
        order_id: 'VARCHAR', customer_id: 'VARCHAR', amount: 'DOUBLE',
        status: 'VARCHAR', country: 'VARCHAR', event_time: 'TIMESTAMP'}})
    WHERE order_id IS NOT NULL AND customer_id IS NOT NULL AND amount IS NOT NULL"""
queries = {
    "w1": f"""SELECT time_bucket(INTERVAL 5 MINUTES, event_time) AS window_start, count(*) AS order_count,
        sum(amount) AS total_revenue, avg(amount) AS avg_order_value {orders} GROUP BY 1""",
    "w2": f"""SELECT customer_id, sum(amount) AS total,
        time_bucket(INTERVAL 30 SECONDS, event_time) AS window_start {orders} GROUP BY ALL""",
}
db.execute(f"COPY ({queries[job]}) TO '{target}' (FORMAT json)")
