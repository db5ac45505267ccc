#!/usr/bin/env python3
"""Google's Pub/Sub client against `purlin broker`.

    testkit/pubsub/run.py target/debug/purlin [NAME ...]
"""

import os
import sys
import unittest

if __name__ == "__main__":
    # One module under one name: the tests import it too.
    sys.modules["run"] = sys.modules["__main__"]

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from broker import Broker  # noqa: E402

BINARY = [os.path.abspath(sys.argv[1])] if len(sys.argv) > 1 else []
SHARED = None


def use_shared():
    """Clients made from here on use the broker that most tests share."""
    os.environ["PUBSUB_EMULATOR_HOST"] = SHARED.host


def main():
    global SHARED
    SHARED = Broker(BINARY, "--push-token", "pushed").start()
    try:
        program = unittest.main(module=None, argv=["run.py", *arguments()], exit=False, verbosity=2)
        stopped = SHARED.stop()
        if stopped != 0:
            print(f"the broker ended with {stopped}", file=sys.stderr)
        return 0 if program.result.wasSuccessful() and stopped == 0 else 1
    finally:
        SHARED.remove()


def arguments():
    folder = os.path.dirname(os.path.abspath(__file__))
    named = sys.argv[2:]
    return named or ["discover", "--start-directory", folder]


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
