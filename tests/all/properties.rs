//! Properties of the parsers of references, expiries and configurations.

use filestore::{Config, Expiry, FileRef};
use proptest::prelude::*;

proptest! {
    #[test]
    fn parsing_a_reference_never_panics_and_keeps_its_text(text in ".{0,80}") {
        if let Ok(reference) = text.parse::<FileRef>() {
            prop_assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn parsing_text_like_a_reference_keeps_the_text(text in "[a-zA-Z_-]{1,5}:[a-z0-9]{1,5}:[a-zA-Z0-9%/._~-]{0,30}") {
        if let Ok(reference) = text.parse::<FileRef>() {
            prop_assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn components_are_the_same_after_formatting_and_parsing(components in prop::collection::vec(".{1,20}", 1..5)) {
        let reference = FileRef::new("x", &components).stamped(&"store".into());
        let parsed: FileRef = reference.to_string().parse().unwrap();
        prop_assert_eq!(parsed.components(), components);
        prop_assert_eq!(parsed, reference);
    }

    #[test]
    fn a_redacted_reference_shows_at_most_three_characters(key in "[A-Za-z0-9]{8,40}") {
        let reference = FileRef::new("keyed", [&key]);
        let debug = format!("{reference:?}");
        prop_assert!(!debug.contains(&key[..4]));
    }

    #[test]
    fn an_expiry_parses_from_its_text(text in "[0-9]{0,4}[a-zA-Z|]{0,2}|[0-9TZ:+-]{0,25}|never|default") {
        if let Ok(expiry) = text.parse::<Expiry>() {
            prop_assert_eq!(expiry.to_string().parse::<Expiry>().unwrap(), expiry);
        }
    }

    #[test]
    fn parsing_a_configuration_never_panics(text in "(\\[stores\\.[a-z]{1,3}\\]\n)?(backend|root|default|stores|aliases)? ?= ?.{0,20}\n?") {
        let _ = Config::parse(&text, "x.toml");
    }
}
