//! L1 to L9: listings are complete, in order, and true.

use std::collections::BTreeMap;

use bytes::Bytes;
use filestore_core::{ErrorKind, List, ListOrder, Page, PageToken, Result, Store, StoredFile};
use futures::TryStreamExt;

use super::digest::true_digests;
use crate::case::{Case, list_of};
use crate::content;
use crate::rule::{Rule, rule};
use crate::verdict::{NOTHING_CHANGED, Verdict, check, failed, needed, rejected, same, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("L1", "A listing has every file once.", [List], complete),
    rule!("L2", "The pages together have every file once.", [List], pages),
    rule!("L3", "A page has at most as many files as requested.", [List], limit),
    rule!("L4", "A page token can be stored as text and never repeats.", [List], tokens),
    rule!("L5", "The order is the stated one.", [List], order),
    rule!(
        "L6",
        "A plain listing has the files of the folder, and a recursive one also those of subfolders.",
        [List, RecursiveList],
        recursive
    ),
    rule!("L7", "A plain listing names the subfolders.", [List], folders),
    rule!("L8", "A scope without files lists nothing.", [List], empty_scope),
    rule!("L9", "The metadata of a listing is true.", [List], metadata),
];

async fn complete(case: &Case<'_>) -> Verdict {
    let files = seven_files(case).await?;
    let listed = worked("the listing", case.list().await)?;
    every_file_once(case, &files, &listed)
}

async fn pages(case: &Case<'_>) -> Verdict {
    let files = seven_files(case).await?;
    for limit in [1, 2, 3, 7, 1000] {
        let list = list_of(case.scope.as_deref()).limit(limit);
        let listed: Vec<_> = worked("the listing in pages", case.store.list_all(list).try_collect().await)?;
        every_file_once(case, &files, &listed)?;
    }
    Ok(())
}

async fn limit(case: &Case<'_>) -> Verdict {
    seven_files(case).await?;
    for limit in [1, 2, 6] {
        let pages = fetch_pages(&case.store, list_of(case.scope.as_deref()).limit(limit)).await?;
        for page in pages {
            let count = page.files.len();
            check(count <= limit as usize, &format!("at most {limit} files on a page"), count)?;
        }
    }
    Ok(())
}

async fn tokens(case: &Case<'_>) -> Verdict {
    let files = seven_files(case).await?;
    let list = list_of(case.scope.as_deref()).limit(2);
    let pages = fetch_pages(&case.store, list.clone()).await?;
    let texts: Vec<String> = pages.iter().filter_map(|page| page.next.as_ref()).map(ToString::to_string).collect();
    check(texts.iter().all(|text| !text.is_empty()), "page tokens that are not empty", &texts)?;
    // Fetches each page once more, with another handle and the text of its token.
    let other = case.second_handle().await?;
    let mut listed = pages.first().map(|page| page.files.clone()).unwrap_or_default();
    for text in texts {
        let page = worked("a page from a kept token", other.list(list.clone().page(PageToken::new(text))).await)?;
        listed.extend(page.files);
    }
    every_file_once(case, &files, &listed)
}

async fn order(case: &Case<'_>) -> Verdict {
    let stated = case.capabilities().list_order;
    if stated == ListOrder::Unspecified {
        return skipped("list_order", "the store states no order");
    }
    // Orders differ in case, punctuation, digits and non-ASCII letters.
    for name in ["b.txt", "a.txt", "B.txt", "a-b.txt", "10.txt", "9.txt", "a b.txt", "\u{fc}.txt", "a_b.txt"] {
        case.put(name, name).await?;
    }
    let list = list_of(case.scope.as_deref()).limit(2);
    let listed: Vec<_> = needed("listing", case.store.list_all(list).try_collect().await)?;
    match stated {
        ListOrder::Path => ascending("the names", &listed, |file| vec![file.name.clone()]),
        ListOrder::Id => ascending("the references", &listed, |file| file.reference.components()),
        ListOrder::NewestFirst => newest_first(case, &listed),
        _ => {
            let second = needed("listing", case.list().await)?;
            let names = |files: &[StoredFile]| files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
            same("the order of the second listing", &names(&listed), &names(&second))
        }
    }
}

fn ascending(what: &str, listed: &[StoredFile], key: impl Fn(&StoredFile) -> Vec<String>) -> Verdict {
    let seen: Vec<_> = listed.iter().map(key).collect();
    let mut sorted = seen.clone();
    sorted.sort();
    same(&format!("{what}, in ascending order of their bytes"), &sorted, &seen)
}

fn newest_first(case: &Case<'_>, listed: &[StoredFile]) -> Verdict {
    let files: Vec<_> = listed.iter().filter(|file| file.name.contains(&case.name(""))).collect();
    let times: Vec<_> = files.iter().filter_map(|file| file.created.or(file.modified)).collect();
    let mut sorted = times.clone();
    sorted.sort_by(|one, other| other.cmp(one));
    same("the times, newest first", &sorted, &times)
}

async fn recursive(case: &Case<'_>) -> Verdict {
    case.needs_folders()?;
    let (top, below) = nested(case).await?;
    let scope = case.scope.as_deref();
    let plain = worked("a plain listing", case.list().await)?;
    same("the files of a plain listing", &vec![top.clone()], &names(&plain))?;
    let list = list_of(scope).recursive(true).limit(1);
    let all: Vec<_> = worked("a recursive listing", case.store.list_all(list).try_collect().await)?;
    let mut seen = names(&all);
    seen.sort();
    let mut expected = vec![top];
    expected.extend(below);
    expected.sort();
    same("the files of a recursive listing", &expected, &seen)
}

