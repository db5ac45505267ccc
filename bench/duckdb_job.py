"""The jobs in DuckDB: duckdb_job.py JOB INPUT OUTPUT. Job `to-parquet` makes the Parquet file of the valid orders."""

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
    # Sums of each minute, then ten of them for each window: the fast way to say it.
    "sliding": f"""WITH minutes AS (SELECT country, time_bucket(INTERVAL 1 MINUTE, event_time) AS minute,
            count(*) AS n, sum(amount) AS s {orders} GROUP BY ALL)
        SELECT country, minute - to_minutes(back) AS window_start, sum(n)::BIGINT AS orders, sum(s) AS revenue
        FROM minutes, range(10) AS t(back) GROUP BY ALL""",
    # A session begins with an order two minutes or more after the one before it.
    "sessions": f"""WITH valid AS (SELECT customer_id, amount, event_time {orders}),
        marked AS (SELECT *, coalesce(event_time - lag(event_time) OVER w < INTERVAL 2 MINUTES, false) AS goes_on
            FROM valid WINDOW w AS (PARTITION BY customer_id ORDER BY event_time)),
        numbered AS (SELECT *, count(*) FILTER (NOT goes_on) OVER w AS session
            FROM marked WINDOW w AS (PARTITION BY customer_id ORDER BY event_time))
        SELECT customer_id, count(*) AS orders, sum(amount) AS revenue, min(event_time) AS window_start,
            max(event_time) + INTERVAL 2 MINUTES AS window_end
        FROM numbered GROUP BY customer_id, session""",
    "join": f"""WITH valid AS (SELECT customer_id, amount {orders}),
        customers AS (SELECT * FROM read_json('.bench/customers.jsonl', format = 'newline_delimited',
            columns = {{customer_id: 'VARCHAR', segment: 'VARCHAR'}}))
        SELECT segment, count(*) AS orders, sum(amount) AS revenue
        FROM valid JOIN customers USING (customer_id) GROUP BY segment""",
    "parquet": f"""SELECT country, status, count(*) AS orders, sum(amount) AS revenue, max(amount) AS largest
        FROM read_parquet('{source}') GROUP BY ALL""",
    "to-parquet": f"SELECT order_id, customer_id, amount, status, country, event_time {orders}",
}
form = "parquet" if job == "to-parquet" else "json"
db.execute(f"COPY ({queries[job]}) TO '{target}' (FORMAT {form})")
