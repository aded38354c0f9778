//! The parameters of a request, in all forms that clients send: in the query and in the body; the body as JSON, form or
//! multipart; nested values with brackets in the names.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::error::Rejection;
use super::time;
use crate::http::RequestBody;
use crate::multipart::Multipart;

/// The maximum size of a body, in bytes. The ETags of 10,000 parts take a tenth of it.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// The bytes that count for each field of a form besides its name and its text, so that empty fields are limited, too.
const FIELD_OVERHEAD: usize = 64;
/// The maximum depth of brackets. Parsing recurses once per level, and clients do not nest deeper.
const MAX_DEPTH: usize = 5;

/// The parameters of a request. Unknown ones are ignored.
#[derive(Debug, Default)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// Reads the parameters of the query and the body. Those of the body take precedence.
    pub(super) async fn read(head: &Parts, body: &mut RequestBody) -> Result<Self, Rejection> {
        let query = head.uri.query().unwrap_or_default();
        let mut params = nested(form_urlencoded::parse(query.as_bytes()).map(text_value));
        params.extend(read_body(head, body).await?);
        Ok(Params(params))
    }

    /// Returns a parameter, which may be null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a boolean parameter. Absent and null are `false`.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Rejection> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "True" | "1" => Ok(true),
                "false" | "False" | "0" | "" => Ok(false),
                _ => Err(Rejection::invalid(name)),
            },
            Some(_) => Err(Rejection::invalid(name)),
        }
    }

    pub(super) fn int(&self, name: &'static str) -> Result<Option<i64>, Rejection> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => integer(value).map(Some).ok_or(Rejection::invalid(name)),
        }
    }

    /// Returns a text parameter. Absent, null and empty are `None`.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Rejection> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Rejection::invalid(name)),
        }
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<jiff::Timestamp>, Rejection> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => time::parse(text).map(Some).ok_or(Rejection::DateTime(name)),
            Some(_) => Err(Rejection::DateTime(name)),
        }
    }

    /// Returns the pairs of part number and ETag in `etags`: an array of objects, parallel arrays, or objects by index.
    pub(super) fn etags(&self) -> Result<Option<Vec<(i64, String)>>, Rejection> {
        match self.get("etags") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(pairs)) => pairs.iter().map(pair).collect::<Result<_, _>>().map(Some),
            Some(Value::Object(columns)) => match (columns.get("etag"), columns.get("part")) {
                (Some(Value::Array(etags)), Some(Value::Array(parts))) if etags.len() == parts.len() => etags
                    .iter()
                    .zip(parts)
                    .map(|(etag, part)| read_pair(etag, part))
                    .collect::<Result<_, _>>()
                    .map(Some),
                (Some(etag), Some(part)) => Ok(Some(vec![read_pair(etag, part)?])),
                _ => columns.values().map(pair).collect::<Result<_, _>>().map(Some),
            },
            Some(_) => Err(Rejection::invalid("etags")),
        }
    }
}

fn pair(value: &Value) -> Result<(i64, String), Rejection> {
    match (value.get("etag"), value.get("part")) {
        (Some(etag), Some(part)) => read_pair(etag, part),
        _ => Err(Rejection::InvalidEtags),
    }
}

fn read_pair(etag: &Value, part: &Value) -> Result<(i64, String), Rejection> {
    let etag = etag.as_str().ok_or(Rejection::InvalidEtags)?;
    Ok((integer(part).ok_or(Rejection::InvalidEtags)?, etag.trim_matches('"').to_owned()))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

async fn read_body(head: &Parts, body: &mut RequestBody) -> Result<Map<String, Value>, Rejection> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return read_form(parameters, body).await;
    }
    let content = body.collect(MAX_BODY).await?.ok_or(Rejection::BodyTooLarge)?;
    match media_type.trim().to_ascii_lowercase().as_str() {
        // Some clients set this content type without a body, others send JSON without a content type.
        "" | "application/json" if content.is_empty() => Ok(Map::new()),
        "" | "application/json" => match serde_json::from_slice(&content) {
            Ok(Value::Object(params)) => Ok(nested(params.into_iter())),
            _ => Err(Rejection::InvalidBody),
        },
        "application/x-www-form-urlencoded" => Ok(nested(form_urlencoded::parse(&content).map(text_value))),
        _ if content.is_empty() => Ok(Map::new()),
        _ => Err(Rejection::UnsupportedMediaType),
    }
}

