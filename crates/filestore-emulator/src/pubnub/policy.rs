//! The S3 POST policy of an upload form: which fields and file sizes it accepts, and until when.
//!
//! The service writes the policy into the form, and the storage reads it from the posted fields.

use std::fmt::Write;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::storage_error::StorageError;
use super::storage_keys::{BUCKET, iso_8601};

/// Fields that need no condition.
const EXEMPT_FIELDS: [&str; 2] = ["policy", "x-amz-signature"];

#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    expiration: Timestamp,
    conditions: Vec<Value>,
}

/// Returns the text of a policy that accepts `fields` and files of up to `max_size` bytes. The client can choose any
/// content type.
pub(super) fn write(expiration: Timestamp, max_size: u64, fields: &[(&str, &str)]) -> String {
    let value = |name: &str| fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value);
    let conditions = [
        json!({ "bucket": BUCKET }),
        json!(["eq", "$tagging", value("tagging")]),
        json!(["eq", "$key", value("key")]),
        json!(["content-length-range", 0, max_size]),
        json!(["starts-with", "$Content-Type", ""]),
        json!({ "x-amz-credential": value("X-Amz-Credential") }),
        json!({ "x-amz-security-token": value("X-Amz-Security-Token") }),
        json!({ "x-amz-algorithm": value("X-Amz-Algorithm") }),
        json!({ "x-amz-date": value("X-Amz-Date") }),
    ];
    let mut text = format!("{{\n\t\"expiration\": \"{}\",\n\t\"conditions\": [\n", iso_8601(expiration));
    for (number, condition) in conditions.iter().enumerate() {
        let end = if number + 1 < conditions.len() { "," } else { "" };
        let _ = writeln!(text, "\t\t{condition}{end}");
    }
    format!("\n{text}\t]\n}}\n")
}

impl Policy {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Checks the fields that are posted at `now`. Returns the file sizes that the policy accepts, in bytes.
    pub(super) fn check(
        &self,
        fields: &[(String, String)],
        now: Timestamp,
    ) -> Result<RangeInclusive<u64>, StorageError> {
        if now >= self.expiration {
            return Err(StorageError::denied("Invalid according to Policy: Policy expired."));
        }
        let mut sizes = 0..=u64::MAX;
        let mut named = Vec::new();
        for condition in &self.conditions {
            let is_met = match Condition::parse(condition) {
                Some(Condition::Size(min, max)) => {
                    sizes = min..=max;
                    true
                }
                Some(Condition::Field { name, holds }) => {
                    let name = name.to_ascii_lowercase();
                    let value = match name.as_str() {
                        "bucket" => Some(BUCKET),
                        name => field_value(fields, name),
                    };
                    named.push(name);
                    value.is_some_and(holds)
                }
                None => false,
            };
            if !is_met {
                let message = format!("Invalid according to Policy: Policy Condition failed: {condition}");
                return Err(StorageError::denied(message));
            }
        }
        let extra = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).find(|name| {
            !EXEMPT_FIELDS.contains(&name.as_str()) && !name.starts_with("x-ignore-") && !named.contains(name)
        });
        match extra {
            Some(name) => Err(StorageError::denied(format!("Invalid according to Policy: Extra input fields: {name}"))),
            None => Ok(sizes),
        }
    }
}

enum Condition<'a> {
    Size(u64, u64),
    Field { name: &'a str, holds: Box<dyn Fn(&str) -> bool + 'a> },
}

impl<'a> Condition<'a> {
    fn parse(condition: &'a Value) -> Option<Self> {
        let (name, expected, is_prefix) = match condition {
            Value::Object(pairs) => {
                let (name, value) = pairs.iter().next()?;
                (name.as_str(), value.as_str()?, false)
            }
            Value::Array(items) => match items.as_slice() {
                [Value::String(operator), min, max] if operator == "content-length-range" => {
                    return Some(Condition::Size(min.as_u64()?, max.as_u64()?));
                }
                [Value::String(operator), Value::String(name), Value::String(value)] => {
                    let is_prefix = match operator.as_str() {
                        "eq" => false,
                        "starts-with" => true,
                        _ => return None,
                    };
                    (name.strip_prefix('$')?, value.as_str(), is_prefix)
                }
                _ => return None,
            },
            _ => return None,
        };
        let holds = move |value: &str| if is_prefix { value.starts_with(expected) } else { value == expected };
        Some(Condition::Field { name, holds: Box::new(holds) })
    }
}

