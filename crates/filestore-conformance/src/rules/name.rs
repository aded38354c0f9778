//! N1 to N5: names are stored unchanged, or rejected, and compared as the store states.

use filestore_core::{Addressing, ErrorKind, Feature, NameRules, StoredFile, validate_name};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{Stop, UNSENT, Verdict, described, failed, rejected, same, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("N1", "An invalid name is rejected unsent.", [], invalid),
    rule!("N2", "An unusual name is stored unchanged, or rejected.", [], unusual),
    rule!("N3", "An ordinary name is accepted.", [], ordinary),
    rule!("N4", "A name of the stated maximum length is stored and a longer one is rejected unsent.", [], longest),
    rule!(
        "N5",
        "Two spellings of a name are one file if the store states that, and otherwise two.",
        [Replace],
        spellings
    ),
];

async fn invalid(case: &Case<'_>) -> Verdict {
    case.put("good.txt", "good").await?;
    let before = case.requests().await;
    for name in ["", ".", "..", "a/b", "/a", "a\\b", "a\0b", "a\nb", "a\u{7f}b", "../../etc/passwd"] {
        let upload = case.upload("x", "bad").name(name);
        rejected(&format!("the name {name:?}"), case.send(upload).await, &[ErrorKind::InvalidInput], UNSENT)?;
        case.unsent(before, &format!("the name {name:?}")).await?;
    }
    Ok(())
}

/// Names that some service or client has changed, cut or misread.
const UNUSUAL: &[&str] = &[
    "a b.txt",
    " leading.txt",
    "trailing.txt ",
    "\u{a0}no-break.txt",
    "two  spaces.txt",
    ".hidden",
    "...",
    "dot.",
    "~",
    "%",
    "%2F",
    "%2e%2e",
    "100%.txt",
    "a+b.txt",
    "a#b.txt",
    "a?b.txt",
    "a&b=c.txt",
    "a;b.txt",
    "a'b.txt",
    "a\"b.txt",
    "a<b>.txt",
    "a|b.txt",
    "a:b.txt",
    "a*b.txt",
    "a,b.txt",
    "a@b.txt",
    "a$b{c}[d].txt",
    "UPPER.TXT",
    "\u{e9}t\u{e9}.txt",
    "e\u{301}te\u{301}.txt",
    "\u{fb01}ne.txt",
    "\u{65e5}\u{672c}\u{8a9e}.txt",
    "\u{1f600}.txt",
    "\u{202e}txt.exe",
    "\u{feff}mark.txt",
    "no-extension",
    "con",
    "index.html",
    "null",
];

async fn unusual(case: &Case<'_>) -> Verdict {
    let long = ["n".repeat(255), "\u{fc}".repeat(120), format!("{}.txt", "n".repeat(1000))];
    for (number, name) in UNUSUAL.iter().copied().chain(long.iter().map(String::as_str)).enumerate() {
        // A scope for each name: the service may treat different names as the same.
        kept_or_rejected(case, name, &format!("n{number}"), true).await?;
    }
    Ok(())
}

async fn ordinary(case: &Case<'_>) -> Verdict {
    let names = ["report.txt", "Report 2026-01.final_2.tar.gz", "x", "README", "0", "a-b_c.d"];
    for (number, name) in names.iter().enumerate() {
        kept_or_rejected(case, name, &format!("n{number}"), false).await?;
    }
    Ok(())
}

async fn longest(case: &Case<'_>) -> Verdict {
    let NameRules { max_bytes, max_chars, .. } = case.capabilities().names;
    let limits = [max_bytes.map(|max| (max, "n")), max_chars.map(|max| (max, "\u{fc}"))];
    let mut tried = false;
    for (limit, letter) in limits.into_iter().flatten() {
        let (fits, beyond) = (letter.repeat(limit), letter.repeat(limit + 1));
        // The other limit may be lower.
        if validate_name(&fits, &case.capabilities().names).is_err() {
            continue;
        }
        tried = true;
        kept_or_rejected(case, &fits, "longest", false).await?;
        let before = case.requests().await;
        let upload = case.upload("x", "long").name(&beyond);
        let what = format!("a name beyond the stated limit of {limit}");
        rejected(&what, case.send(upload).await, &[ErrorKind::InvalidInput], UNSENT)?;
        case.unsent(before, &what).await?;
    }
    if tried { Ok(()) } else { skipped("names", "the store states no limit that the kit can check") }
}

