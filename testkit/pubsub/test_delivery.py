"""Publishing and delivery, with Google's client."""

import threading
import time
import unittest

from google.api_core import exceptions
from google.cloud import pubsub_v1

from broker import PROJECT, Clients, until


class Publishing(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    def test_batches_arrive_whole(self):
        batching = pubsub_v1.types.BatchSettings(max_messages=50, max_latency=0.02)
        publisher = pubsub_v1.PublisherClient(batch_settings=batching)
        topic, subscription = self.clients.pair()
        futures = [publisher.publish(topic, b"%d" % i, n=str(i)) for i in range(500)]
        ids = {f.result(30) for f in futures}
        publisher.stop()
        self.assertEqual(len(ids), 500)
        received = self.clients.pull(subscription, 500)
        self.assertEqual({r.message.message_id for r in received}, ids)
        for r in received:
            self.assertEqual(r.message.data.decode(), r.message.attributes["n"])
            self.assertLess(abs(r.message.publish_time.timestamp() - time.time()), 60)
        self.assertEqual(self.clients.pull_now(subscription), [])

    def test_ordering_keys_keep_order_also_after_a_nack(self):
        options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
        publisher = pubsub_v1.PublisherClient(publisher_options=options)
        topic, subscription = self.clients.pair(enable_message_ordering=True)
        futures = [publisher.publish(topic, b"%d" % i, ordering_key=k) for i in range(60) for k in "ab"]
        for f in futures:
            f.result(30)
        publisher.stop()
        seen, nacked, lock = {"a": [], "b": []}, [], threading.Lock()

        def callback(message):
            with lock:
                if message.ordering_key == "a" and message.data == b"20" and not nacked:
                    nacked.append(message.message_id)
                    message.nack()
                    return
                seen[message.ordering_key].append(int(message.data))
                message.ack()

        # From the message that was nacked on, all of its key come (again), in order.
        with self.clients.streaming(subscription, callback):
            self.assertTrue(until(lambda: seen["a"][-40:] == list(range(20, 60)) and len(seen["b"]) == 60), seen)
        self.assertEqual(seen["a"][:20], list(range(20)))
        self.assertEqual(seen["b"], list(range(60)))
        self.assertEqual(self.clients.pull_now(subscription), [])

    def test_pull_keeps_a_key_back_until_its_messages_are_acked(self):
        topic, subscription = self.clients.pair(enable_message_ordering=True)
        self.clients.publish(topic, "1", "2", "3", ordering_key="k")
        first = self.clients.pull_now(subscription, 2)
        self.assertEqual([r.message.data for r in first], [b"1", b"2"])
        self.assertEqual(self.clients.pull_now(subscription), [])
        self.clients.nack(subscription, first[1:])
        self.assertEqual(self.clients.pull_now(subscription), [])
        self.clients.ack(subscription, first[:1])
        self.assertEqual([r.message.data for r in self.clients.pull(subscription, 2)], [b"2", b"3"])


class Delivery(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    def test_each_subscription_gets_every_message(self):
        topic = self.clients.topic()
        subscriptions = [self.clients.subscription(topic) for _ in range(3)]
        self.clients.publish(topic, "x", "y")
        for s in subscriptions:
            self.assertEqual({r.message.data for r in self.clients.pull(s, 2)}, {b"x", b"y"})

    def test_a_stream_delivers_what_is_published_while_it_is_open(self):
        topic, subscription = self.clients.pair()
        seen = []

        def callback(message):
            seen.append(message.data)
            message.ack()

        with self.clients.streaming(subscription, callback):
            for i in range(20):
                self.clients.publish(topic, str(i))
            self.assertTrue(until(lambda: len(seen) == 20))
        self.assertEqual(self.clients.pull_now(subscription), [])

    def test_a_message_comes_again_after_a_nack(self):
        topic, subscription = self.clients.pair()
        self.clients.publish(topic, "x")
        first = self.clients.pull(subscription, 1, ack=False)
        self.assertEqual(self.clients.pull_now(subscription), [])
        self.clients.nack(subscription, first)
        second = self.clients.pull(subscription, 1)
        self.assertEqual(second[0].message.message_id, first[0].message.message_id)
        self.assertNotEqual(second[0].ack_id, first[0].ack_id)
        self.assertEqual(second[0].delivery_attempt, 0, "only dead-letter policies count")

    def test_a_message_comes_again_after_its_deadline(self):
        topic, subscription = self.clients.pair(ack_deadline_seconds=10)
        self.clients.publish(topic, "expires", "extended")
        received = self.clients.pull(subscription, 2, ack=False)
        begin = time.monotonic()
        extended = [r for r in received if r.message.data == b"extended"]
        expires = [r for r in received if r.message.data == b"expires"]
        self.clients.deadline(subscription, extended, 60)
        self.clients.deadline(subscription, expires, 1)
        again = self.clients.pull(subscription, 1)
        self.assertEqual(again[0].message.data, b"expires")
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.assertEqual(self.clients.pull_now(subscription), [])

    def test_flow_control_bounds_what_a_client_holds(self):
        topic, subscription = self.clients.pair()
        self.clients.publish(topic, *(str(i) for i in range(100)))
        held, seen, lock = [], set(), threading.Lock()

        def callback(message):
            with lock:
                held.append(message)
                seen.add(message.data)

        with self.clients.streaming(subscription, callback, max_messages=10):
            self.assertTrue(until(lambda: len(held) == 10))
            time.sleep(0.3)
            self.assertEqual(len(held), 10)

            def drain():
                with lock:
                    for message in held:
                        message.ack()
                    held.clear()
                return len(seen) == 100

            self.assertTrue(until(drain), len(seen))
            drain()

    def test_retry_policy_delays(self):
        policy = {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 2}}
        topic, subscription = self.clients.pair(retry_policy=policy)
        self.clients.publish(topic, "x")
        first = self.clients.pull(subscription, 1, ack=False)
        begin = time.monotonic()
        self.clients.nack(subscription, first)
        self.assertEqual(self.clients.pull_now(subscription), [])
        self.assertEqual(len(self.clients.pull(subscription, 1)), 1)
        self.assertGreater(time.monotonic() - begin, 0.9)

    def test_filters(self):
        topic = self.clients.topic()
        french = self.clients.subscription(topic, filter='attributes.lang = "fr" AND NOT attributes:draft')
        prefixed = self.clients.subscription(topic, filter='hasPrefix(attributes.lang, "e")')
        for lang in ["fr", "en", "es"]:
            self.clients.publish(topic, lang, attributes={"lang": lang})
        self.clients.publish(topic, "draft", attributes={"lang": "fr", "draft": ""})
        self.assertEqual([r.message.data for r in self.clients.pull(french, 1)], [b"fr"])
        self.assertEqual(self.clients.pull_now(french), [])
        self.assertEqual({r.message.data for r in self.clients.pull(prefixed, 2)}, {b"en", b"es"})

    def test_dead_letters(self):
        dead_topic, dead = self.clients.pair()
        policy = {"dead_letter_topic": dead_topic, "max_delivery_attempts": 5}
        topic, subscription = self.clients.pair(dead_letter_policy=policy)
        message_id = self.clients.publish(topic, "bad", attributes={"a": "b"})[0]
        for attempt in range(1, 6):
            received = self.clients.pull(subscription, 1, ack=False)
            self.assertEqual(received[0].delivery_attempt, attempt)
            self.clients.nack(subscription, received)
        self.assertEqual(self.clients.pull_now(subscription), [])
        letter = self.clients.pull(dead, 1)[0].message
        self.assertEqual(letter.data, b"bad")
        self.assertNotEqual(letter.message_id, message_id)
        attributes = dict(letter.attributes)
        self.assertIn("T", attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime"))
        self.assertEqual(
            attributes,
            {
                "a": "b",
                "CloudPubSubDeadLetterSourceDeliveryCount": "5",
                "CloudPubSubDeadLetterSourceSubscription": subscription.split("/")[-1],
                "CloudPubSubDeadLetterSourceSubscriptionProject": PROJECT,
            },
        )


class ExactlyOnce(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    def test_acks_are_confirmed(self):
        topic, subscription = self.clients.pair(enable_exactly_once_delivery=True)
        self.clients.publish(topic, *(str(i) for i in range(50)))
        confirmed = []

        def callback(message):
            confirmed.append((message.data, message.ack_with_response()))

        with self.clients.streaming(subscription, callback):
            self.assertTrue(until(lambda: len(confirmed) == 50))
            for _, future in confirmed:
                self.assertEqual(future.result(30).name, "SUCCESS")
        self.assertEqual(len({data for data, _ in confirmed}), 50)
        self.assertEqual(self.clients.pull_now(subscription), [])

    def test_an_expired_ack_id_is_refused_by_name(self):
        topic, subscription = self.clients.pair(enable_exactly_once_delivery=True)
        self.clients.publish(topic, "x")
        late = self.clients.pull(subscription, 1, ack=False)
        self.clients.deadline(subscription, late, 1)
        current = self.clients.pull(subscription, 1, ack=False)
        for call in (self.clients.ack, lambda s, r: self.clients.deadline(s, r, 20)):
            with self.assertRaises(exceptions.InvalidArgument) as caught:
                call(subscription, late)
            self.assertEqual(caught.exception.reason, "EXACTLY_ONCE_ACKID_FAILURE")
            self.assertEqual(
                dict(caught.exception.metadata), {late[0].ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}
            )
        self.clients.ack(subscription, current)
        self.assertEqual(self.clients.pull_now(subscription), [])

    def test_confirmations_come_on_the_stream(self):
        topic, subscription = self.clients.pair(enable_exactly_once_delivery=True)
        self.clients.publish(topic, "x")
        requests, done = [{"subscription": subscription, "stream_ack_deadline_seconds": 10}], threading.Event()
        more = threading.Event()

        def ask():
            yield pubsub_v1.types.StreamingPullRequest(requests[0])
            more.wait(30)
            yield pubsub_v1.types.StreamingPullRequest(requests[1])
            done.wait(30)

        confirmation = None
        for response in self.clients.subscriber.streaming_pull(requests=ask()):
            self.assertTrue(response.subscription_properties.exactly_once_delivery_enabled)
            for received in response.received_messages:
                requests.append({"ack_ids": [received.ack_id, "nonsense"]})
                more.set()
            if response.acknowledge_confirmation.ack_ids:
                confirmation = response.acknowledge_confirmation
                break
        done.set()
        self.assertEqual(list(confirmation.invalid_ack_ids), ["nonsense"])
        self.assertEqual(len(confirmation.ack_ids), 1)


class Seeking(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    def seek(self, subscription, **target):
        self.clients.subscriber.seek(request={"subscription": subscription, **target})

    def test_to_a_time_back_and_forth(self):
        topic = self.clients.topic()
        kept = self.clients.subscription(topic, retain_acked_messages=True)
        gone = self.clients.subscription(topic)
        self.clients.publish(topic, "1")
        time.sleep(0.02)
        self.clients.publish(topic, "2", "3")
        for s in (kept, gone):
            received = self.clients.pull(s, 3)
        second = sorted(received, key=lambda r: r.message.data)[1].message.publish_time
        for s in (kept, gone):
            self.seek(s, time=second)
        self.assertEqual({r.message.data for r in self.clients.pull(kept, 2)}, {b"2", b"3"})
        self.assertEqual(self.clients.pull_now(gone), [])
        self.clients.publish(topic, "4", "5")
        self.seek(kept, time={"seconds": int(time.time()) + 60})
        self.assertEqual(self.clients.pull_now(kept), [])
        self.clients.publish(topic, "6")
        self.assertEqual([r.message.data for r in self.clients.pull(kept, 1)], [b"6"])

    def test_to_a_snapshot(self):
        topic, subscription = self.clients.pair()
        self.clients.publish(topic, "1", "2", "3")
        self.clients.pull(subscription, 1)
        name = subscription.replace("subscriptions", "snapshots")
        subscriber = self.clients.subscriber
        snapshot = subscriber.create_snapshot(
            request={"name": name, "subscription": subscription, "labels": {"a": "b"}}
        )
        self.assertEqual((snapshot.topic, dict(snapshot.labels)), (topic, {"a": "b"}))
        self.assertIn(name, [s.name for s in subscriber.list_snapshots(request={"project": f"projects/{PROJECT}"})])
        self.assertEqual(list(self.clients.publisher.list_topic_snapshots(request={"topic": topic})), [name])
        rest = {r.message.data for r in self.clients.pull(subscription, 2)}
        self.clients.publish(topic, "4")
        self.clients.pull(subscription, 1)
        self.seek(subscription, snapshot=name)
        self.assertEqual({r.message.data for r in self.clients.pull(subscription, 3)}, rest | {b"4"})
        other = self.clients.subscription(topic)
        self.seek(other, snapshot=name)
        self.assertEqual({r.message.data for r in self.clients.pull(other, 3)}, rest | {b"4"})
        changed = subscriber.update_snapshot(
            request={"snapshot": {"name": name, "labels": {"c": "d"}}, "update_mask": {"paths": ["labels"]}}
        )
        self.assertEqual(dict(changed.labels), {"c": "d"})
        subscriber.delete_snapshot(request={"snapshot": name})
        with self.assertRaises(exceptions.NotFound):
            self.seek(subscription, snapshot=name)
