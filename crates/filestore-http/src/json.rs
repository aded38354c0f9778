//! Deserializers for fields of JSON responses that tolerate unexpected values and bound the memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The largest JSON response that describes one object, in bytes. It is a small part of
/// [`JSON_LIMIT`](crate::JSON_LIMIT), because values of any shape take a hundred times the memory of their text.
pub const OBJECT_LIMIT: usize = 256 * 1024;

/// Deserializes an optional field. A value of an unexpected shape is `None`, so that it does not fail the whole object.
///
/// For `#[serde(deserialize_with)]`. It takes the memory of the text, whatever the value is.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(text.get()).ok())
}

/// Deserializes a list of at most `max` elements; `null` is `None`. A longer list is an error. The limit bounds the memory, because an element
/// takes much more of it than its text.
pub fn bounded_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    max: usize,
) -> Result<Option<Vec<T>>, D::Error> {
    deserializer.deserialize_any(BoundedList(max, PhantomData))
}

struct BoundedList<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BoundedList<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} elements", self.0)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == self.0 {
                return Err(de::Error::invalid_length(self.0 + 1, &self));
            }
            elements.push(element);
        }
        Ok(Some(elements))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default, deserialize_with = "lenient")]
        size: Option<u64>,
        #[serde(default, deserialize_with = "lenient")]
        end: Option<Option<u64>>,
    }

    #[test]
    fn a_value_of_an_unexpected_shape_is_none() {
        for unexpected in ["\"six\"", "-6", "6.5", "[6]", "{\"\":[0]}", "true", "null"] {
            let file: File = serde_json::from_str(&format!("{{\"size\":{unexpected}}}")).unwrap();
            assert_eq!(file.size, None, "{unexpected}");
        }
        let file: File = serde_json::from_str(r#"{"size":6,"end":null}"#).unwrap();
        assert_eq!((file.size, file.end), (Some(6), Some(None)));
        assert!(serde_json::from_str::<File>(r#"{"size":[}"#).is_err());
    }

    #[test]
    fn a_list_has_at_most_the_given_number_of_elements() {
        let list = |text: &str| {
            let mut json = serde_json::Deserializer::from_str(text);
            bounded_list::<_, u8>(&mut json, 2)
        };
        assert_eq!(list("[1,2]").unwrap(), Some(vec![1, 2]));
        assert_eq!(list("null").unwrap(), None);
        for bad in ["[1,2,3]", "{}", "1"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }
}