/// Pairs of spellings that some service or file system takes for one name.
const SPELLINGS: &[[&str; 2]] = &[
    ["case.txt", "CASE.txt"],
    ["r\u{e9}sum\u{e9}.txt", "re\u{301}sume\u{301}.txt"],
    ["accent-\u{e9}.txt", "accent-e.txt"],
    ["stra\u{df}e.txt", "strasse.txt"],
    ["\u{fb01}ne.txt", "fine.txt"],
    ["wide-\u{ff41}.txt", "wide-a.txt"],
    ["space.txt", "space.txt "],
    ["plus+.txt", "plus .txt"],
];

async fn spellings(case: &Case<'_>) -> Verdict {
    let addressing = case.capabilities().addressing;
    if addressing != Addressing::CallerPath {
        return skipped("addressing", format!("every upload is a new file, which is found by {addressing}"));
    }
    for (number, spellings) in SPELLINGS.iter().enumerate() {
        // A separate scope, because a folder may be compared, too.
        let scope = case.other_scope(&format!("n{number}"));
        let names = spellings.map(|name| case.name(name));
        let is_one =
            !case.capabilities().collisions(names.iter().map(|name| (scope.as_deref(), name.as_str()))).is_empty();
        let mut files = Vec::new();
        for name in &names {
            let mut upload = case.upload("x", name.clone()).name(name);
            upload.scope.clone_from(&scope);
            match case.send(upload).await {
                Ok(file) => files.push(file),
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                Err(error) => return failed(format!("a file called {name:?} is stored"), described(&error)),
            }
        }
        let [first, second] = &files[..] else { continue };
        for (file, own) in [(first, &names[0]), (second, &names[1])] {
            let expected = if is_one { &names[1] } else { own };
            let what = format!("the content of {own:?} after the uploads of {:?} and {:?}", names[0], names[1]);
            let seen = worked(&what, case.read(&file.reference).await)?;
            same_bytes(&what, expected.as_bytes(), &seen)?;
        }
    }
    Ok(())
}

async fn kept_or_rejected(case: &Case<'_>, name: &str, suffix: &str, may_be_rejected: bool) -> Verdict {
    let scope = case.other_scope(suffix);
    let before = case.requests().await;
    let mut upload = case.upload("x", name.to_owned()).name(name);
    upload.scope.clone_from(&scope);
    let file = match case.send(upload).await {
        Ok(file) => file,
        Err(error) if may_be_rejected && error.kind() == ErrorKind::InvalidInput => {
            rejected::<()>(&format!("the name {name:?}"), Err(error), &[ErrorKind::InvalidInput], UNSENT)?;
            return case.unsent(before, &format!("the rejected name {name:?}")).await;
        }
        Err(error) => {
            let expected = if may_be_rejected { "is stored, or rejected as invalid_input" } else { "is stored" };
            return failed(format!("a file called {name:?} {expected}"), described(&error));
        }
    };
    let name = name.to_owned();
    same("the name in the response to the upload", &name, &file.name)?;
    if case.supports(Feature::Stat) {
        let seen = worked(&format!("stat of {name:?}"), case.store.stat(&file.reference).await)?;
        same("the name in the response to stat", &name, &seen.name)?;
    }
    if case.supports(Feature::List) {
        let listed = worked(&format!("the listing with {name:?}"), case.list_scope(scope.as_deref()).await)?;
        same("the name in the listing", &name, &listed_name(&listed, &file, scope.is_some())?)?;
    }
    let download = worked(&format!("the download of {name:?}"), case.store.download(&file.reference).await)?;
    same("the name in the response to the download", &name, &download.file.name)?;
    let seen = worked("its content", download.bytes(4096).await)?;
    same_bytes("its content", name.as_bytes(), &seen)
}

/// Returns the name of `file` in a listing. Finds the file by its reference, or as the only file of its scope.
fn listed_name(listed: &[StoredFile], file: &StoredFile, alone: bool) -> Result<String, Stop> {
    let found = listed.iter().find(|other| other.reference == file.reference || (alone && listed.len() == 1));
    match found {
        Some(found) => Ok(found.name.clone()),
        None => {
            failed(format!("a file called {:?} in the listing", file.name), format!("{} other files", listed.len()))
        }
    }
}
