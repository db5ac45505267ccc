//! The keys that the structure of a file allows. The shape check and the JSON schema both read these tables.

/// Keys of the whole file that mean something; others are let through.
pub(crate) const FILE: &[&str] = &["pipeline", "providers", "options", "tests", "x-purlin"];

/// Keys of `x-purlin`.
pub(crate) const X_PURLIN: &[&str] = &["delivery", "tests", "resources"];

/// What `delivery` under `x-purlin` may be.
pub(crate) const DELIVERIES: &[&str] = &["exactly_once", "at_least_once"];

/// Keys of `pipeline`.
pub(crate) const PIPELINE: &[&str] =
    &["type", "windowing", "resource_hints", "transforms", "extra_transforms", "source", "sink"];

/// Keys of a transform that is not a chain or composite.
pub(crate) const TRANSFORM: &[&str] =
    &["type", "name", "input", "output", "output_schema", "windowing", "resource_hints", "config"];

/// Keys of a composite inside the pipeline.
pub(crate) const COMPOSITE: &[&str] =
    &["type", "name", "input", "output", "windowing", "resource_hints", "transforms", "source", "sink"];

/// Keys of a chain inside the pipeline.
pub(crate) const CHAIN: &[&str] = &[
    "type",
    "name",
    "input",
    "output",
    "windowing",
    "resource_hints",
    "transforms",
    "source",
    "sink",
    "extra_transforms",
];

/// Keys of a provider.
pub(crate) const PROVIDER: &[&str] = &["type", "config", "transforms"];

/// Keys of one transform of a `yaml` provider.
pub(crate) const YAML_TRANSFORM: &[&str] = &["config_schema", "body", "requires_inputs", "description"];

/// Keys of one entry of `tests`.
pub(crate) const TEST: &[&str] =
    &["name", "mock_inputs", "mock_outputs", "expected_inputs", "expected_outputs", "allowed_sources"];

/// Keys of one entry of the four lists of a test.
pub(crate) const TEST_ELEMENTS: &[&str] = &["name", "elements"];

/// The provider types of Beam.
pub(crate) const PROVIDER_TYPES: &[&str] =
    &["yaml", "renaming", "python", "pythonPackage", "javaJar", "mavenJar", "beamJar", "remote", "docker"];

/// The transforms whose type depends on the language they are written in.
pub(crate) const WITH_LANGUAGE: &[&str] =
    &["MapToFields", "Filter", "Combine", "Partition", "AssignTimestamps"];

/// The languages of expressions.
pub(crate) const LANGUAGES: &[&str] = &["generic", "python", "sql", "calcite", "javascript", "java"];

/// Every transform of Beam YAML 2.77, so that one which is missing here is not called unknown.
pub(crate) const BEAM_TRANSFORMS: &[&str] = &[
    "AnomalyDetection",
    "AssertEqual",
    "AssignTimestamps",
    "Combine",
    "Create",
    "DicomSearch",
    "Enrichment",
    "Explode",
    "ExtractWindowingInfo",
    "Filter",
    "Flatten",
    "IcebergAddFiles",
    "Join",
    "LogForTesting",
    "MLTransform",
    "MapToFields",
    "MatchAll",
    "Partition",
    "PyTransform",
    "ReadFromAvro",
    "ReadFromBigQuery",
    "ReadFromBigTable",
    "ReadFromCsv",
    "ReadFromDebezium",
    "ReadFromDelta",
    "ReadFromDeltaCDC",
    "ReadFromFirestore",
    "ReadFromIbmMQ",
    "ReadFromIceberg",
    "ReadFromIcebergCDC",
    "ReadFromJdbc",
    "ReadFromJms",
    "ReadFromJson",
    "ReadFromKafka",
    "ReadFromKinesis",
    "ReadFromMongoDB",
    "ReadFromMySql",
    "ReadFromOracle",
    "ReadFromParquet",
    "ReadFromPostgres",
    "ReadFromPubSub",
    "ReadFromSnowflake",
    "ReadFromSpanner",
    "ReadFromSpannerCDC",
    "ReadFromSqlServer",
    "ReadFromTFRecord",
    "ReadFromText",
    "Reshuffle",
    "RunInference",
    "Sql",
    "StripErrorMetadata",
    "ValidateWithSchema",
    "WindowInto",
    "WriteToAvro",
    "WriteToBigQuery",
    "WriteToBigTable",
    "WriteToCsv",
    "WriteToDatadog",
    "WriteToFirestore",
    "WriteToIbmMQ",
    "WriteToIceberg",
    "WriteToJdbc",
    "WriteToJms",
    "WriteToJson",
    "WriteToKafka",
    "WriteToKinesis",
    "WriteToMongoDB",
    "WriteToMySql",
    "WriteToOracle",
    "WriteToParquet",
    "WriteToPostgres",
    "WriteToPubSub",
    "WriteToSnowflake",
    "WriteToSpanner",
    "WriteToSqlServer",
    "WriteToTFRecord",
    "WriteToText",
];