async fn read_form(parameters: &str, body: &mut RequestBody) -> Result<Map<String, Value>, Rejection> {
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="));
    let boundary = boundary.ok_or(Rejection::InvalidBody)?.trim_matches('"');
    let mut form = Multipart::new(body, boundary).map_err(|_| Rejection::InvalidBody)?;
    let (mut fields, mut size, mut has_file) = (Vec::new(), 0, false);
    while let Some(part) = form.next_part().await.map_err(|_| Rejection::InvalidBody)? {
        let name = part.name.ok_or(Rejection::InvalidBody)?;
        if part.filename.is_some() || name == "file" {
            if has_file {
                return Err(Rejection::InvalidParams("the form has more than one file".to_owned()));
            }
            has_file = true;
        }
        size += name.len() + FIELD_OVERHEAD;
        let mut content = Vec::new();
        while let Some(chunk) = form.chunk().await.map_err(|_| Rejection::InvalidBody)? {
            content.extend_from_slice(&chunk);
            if size + content.len() > MAX_BODY {
                return Err(Rejection::BodyTooLarge);
            }
        }
        size += content.len();
        if size > MAX_BODY {
            return Err(Rejection::BodyTooLarge);
        }
        let text = String::from_utf8(content).map_err(|_| Rejection::InvalidEncoding)?;
        fields.push((name, Value::from(text)));
    }
    Ok(nested(fields.into_iter()))
}

fn text_value<N: Into<String>, T: Into<String>>((name, text): (N, T)) -> (String, Value) {
    (name.into(), Value::from(text.into()))
}

/// Builds objects and arrays from names with brackets: `etags[][part]`, `etags[0][part]`, `sort_by[path]`.
fn nested(fields: impl Iterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut params = Map::new();
    for (name, value) in fields {
        match keys(&name) {
            Some((first, rest)) => put(params.entry(first).or_insert(Value::Null), &rest, value),
            None => _ = params.insert(name, value),
        }
    }
    params
}

/// Splits `a[b][c]` into `a` and its keys. Returns `None` for a plain name.
fn keys(name: &str) -> Option<(&str, Vec<&str>)> {
    let (first, rest) = name.split_once('[')?;
    let inner = rest.strip_suffix(']')?;
    let rest: Vec<_> = inner.split("][").collect();
    (!first.is_empty() && rest.len() <= MAX_DEPTH).then_some((first, rest))
}

/// Stores a value at the path of `keys` in `slot`.
fn put(slot: &mut Value, keys: &[&str], value: Value) {
    match keys {
        [] => *slot = value,
        ["", rest @ ..] => {
            if !slot.is_array() {
                *slot = Value::Array(Vec::new());
            }
            let Value::Array(items) = slot else { return };
            // A key that the last item already has begins the next item.
            let extends_last = match (rest.first(), items.last()) {
                (Some(key), Some(last)) => last.is_object() && last.get(key).is_none(),
                _ => false,
            };
            if !extends_last {
                items.push(Value::Null);
            }
            if let Some(last) = items.last_mut() {
                put(last, rest, value);
            }
        }
        [key, rest @ ..] => {
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            if let Value::Object(fields) = slot {
                put(fields.entry(*key).or_insert(Value::Null), rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(text: &str) -> Params {
        Params(nested(form_urlencoded::parse(text.as_bytes()).map(text_value)))
    }

    #[test]
    fn etags_are_read_in_every_form_that_clients_send() {
        let two = Some(vec![(1, "aa".to_owned()), (2, "bb".to_owned())]);
        for text in [
            "etags[][etag]=aa&etags[][part]=1&etags[][etag]=bb&etags[][part]=2",
            "etags[0][etag]=aa&etags[0][part]=1&etags[1][etag]=%22bb%22&etags[1][part]=2",
            "etags[etag][]=aa&etags[etag][]=bb&etags[part][]=1&etags[part][]=2",
        ] {
            assert_eq!(form(text).etags().unwrap(), two, "{text}");
        }
        for body in [
            json!({"etags": [{"etag": "aa", "part": "1"}, {"etag": "bb", "part": 2}]}),
            json!({"etags[etag]": ["aa", "bb"], "etags[part]": [1, 2]}),
            json!({"etags[0][etag]": "aa", "etags[0][part]": 1, "etags[1][etag]": "bb", "etags[1][part]": "2"}),
        ] {
            let Value::Object(fields) = body else { unreachable!() };
            assert_eq!(Params(nested(fields.into_iter())).etags().unwrap(), two);
        }
        assert_eq!(Params::default().etags().unwrap(), None);
    }

    #[test]
    fn booleans_and_numbers_may_be_text() {
        let params = form("a=True&b=false&c=yes&n=12&m=1.5");
        assert_eq!(
            (params.flag("a").unwrap(), params.flag("b").unwrap(), params.flag("absent").unwrap()),
            (true, false, false)
        );
        assert!(params.flag("c").is_err());
        assert_eq!(params.int("n").unwrap(), Some(12));
        assert_eq!(params.int("m").unwrap_err().to_string(), "m is invalid");
    }

    #[test]
    fn names_with_broken_brackets_are_plain_names() {
        let params = form("a[=1&[b]=2&c[x]=3&d[1][2][3][4][5][6]=7");
        assert_eq!(params.get("a["), Some(&json!("1")));
        assert_eq!(params.get("[b]"), Some(&json!("2")));
        assert_eq!(params.get("c"), Some(&json!({"x": "3"})));
        assert!(params.get("d").is_none());
    }
}