async fn folders(case: &Case<'_>) -> Verdict {
    case.needs_folders()?;
    nested(case).await?;
    let pages = fetch_pages(&case.store, list_of(case.scope.as_deref())).await?;
    let named: Vec<String> = pages.into_iter().flat_map(|page| page.folders).collect();
    let expected = format!("{}/below", case.scope.as_deref().unwrap_or_default());
    same("the folders of a plain listing", &vec![expected.clone()], &named)?;
    let listed = worked("the listing of a named folder", case.list_scope(Some(&expected)).await)?;
    same("its files", &vec!["b.txt".to_owned()], &names(&listed))
}

/// Stores a file in the case's folder, one in a subfolder and one in a subfolder of that. Returns the name of
/// the first, and the names of the others.
async fn nested(case: &Case<'_>) -> Verdict<(String, Vec<String>)> {
    let scope = case.scope.as_deref().unwrap_or_default();
    case.put("a.txt", "a").await?;
    for (name, folder) in [("b.txt", "below"), ("c.txt", "below/deeper")] {
        let upload = case.upload(name, name).scope(format!("{scope}/{folder}"));
        needed("an upload into a subfolder", case.send(upload).await)?;
    }
    Ok(("a.txt".to_owned(), vec!["b.txt".to_owned(), "c.txt".to_owned()]))
}

fn names(files: &[StoredFile]) -> Vec<String> {
    files.iter().map(|file| file.name.clone()).collect()
}

async fn empty_scope(case: &Case<'_>) -> Verdict {
    case.needs_scopes()?;
    case.put("elsewhere.txt", "elsewhere").await?;
    let scope = case.other_scope("never-used");
    match case.store.list_all(list_of(scope.as_deref())).try_collect::<Vec<_>>().await {
        Ok(listed) => same("the files of a scope that was never used", &Vec::<String>::new(), &names(&listed)),
        Err(error) => {
            rejected::<()>("the listing, if it fails,", Err(error), &[ErrorKind::NotFound], NOTHING_CHANGED).map(drop)
        }
    }
}

async fn metadata(case: &Case<'_>) -> Verdict {
    let mut contents: BTreeMap<String, Bytes> = BTreeMap::new();
    for length in [1, 1000, 70_000] {
        let content = content::bytes(70, length);
        let file = case.put(&format!("{length}.bin"), content.clone()).await?;
        contents.insert(file.reference.to_string(), content);
    }
    let listed = needed("listing", case.list().await)?;
    let mut known = 0;
    for file in &listed {
        let Some(content) = contents.get(&file.reference.to_string()) else { continue };
        known += 1;
        let length = content.len();
        same("the name in the listing", &case.name(&format!("{length}.bin")), &file.name)?;
        check(
            file.size.is_none_or(|size| size == length as u64),
            &format!("{length} bytes in the listing"),
            file.size,
        )?;
        let enough = file.stored_size.is_none_or(|size| size >= length as u64);
        check(enough, &format!("at least {length} bytes stored"), file.stored_size)?;
        true_digests("the listing", file, content)?;
    }
    same("the number of listed files of the case", &contents.len(), &known)
}

/// Stores seven files, enough for several pages.
async fn seven_files(case: &Case<'_>) -> Verdict<Vec<StoredFile>> {
    let mut files = Vec::new();
    for number in 0..7 {
        files.push(case.put(&format!("file-{number}.txt"), format!("file {number}")).await?);
    }
    Ok(files)
}

/// Checks that `listed` has all `files` exactly once, and nothing else if the case has a separate scope.
fn every_file_once(case: &Case<'_>, files: &[StoredFile], listed: &[StoredFile]) -> Verdict {
    let expected: BTreeMap<_, _> = files.iter().map(|file| (file.reference.to_string(), &file.name)).collect();
    let mut seen = BTreeMap::new();
    for file in listed {
        if seen.insert(file.reference.to_string(), &file.name).is_some() {
            return failed("every file once in the listing", format!("{:?} twice", file.name));
        }
    }
    let missing = expected.iter().filter(|(reference, _)| !seen.contains_key(*reference));
    let missing = Missing(missing.map(|(_, name)| name.as_str()).collect());
    check(missing.0.is_empty(), "every file in the listing", missing)?;
    let more = seen.iter().filter(|(reference, _)| !expected.contains_key(*reference));
    let more: Vec<_> = more.map(|(_, name)| name).collect();
    check(!case.has_scope() || more.is_empty(), "nothing else in the listing", &more)
}

/// The missing files as the report shows them: `Missing(["a.txt"])`.
#[derive(Debug)]
struct Missing<'a>(Vec<&'a str>);

/// Fetches all pages one by one. A repeated page token fails the rule.
async fn fetch_pages(store: &Store, list: List) -> Verdict<Vec<Page>> {
    let mut pages: Vec<Page> = Vec::new();
    let mut next = None;
    loop {
        let request = match &next {
            Some(token) => list.clone().page(PageToken::clone(token)),
            None => list.clone(),
        };
        let result: Result<Page> = store.list(request).await;
        let page = worked("a page of the listing", result)?;
        next = page.next.clone();
        let is_repeated = next.is_some() && pages.iter().any(|earlier| earlier.next == next);
        pages.push(page);
        if is_repeated {
            return failed("a new page token on every page", format!("a repeated one after {} pages", pages.len()));
        }
        if next.is_none() {
            return Ok(pages);
        }
    }
}
