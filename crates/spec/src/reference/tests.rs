use super::{index, page};
use crate::fixture::vocabulary;

#[test]
fn a_page_says_what_a_transform_takes() {
    let vocabulary = vocabulary();
    let text = page(vocabulary.get("MapToFields").expect("it is there"));
    assert!(
        text.starts_with("# MapToFields\n\nDoes something. More | words.\n\n**Inputs**: one; a list"),
        "{text}"
    );
    assert!(text.contains("**Errors**"));
    assert!(
        text.contains(
            "| `fields` | mapping from names to: expression | **required** | A field. Of a transform. |"
        ),
        "{text}"
    );
    assert!(text.contains("| `language` | `generic`, `python` | none |"), "{text}");
    let text = page(vocabulary.get("WindowInto").expect("it is there"));
    assert!(text.contains("### `windowing`") && text.contains("| `allowed_lateness` | duration"), "{text}");
    assert!(page(vocabulary.get("Flatten").expect("it is there")).contains("It takes none."));
}

#[test]
fn the_index_lists_all_by_name() {
    let text = index(&vocabulary());
    assert!(text.contains("| [Create](Create.md) | Does something. |"), "{text}");
    let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("| [")).collect();
    assert!(names.is_sorted() && names.len() == vocabulary().iter().count());
}

#[test]
fn defaults_read_as_yaml() {
    for (rust, yaml) in [
        ("true", "true"),
        ("\"INFO\".to_owned()", "INFO"),
        ("OneOrMany(vec![])", "[]"),
        ("String::from(\"\")", "''"),
    ] {
        assert_eq!(super::plain_default(rust), yaml);
    }
}
