//! `GET /`: the search, order and page of an account's list of files.

use std::cmp::Ordering;
use std::collections::HashMap;

use url::form_urlencoded;

use super::error::Rejection;
use super::file::StoredFile;

/// The query of a list. An empty value counts as absent, because clients always send all four parameters.
#[derive(Debug)]
pub(super) struct Selection {
    search: Option<String>,
    sort: Option<(Field, Direction)>,
    offset: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Size,
    Expires,
    Created,
    Modified,
    Downloads,
    MimeType,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Ascending,
    Descending,
}

impl Selection {
    /// Parses a query.
    pub(super) fn of(query: Option<&str>) -> Result<Self, Rejection> {
        let mut parameters = HashMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            parameters.entry(name).or_insert(value);
        }
        parameters.retain(|_, value| !value.is_empty());
        let number = |name: &str| match parameters.get(name).map(|text| text.parse::<usize>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(Rejection::bad(format!("{name} must be a whole number"))),
        };
        Ok(Selection {
            search: parameters.get("search").map(|text| text.to_lowercase()),
            sort: parameters.get("sort").map(|text| sort(text)).transpose()?,
            offset: number("offset")?.unwrap_or(0),
            limit: match number("limit")? {
                Some(0) => return Err(Rejection::bad("limit must be at least 1")),
                limit => limit.unwrap_or(usize::MAX),
            },
        })
    }

    /// Returns the requested page, and the number and total size in bytes of all files that the search found.
    pub(super) fn page(&self, mut files: Vec<StoredFile>) -> (Vec<StoredFile>, usize, u64) {
        if let Some(search) = &self.search {
            files.retain(|file| file.name.to_lowercase().contains(search));
        }
        if let Some((field, direction)) = self.sort {
            // The sort is stable: equal files stay newest first.
            files.sort_by(|one, other| match direction {
                Direction::Ascending => field.compare(one, other),
                Direction::Descending => field.compare(other, one),
            });
        }
        let (count, size) = (files.len(), files.iter().map(|file| file.size).sum());
        let page = files.into_iter().skip(self.offset).take(self.limit);
        (page.collect(), count, size)
    }
}

/// Parses `FIELD`, `FIELD:asc` or `FIELD:desc`.
fn sort(text: &str) -> Result<(Field, Direction), Rejection> {
    let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
    let direction = match direction {
        "asc" => Direction::Ascending,
        "desc" => Direction::Descending,
        _ => return Err(Rejection::bad("sort must end in :asc or :desc")),
    };
    let field = match field {
        "name" => Field::Name,
        "size" => Field::Size,
        "expires" => Field::Expires,
        "created" => Field::Created,
        "modified" => Field::Modified,
        "downloads" => Field::Downloads,
        "mimeType" => Field::MimeType,
        _ => {
            return Err(Rejection::bad(
                "sort must begin with name, size, expires, created, modified, downloads or mimeType",
            ));
        }
    };
    Ok((field, direction))
}

impl Field {
    fn compare(self, one: &StoredFile, other: &StoredFile) -> Ordering {
        match self {
            Field::Name => one.name.cmp(&other.name),
            Field::Size => one.size.cmp(&other.size),
            Field::Expires => {
                // "Never" is later than any time.
                let (one, other) = (one.terms.expires, other.terms.expires);
                one.is_none().cmp(&other.is_none()).then(one.cmp(&other))
            }
            Field::Created => (one.created, one.sequence).cmp(&(other.created, other.sequence)),
            Field::Modified => one.modified.cmp(&other.modified),
            Field::Downloads => one.downloads.cmp(&other.downloads),
            Field::MimeType => one.mime_type.cmp(&other.mime_type),
        }
    }
}
