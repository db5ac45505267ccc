//! The description of the API.

/// An OpenAPI 3.1 document.
pub const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_is_described_and_every_description_is_of_a_path() {
        let document: Value = serde_json::from_str(super::DOCUMENT).expect("JSON");
        let described: BTreeSet<String> =
            document["paths"].as_object().expect("paths").keys().cloned().collect();
        assert_eq!(described, super::super::paths().into_iter().collect());
    }

    #[test]
    fn states_are_those_there_are() {
        let document: Value = serde_json::from_str(super::DOCUMENT).expect("JSON");
        let described = document["components"]["schemas"]["State"]["enum"].clone();
        let states: Vec<&str> = crate::up::pipe::State::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(described, serde_json::json!(states));
    }
}
