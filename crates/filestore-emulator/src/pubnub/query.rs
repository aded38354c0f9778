//! The decoded query of a request.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Names and values of a query. A plus is not a space: clients encode a space as `%20`, and some send tokens unescaped.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let parameters = query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
        let parameters = parameters.map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (decoded(name), decoded(value))
        });
        Query(parameters.collect())
    }

    /// Returns the first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "True"))
    }
}

impl fmt::Debug for Query {
    /// Shows the names only: values can be tokens and signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_a_plus_stays_a_plus() {
        let query = Query::parse(Some("next=1ab+/=&uuid=a%20b%7E&uuid=c&meta=%7B%22k%22%3A1%7D&ee="));
        assert_eq!(query.get("next"), Some("1ab+/="));
        assert_eq!(query.get("uuid"), Some("a b~"));
        assert_eq!(query.get("meta"), Some(r#"{"k":1}"#));
        assert_eq!(query.get("ee"), Some(""));
        assert_eq!(query.get("auth"), None);
    }
}
