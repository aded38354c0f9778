//! `GET /`: which files of an account, in which order, from where and how many.

use std::cmp::Ordering;
use std::collections::HashMap;

use url::form_urlencoded;

use super::error::Rejection;
use super::file::StoredFile;

/// The query of a list. An empty value is an absent one, as clients send all four always.
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
    pub(super) fn of(query: Option<&str>) -> Result<Self, Rejection> {
        let mut given = HashMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            given.entry(name).or_insert(value);
        }
        given.retain(|_, value| !value.is_empty());
        let number = |name: &str| match given.get(name).map(|text| text.parse::<usize>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(Rejection::bad(format!("{name} must be a number"))),
        };
        Ok(Selection {
            search: given.get("search").map(|text| text.to_lowercase()),
            sort: given.get("sort").map(|text| sort(text)).transpose()?,
            offset: number("offset")?.unwrap_or(0),
            limit: match number("limit")? {
                Some(0) => return Err(Rejection::bad("limit must be at least 1")),
                limit => limit.unwrap_or(usize::MAX),
            },
        })
    }

    /// The page asked for, and the number and size of everything that the search found.
    pub(super) fn page(&self, mut files: Vec<StoredFile>) -> (Vec<StoredFile>, usize, u64) {
        if let Some(search) = &self.search {
            files.retain(|file| file.name.to_lowercase().contains(search));
        }
        if let Some((field, direction)) = self.sort {
            // Stable: equal files stay newest first.
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

/// `name`, `name:asc` or `name:desc`.
fn sort(text: &str) -> Result<(Field, Direction), Rejection> {
    let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
    let direction = match direction {
        "asc" => Direction::Ascending,
        "desc" => Direction::Descending,
        _ => return Err(Rejection::bad("sort ends in :asc or :desc")),
    };
    let field = match field {
        "name" => Field::Name,
        "size" => Field::Size,
        "expires" => Field::Expires,
        "created" => Field::Created,
        "modified" => Field::Modified,
        "downloads" => Field::Downloads,
        "mimeType" => Field::MimeType,
        _ => return Err(Rejection::bad("sort names no field of a file")),
    };
    Ok((field, direction))
}

impl Field {
    fn compare(self, one: &StoredFile, other: &StoredFile) -> Ordering {
        match self {
            Field::Name => one.name.cmp(&other.name),
            Field::Size => one.size.cmp(&other.size),
            Field::Expires => {
                // Never is later than any time.
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
