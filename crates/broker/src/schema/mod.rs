//! Schemas of messages.

mod avro;

use crate::status::invalid;
use pubsub_proto::google::pubsub::v1 as pb;
use tonic::Status;

/// A schema that messages can be checked against.
#[derive(Debug)]
pub(crate) struct Validator(avro::Schema);

impl Validator {
    /// Reads a schema's definition.
    pub(crate) fn new(schema: &pb::Schema) -> Result<Self, Status> {
        match schema.r#type() {
            pb::schema::Type::Avro => avro::Schema::parse(&schema.definition)
                .map(Validator)
                .map_err(|why| invalid(format!("Invalid Avro schema: {why}."))),
            pb::schema::Type::ProtocolBuffer => Err(Status::unimplemented(
                "The broker has no support for schemas of protocol buffers. Use an Avro schema, or none.",
            )),
            pb::schema::Type::Unspecified => {
                Err(invalid("The type of a schema must be AVRO or PROTOCOL_BUFFER."))
            }
        }
    }

    /// Checks a message; the error says what is wrong with it.
    pub(crate) fn check(&self, data: &[u8], encoding: pb::Encoding) -> Result<(), String> {
        match encoding {
            pb::Encoding::Json => self.0.check_json(data),
            pb::Encoding::Binary => self.0.check_binary(data),
            pb::Encoding::Unspecified => Err("the encoding must be JSON or BINARY".to_owned()),
        }
    }
}
