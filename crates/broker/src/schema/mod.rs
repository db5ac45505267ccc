//! Schemas of messages.

mod avro;
#[cfg(feature = "protobuf")]
mod protobuf;

use crate::status::invalid;
use pubsub_proto::google::pubsub::v1 as pb;
use tonic::Status;

/// A schema that messages can be checked against.
#[derive(Debug)]
pub(crate) enum Validator {
    Avro(avro::Schema),
    #[cfg(feature = "protobuf")]
    Protobuf(protobuf::Schema),
}

impl Validator {
    /// Reads a schema's definition.
    pub(crate) fn new(schema: &pb::Schema) -> Result<Self, Status> {
        match schema.r#type() {
            pb::schema::Type::Avro => avro::Schema::parse(&schema.definition)
                .map(Validator::Avro)
                .map_err(|why| invalid(format!("Invalid Avro schema: {why}."))),
            #[cfg(feature = "protobuf")]
            pb::schema::Type::ProtocolBuffer => protobuf::Schema::parse(&schema.definition)
                .map(Validator::Protobuf)
                .map_err(|why| invalid(format!("Invalid protocol buffer schema: {why}."))),
            #[cfg(not(feature = "protobuf"))]
            pb::schema::Type::ProtocolBuffer => Err(Status::unimplemented(
                "This broker was built without schemas of protocol buffers. Use an Avro schema, or none.",
            )),
            pb::schema::Type::Unspecified => {
                Err(invalid("The type of a schema must be AVRO or PROTOCOL_BUFFER."))
            }
        }
    }

    /// Checks a message; the error says what is wrong with it.
    pub(crate) fn check(&self, data: &[u8], encoding: pb::Encoding) -> Result<(), String> {
        match (self, encoding) {
            (_, pb::Encoding::Unspecified) => Err("the encoding must be JSON or BINARY".to_owned()),
            (Validator::Avro(schema), pb::Encoding::Json) => schema.check_json(data),
            (Validator::Avro(schema), pb::Encoding::Binary) => schema.check_binary(data),
            #[cfg(feature = "protobuf")]
            (Validator::Protobuf(schema), pb::Encoding::Json) => schema.check_json(data),
            #[cfg(feature = "protobuf")]
            (Validator::Protobuf(schema), pb::Encoding::Binary) => schema.check_binary(data),
        }
    }
}