/// Returns the value of a field. Upper and lower case in `name` are the same.
pub(super) fn field_value<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [(&str, &str); 7] = [
        ("tagging", "<Tagging/>"),
        ("key", "sub/h/id/a.txt"),
        ("Content-Type", "text/plain"),
        ("X-Amz-Credential", "AKIA/20250102/us-east-1/s3/aws4_request"),
        ("X-Amz-Security-Token", ""),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20250102T030505Z"),
    ];

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Checks the fields of the form after `change` has modified them.
    fn post(change: impl FnOnce(&mut Vec<(String, String)>)) -> Result<RangeInclusive<u64>, String> {
        let text = write(time("2025-01-02T03:05:05Z"), 5_242_880, &FIELDS);
        let mut fields: Vec<_> = FIELDS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fields.push(("Policy".to_owned(), "...".to_owned()));
        fields.push(("X-Amz-Signature".to_owned(), "...".to_owned()));
        change(&mut fields);
        let policy = Policy::parse(text.as_bytes()).unwrap();
        policy.check(&fields, time("2025-01-02T03:05:04Z")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_has_the_recorded_format_of_the_service() {
        let text = write(time("2025-01-02T03:05:05Z"), 5_242_880, &FIELDS);
        let start = "\n{\n\t\"expiration\": \"2025-01-02T03:05:05Z\",\n\t\"conditions\": [\n\t\t{\"bucket\":";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with("\n\t\t{\"x-amz-date\":\"20250102T030505Z\"}\n\t]\n}\n"), "{text}");
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["conditions"][2], json!(["eq", "$key", "sub/h/id/a.txt"]));
        assert_eq!(parsed["conditions"][3], json!(["content-length-range", 0, 5_242_880]));
    }

    #[test]
    fn the_fields_of_the_form_are_accepted_in_any_order_and_case() {
        assert_eq!(post(|_| ()), Ok(0..=5_242_880));
        assert_eq!(post(|fields| fields.reverse()), Ok(0..=5_242_880));
        assert_eq!(post(|fields| fields[3].0.make_ascii_lowercase()), Ok(0..=5_242_880));
    }

    #[test]
    fn any_content_type_and_any_ignored_field_is_accepted() {
        assert!(post(|fields| fields[2].1 = "application/octet-stream".to_owned()).is_ok());
        assert!(post(|fields| fields.push(("x-ignore-me".to_owned(), String::new()))).is_ok());
    }

    #[test]
    fn a_changed_or_missing_field_is_rejected_with_its_condition() {
        let rejected = post(|fields| fields[1].1 = "sub/h/id/b.txt".to_owned()).unwrap_err();
        assert!(rejected.contains(r#"Policy Condition failed: ["eq","$key","sub/h/id/a.txt"]"#), "{rejected}");
        for missing in 0..7 {
            let rejected = post(|fields| drop(fields.remove(missing))).unwrap_err();
            assert!(rejected.contains("Policy Condition failed"), "{rejected}");
        }
    }

    #[test]
    fn a_field_that_no_condition_names_is_rejected() {
        let rejected = post(|fields| fields.push(("acl".to_owned(), "public-read".to_owned()))).unwrap_err();
        assert!(rejected.ends_with("Extra input fields: acl"), "{rejected}");
    }

    #[test]
    fn a_policy_expires_at_its_expiration() {
        let text = write(time("2025-01-02T03:05:05Z"), 1, &FIELDS);
        let rejected = Policy::parse(text.as_bytes()).unwrap().check(&[], time("2025-01-02T03:05:05Z")).unwrap_err();
        assert!(rejected.to_string().ends_with("Policy expired."));
    }
}
