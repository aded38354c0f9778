//! Defects on purpose: the chaos run has to find each of them. They exist only with `--cfg planted_bugs`, and one of them
//! is chosen by the environment variable `FILESTORE_PLANTED_BUG`.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::{List, Page};

static CHOSEN: LazyLock<String> = LazyLock::new(|| std::env::var("FILESTORE_PLANTED_BUG").unwrap_or_default());

/// Returns `true` if the defect called `name` is chosen.
pub fn planted_bug(name: &str) -> bool {
    *CHOSEN == name
}

/// The pages that were read last, by store and request.
static PAGES: LazyLock<Mutex<HashMap<String, Page>>> = LazyLock::new(Mutex::default);

fn key(store: &str, request: &List) -> String {
    format!("{store} {request:?}")
}

/// The defect `stale-list`: a listing is not read again.
pub(crate) fn stale_page(store: &str, request: &List) -> Option<Page> {
    let pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    pages.get(&key(store, request)).filter(|_| planted_bug("stale-list")).cloned()
}

pub(crate) fn keep_page(store: &str, request: &List, page: &Page) {
    PAGES.lock().unwrap_or_else(PoisonError::into_inner).insert(key(store, request), page.clone());
}

/// The defect `page-lost`: a listing ends after its second page.
pub(crate) fn without_third_page(mut page: Page, request: &List) -> Page {
    if planted_bug("page-lost") && request.page.is_some() {
        page.next = None;
    }
    page
}
