"""Apache Beam's own pipeline over the broker."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

from broker import Clients, until


class Beam(unittest.TestCase):
    def test_sums_per_customer(self):
        clients = Clients()
        self.addCleanup(clients.close)
        topic, subscription = clients.pair()
        results, results_subscription = clients.pair()
        script = os.path.join(os.path.dirname(__file__), "beam_pipeline.py")
        log = tempfile.TemporaryFile("w+")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [sys.executable, script, subscription, results], stdout=log, stderr=subprocess.STDOUT
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def purchase(customer, amount, at):
            payload = json.dumps({"customer": customer, "amount": amount})
            attributes = {"time": str(int(at * 1000))}
            clients.publish(topic, payload, attributes=attributes)

        start = int(time.time()) // 5 * 5
        for customer, amount in [("ann", 1), ("bob", 10), ("ann", 2)]:
            purchase(customer, amount, start)
        seen = {}

        def arrived():
            self.assertIsNone(process.poll(), "Beam ended")
            # What moves the watermark on: time passes in the data.
            purchase("clock", 0, time.time())
            time.sleep(0.3)
            received = clients.pull_now(results_subscription)
            if received:
                clients.ack(results_subscription, received)
            for r in received:
                row = json.loads(r.message.data)
                seen[(row["customer"], row["start"])] = row["total"]
            return ("ann", start) in seen and ("bob", start) in seen

        if not until(arrived, 300):
            log.seek(0)
            self.fail(f"{seen}\n{log.read()[-3000:]}")
        self.assertEqual((seen[("ann", start)], seen[("bob", start)]), (3, 10))


if __name__ == "__main__":
    unittest.main()
