//! Schemas that are the text of a .proto file with one message on its top level, without imports, as Google wants them.

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver};

/// The name of the file while it is read.
const FILE: &str = "schema.proto";
/// How deep blocks may be nested: the reader of .proto files calls itself for each.
const DEPTH_MAX: usize = 60;

/// A schema.
#[derive(Debug)]
pub(crate) struct Schema(MessageDescriptor);

/// The one file there is.
struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(FILE, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

impl Schema {
    /// Reads a definition.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if depth(text) > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let text_of = |e: &dyn std::fmt::Display| e.to_string().trim_end_matches('.').to_owned();
        let file = File::from_source(FILE, text).map_err(|e| text_of(&e))?;
        if let Some(import) = file.file_descriptor_proto().dependency.first() {
            return Err(format!("it imports `{import}`, and imports are not allowed"));
        }
        let mut compiler = Compiler::with_file_resolver(OneFile(text.to_owned()));
        compiler.open_file(FILE).map_err(|e| text_of(&e))?;
        let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set())
            .map_err(|e| text_of(&e))?;
        let file = pool.get_file_by_name(FILE).ok_or("it cannot be read")?;
        let mut messages = file.messages();
        match (messages.next(), messages.next()) {
            (Some(message), None) => Ok(Schema(message)),
            (None, _) => Err("it has no message".to_owned()),
            (Some(_), Some(_)) => {
                Err("it has several messages on its top level; put them into one".to_owned())
            }
        }
    }

    /// Checks data in the JSON encoding.
    pub(crate) fn check_json(&self, data: &[u8]) -> Result<(), String> {
        let mut json = serde_json::Deserializer::from_slice(data);
        DynamicMessage::deserialize(self.0.clone(), &mut json).map_err(|e| e.to_string())?;
        json.end().map_err(|e| e.to_string())
    }

    /// Checks data in the binary encoding.
    pub(crate) fn check_binary(&self, data: &[u8]) -> Result<(), String> {
        DynamicMessage::decode(self.0.clone(), data).map(drop).map_err(|e| e.to_string())
    }
}

/// How deep brackets are nested, at most; those in texts and comments count too.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORDER: &str = r#"
        syntax = "proto3";
        message Order {
            int64 id = 1;
            string note = 2;
            repeated Item items = 3;
            message Item { string name = 1; }
        }"#;

    #[test]
    fn both_encodings_are_checked() {
        let schema = Schema::parse(ORDER).unwrap();
        schema.check_json(br#"{"id": "5", "items": [{"name": "x"}]}"#).unwrap();
        schema.check_binary(&[8, 5, 18, 1, b'x']).unwrap();
        for wrong in [&br#"{"id": "x"}"#[..], br#"{"more": 1}"#, b"[]", b"", b"{} {}"] {
            assert!(schema.check_json(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [&[8][..], &[18, 5, b'x'], &[18, 1, 0xff]] {
            assert!(schema.check_binary(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (wrong, why) in [
            ("", "no message"),
            ("nonsense", ""),
            ("syntax = \"proto3\"; message A {} message B {}", "several"),
            ("syntax = \"proto3\"; message A { B b = 1; }", "B"),
            ("syntax = \"proto3\"; import \"x.proto\"; message A {}", "imports"),
        ] {
            let message = Schema::parse(wrong).unwrap_err();
            assert!(message.contains(why), "{wrong}: {message}");
        }
        let deep = format!("syntax = \"proto3\"; {}{}", "message A {".repeat(5000), "}".repeat(5000));
        assert!(Schema::parse(&deep).unwrap_err().contains("deeply"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(
            text in "(syntax|message|A|int32| |=|1|;|\\{|\\}|\"proto3\"|oneof|map<){0,30}",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _read = Schema::parse(&text);
            let schema = Schema::parse(ORDER).unwrap();
            let _checked = (schema.check_binary(&bytes), schema.check_json(&bytes));
        }
    }
}
