"""Topics, subscriptions, schemas: made, changed, listed, deleted; and what is refused."""

import json
import unittest
import uuid

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1.types import Encoding, Schema

from broker import PROJECT, Clients


class Resources(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)
        self.publisher, self.subscriber = self.clients.publisher, self.clients.subscriber

    def test_topics(self):
        topic = self.clients.topic(labels={"a": "b"}, message_retention_duration={"seconds": 3600})
        self.assertEqual(dict(self.publisher.get_topic(request={"topic": topic}).labels), {"a": "b"})
        changed = self.publisher.update_topic(
            request={"topic": {"name": topic, "labels": {"c": "d"}}, "update_mask": {"paths": ["labels"]}}
        )
        self.assertEqual((dict(changed.labels), changed.message_retention_duration.seconds), ({"c": "d"}, 3600))
        subscription = self.clients.subscription(topic)
        shown = self.subscriber.get_subscription(request={"subscription": subscription})
        self.assertEqual(shown.topic_message_retention_duration.seconds, 3600)
        self.clients.publish(topic, "kept")
        self.publisher.delete_topic(request={"topic": topic})
        with self.assertRaisesRegex(exceptions.NotFound, "Resource not found"):
            self.clients.publish(topic, "x")
        shown = self.subscriber.get_subscription(request={"subscription": subscription})
        self.assertEqual(shown.topic, "_deleted-topic_")
        self.assertEqual([r.message.data for r in self.clients.pull(subscription, 1)], [b"kept"])

    def test_lists_have_pages(self):
        project = f"p{uuid.uuid4().hex}"
        names = [f"projects/{project}/topics/topic{i}" for i in range(5)]
        for name in names:
            self.publisher.create_topic(request={"name": name})
        self.assertEqual([t.name for t in self.publisher.list_topics(request={"project": f"projects/{project}"})], names)
        pages = list(self.publisher.list_topics(request={"project": f"projects/{project}", "page_size": 2}).pages)
        self.assertEqual([len(p.topics) for p in pages], [2, 2, 1])
        subscriptions = [f"projects/{project}/subscriptions/sub{i}" for i in range(3)]
        for name in subscriptions:
            self.subscriber.create_subscription(request={"name": name, "topic": names[0]})
        request = {"topic": names[0], "page_size": 2}
        self.assertEqual(list(self.publisher.list_topic_subscriptions(request=request)), subscriptions)
        listed = self.subscriber.list_subscriptions(request={"project": f"projects/{project}"})
        self.assertEqual([s.name for s in listed], subscriptions)

    def test_subscriptions(self):
        topic, subscription = self.clients.pair()
        shown = self.subscriber.get_subscription(request={"subscription": subscription})
        self.assertEqual(shown.ack_deadline_seconds, 10)
        self.assertEqual(shown.message_retention_duration.days, 7)
        self.assertEqual(shown.expiration_policy.ttl.days, 31)
        changed = self.subscriber.update_subscription(
            request={
                "subscription": {"name": subscription, "ack_deadline_seconds": 60, "filter": "attributes:x"},
                "update_mask": {"paths": ["ack_deadline_seconds"]},
            }
        )
        self.assertEqual((changed.ack_deadline_seconds, changed.filter), (60, ""))
        self.subscriber.delete_subscription(request={"subscription": subscription})
        with self.assertRaises(exceptions.NotFound):
            self.clients.pull_now(subscription)
        again = self.subscriber.create_subscription(request={"name": subscription, "topic": topic})
        self.assertEqual(again.ack_deadline_seconds, 10)

    def test_a_detached_subscription_gets_nothing(self):
        topic, subscription = self.clients.pair()
        self.clients.publish(topic, "x")
        self.publisher.detach_subscription(request={"subscription": subscription})
        self.assertTrue(self.subscriber.get_subscription(request={"subscription": subscription}).detached)
        with self.assertRaises(exceptions.FailedPrecondition):
            self.clients.pull_now(subscription)
        self.assertEqual(list(self.publisher.list_topic_subscriptions(request={"topic": topic})), [])

    def test_a_stream_ends_when_its_subscription_is_deleted(self):
        _, subscription = self.clients.pair()
        future = self.subscriber.subscribe(subscription, lambda m: m.ack())
        self.subscriber.delete_subscription(request={"subscription": subscription})
        with self.assertRaises(exceptions.NotFound):
            future.result(30)

    def refused(self, error, call, request, text=""):
        with self.assertRaisesRegex(error, text):
            call(request=request)

    def test_what_is_refused(self):
        invalid, missing = exceptions.InvalidArgument, exceptions.NotFound
        topic, subscription = self.clients.pair()
        for name in ["ab", "1abc", "googabc", "a" * 256, "a!c"]:
            self.refused(invalid, self.publisher.create_topic, {"name": f"projects/p/topics/{name}"}, "resource_names")
        self.refused(invalid, self.publisher.create_topic, {"name": "nonsense"}, "resource_names")
        self.refused(exceptions.AlreadyExists, self.publisher.create_topic, {"name": topic}, "already exists")
        self.refused(missing, self.publisher.get_topic, {"topic": "projects/p/topics/none"}, "resource=none")
        self.refused(missing, self.publisher.delete_topic, {"topic": "projects/p/topics/none"})
        self.refused(invalid, self.publisher.create_topic, {"name": "projects/p/topics/abc", "labels": {"A": "b"}}, "label")
        create = self.subscriber.create_subscription
        fresh = {"name": "projects/p/subscriptions/abc", "topic": topic}
        self.refused(missing, create, {**fresh, "topic": "projects/p/topics/none"})
        self.refused(exceptions.AlreadyExists, create, {**fresh, "name": subscription})
        for wrong, text in [
            ({"ack_deadline_seconds": 9}, "ack_deadline_seconds is too small. You passed 9"),
            ({"ack_deadline_seconds": 601}, "maximum value is 600"),
            ({"filter": "nonsense"}, "Invalid filter"),
            ({"filter": "attributes:" + "a" * 256}, "filter_size"),
            ({"message_retention_duration": {"seconds": 60}}, "minimum value is 600s"),
            ({"dead_letter_policy": {"dead_letter_topic": topic, "max_delivery_attempts": 4}}, "minimum value is 5"),
            ({"retry_policy": {"minimum_backoff": {"seconds": 601}}}, "maximum value is 600s"),
            ({"push_config": {"push_endpoint": "nonsense"}}, "push endpoint"),
            ({"expiration_policy": {"ttl": {"seconds": 60}}}, "expiration_policy"),
        ]:
            self.refused(invalid, create, {**fresh, **wrong}, text)
        update = self.subscriber.update_subscription
        for paths, text in [([], "must be set"), (["filter"], "`filter`"), (["nonsense"], "`nonsense`")]:
            self.refused(invalid, update, {"subscription": {"name": subscription}, "update_mask": {"paths": paths}}, text)
        pull, ack = self.subscriber.pull, self.subscriber.acknowledge
        self.refused(invalid, pull, {"subscription": subscription, "max_messages": 0}, "positive")
        self.refused(missing, pull, {"subscription": subscription + "x", "max_messages": 1})
        self.refused(invalid, ack, {"subscription": subscription}, "No ack ids")
        ack(request={"subscription": subscription, "ack_ids": ["nonsense"]})
        request = {"subscription": subscription, "ack_ids": ["a"], "ack_deadline_seconds": 601}
        self.refused(invalid, self.subscriber.modify_ack_deadline, request, "maximum value is 600")

    def test_messages_that_are_refused(self):
        topic = self.clients.topic()
        for message, text in [
            ({}, "empty"),
            ({"data": b"x", "attributes": {"k" * 257: ""}}, "attribute_key_size"),
            ({"data": b"x", "attributes": {"k": "v" * 1025}}, "attribute_value_size"),
            ({"data": b"x", "attributes": {str(i): "" for i in range(101)}}, "attributes_count"),
            ({"data": b"x", "ordering_key": "k" * 1025}, "ordering_key_size"),
            ({"data": b"x" * 10_000_001}, "request_size"),
        ]:
            with self.assertRaisesRegex(exceptions.InvalidArgument, text):
                self.clients.publish_messages(topic, [message])
        for messages, text in [
            ([], "message_count is too small"),
            ([{"data": b"x"}] * 1001, "message_count is too large"),
            ([{"data": b"x", "ordering_key": k} for k in "ab"], "same ordering key"),
        ]:
            with self.assertRaisesRegex(exceptions.InvalidArgument, text):
                self.clients.publish_messages(topic, messages)
        self.clients.publish_messages(topic, [{"attributes": {"only": "attributes"}}])

    def test_streams_that_are_refused(self):
        _, subscription = self.clients.pair()
        for request, error in [
            ({"subscription": subscription, "stream_ack_deadline_seconds": 5}, exceptions.InvalidArgument),
            ({"subscription": subscription + "x", "stream_ack_deadline_seconds": 10}, exceptions.NotFound),
            ({"subscription": "x", "stream_ack_deadline_seconds": 10}, exceptions.InvalidArgument),
        ]:
            with self.assertRaises(error):
                requests = iter([pubsub_v1.types.StreamingPullRequest(request)])
                list(self.subscriber.streaming_pull(requests=requests))


