"""A streaming Beam pipeline as its users write it: purchases from a subscription, summed per customer in fixed windows,
published to a topic. Run by test_beam.py on Beam's local runner, which finds the broker by PUBSUB_EMULATOR_HOST.

    beam_pipeline.py SUBSCRIPTION TOPIC
"""

import json
import sys

import apache_beam as beam
from apache_beam.io.gcp.pubsub import ReadFromPubSub, WriteToPubSub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows

WINDOW_SECONDS = 5


def encode(pair, window=beam.DoFn.WindowParam):
    customer, total = pair
    return json.dumps({"customer": customer, "total": total, "start": int(window.start)}).encode()


def main(subscription, topic):
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | ReadFromPubSub(subscription=subscription, timestamp_attribute="time")
            | beam.Map(json.loads)
            | beam.Map(lambda purchase: (purchase["customer"], purchase["amount"]))
            | beam.WindowInto(FixedWindows(WINDOW_SECONDS))
            | beam.CombinePerKey(sum)
            | beam.Map(encode)
            | WriteToPubSub(topic)
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
