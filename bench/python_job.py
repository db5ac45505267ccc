"""Job `python` as one would write it in CPython: python_job.py INPUT OUTPUT"""

import json
import re
import sys

source, target = sys.argv[1:]
groups = {}
with open(source, encoding="utf-8") as file:
    for line in file:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        amount, customer_id = row.get("amount"), row.get("customer_id")
        if row.get("order_id") is None or customer_id is None or not isinstance(amount, (int, float)):
            continue
        country, status = row["country"], row["status"]
        label = f"{country[:3].upper()}-{status.title()}"
        size = "large" if amount >= 500 else "medium" if amount >= 100 else "small"
        is_open = status in ("pending", "confirmed") and not country.lower().startswith("k")
        net = round(amount * 0.81 + 0.5, 2)
        words = len(row["event_time"].replace("T", " ").split("-"))
        found = re.search(r"^[A-Z]+0*(\d+)$", customer_id)
        number = int(found.group(1)) if found else -1
        group = groups.setdefault((label, size, is_open), [0, 0.0, 0, 0])
        group[0] += 1
        group[1] += net
        group[2] += words
        group[3] += number
with open(target, "w", encoding="utf-8") as file:
    for (label, size, is_open), (orders, net, words, numbers) in groups.items():
        row = {"label": label, "size": size, "open": is_open}
        row |= {"orders": orders, "net": net, "words": words, "numbers": numbers}
        file.write(json.dumps(row) + "\n")