class Schemas(unittest.TestCase):
    AVRO = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}

    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)
        self.schemas = pubsub_v1.SchemaServiceClient()
        self.addCleanup(self.schemas.transport.close)

    def create(self, definition=None):
        schema = Schema(type_=Schema.Type.AVRO, definition=json.dumps(definition or self.AVRO))
        request = {"parent": f"projects/{PROJECT}", "schema": schema, "schema_id": f"s{uuid.uuid4().hex}"}
        return self.schemas.create_schema(request=request)

    def test_published_messages_follow_the_schema(self):
        schema = self.create()
        for encoding, good in [(Encoding.JSON, b'{"id": 5}'), (Encoding.BINARY, b"\x0a")]:
            topic = self.clients.topic(schema_settings={"schema": schema.name, "encoding": encoding})
            subscription = self.clients.subscription(topic)
            self.clients.publish(topic, good)
            for bad in [b'{"id": "x"}', b"\x0a\x0a"]:
                with self.assertRaisesRegex(exceptions.InvalidArgument, "schema validation"):
                    self.clients.publish(topic, bad)
            message = self.clients.pull(subscription, 1)[0].message
            self.assertEqual(message.data, good)
            self.assertEqual(message.attributes["googclient_schemaencoding"], encoding.name)
            self.assertEqual(message.attributes["googclient_schemarevisionid"], schema.revision_id)

    def test_protocol_buffers(self):
        definition = 'syntax = "proto3"; message Order { int64 id = 1; string note = 2; }'
        schema = Schema(type_=Schema.Type.PROTOCOL_BUFFER, definition=definition)
        request = {"parent": f"projects/{PROJECT}", "schema": schema, "schema_id": f"s{uuid.uuid4().hex}"}
        schema = self.schemas.create_schema(request=request)
        for encoding, good, bad in [
            (Encoding.JSON, b'{"id": 5, "note": "x"}', b'{"id": "x"}'),
            (Encoding.BINARY, b"\x08\x05\x12\x01x", b"\x12\x05x"),
        ]:
            topic = self.clients.topic(schema_settings={"schema": schema.name, "encoding": encoding})
            self.clients.publish(topic, good)
            with self.assertRaisesRegex(exceptions.InvalidArgument, "schema validation"):
                self.clients.publish(topic, bad)
        wrong = Schema(type_=Schema.Type.PROTOCOL_BUFFER, definition="message {")
        with self.assertRaisesRegex(exceptions.InvalidArgument, "Invalid protocol buffer schema"):
            self.schemas.validate_schema(request={"parent": f"projects/{PROJECT}", "schema": wrong})

    def test_revisions(self):
        schema = self.create()
        topic = self.clients.topic(schema_settings={"schema": schema.name, "encoding": Encoding.JSON})
        wider = {**self.AVRO, "fields": self.AVRO["fields"] + [{"name": "note", "type": "string"}]}
        new = Schema(name=schema.name, type_=Schema.Type.AVRO, definition=json.dumps(wider))
        committed = self.schemas.commit_schema(request={"name": schema.name, "schema": new})
        self.assertNotEqual(committed.revision_id, schema.revision_id)
        self.clients.publish(topic, b'{"id": 1}', b'{"id": 1, "note": "x"}')
        revisions = [s.revision_id for s in self.schemas.list_schema_revisions(request={"name": schema.name})]
        self.assertEqual(revisions, [committed.revision_id, schema.revision_id])
        old = self.schemas.get_schema(request={"name": f"{schema.name}@{schema.revision_id}"})
        self.assertEqual(json.loads(old.definition), self.AVRO)
        back = self.schemas.rollback_schema(request={"name": schema.name, "revision_id": schema.revision_id})
        self.assertEqual(json.loads(back.definition), self.AVRO)
        self.schemas.delete_schema_revision(request={"name": f"{schema.name}@{committed.revision_id}"})
        with self.assertRaises(exceptions.InvalidArgument):
            self.clients.publish(topic, b'{"id": 1, "note": "x"}')
        self.schemas.delete_schema(request={"name": schema.name})
        with self.assertRaises(exceptions.NotFound):
            self.schemas.get_schema(request={"name": schema.name})
        with self.assertRaises(exceptions.FailedPrecondition):
            self.clients.publish(topic, b'{"id": 1}')

    def test_validation(self):
        parent = f"projects/{PROJECT}"
        good = Schema(type_=Schema.Type.AVRO, definition=json.dumps(self.AVRO))
        bad = Schema(type_=Schema.Type.AVRO, definition='{"type": "nonsense"}')
        self.schemas.validate_schema(request={"parent": parent, "schema": good})
        with self.assertRaisesRegex(exceptions.InvalidArgument, "nonsense"):
            self.schemas.validate_schema(request={"parent": parent, "schema": bad})
        request = {"parent": parent, "schema": good, "encoding": Encoding.JSON}
        self.schemas.validate_message(request={**request, "message": b'{"id": 1}'})
        with self.assertRaisesRegex(exceptions.InvalidArgument, "id is missing"):
            self.schemas.validate_message(request={**request, "message": b"{}"})
