//! The checker: finds the violations in the record of a round. It needs nothing but the record.
//!
//! A step may change the files of its owner only. The state before the step and the operation give the state after it,
//! if the operation was applied. The outcome of the step tells which of both states is allowed:
//!
//! | outcome | before | applied |
//! |---|---|---|
//! | success, or an error that says so | | allowed |
//! | an error that says that nothing changed | allowed | |
//! | an error of unknown effect, an interruption | allowed | allowed |

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::content;
use crate::execute::{SOURCE_FAILED, contested_name, stored_name};
use crate::history::{
    Content, Event, FAILED_RUN, FileState, Found, Interrupt, NOT_REPORTED, Operation, Outcome, Owner, Record,
    ReportedEffect, Snapshot, Step, StoreName, place,
};
use crate::plan::NAMES;
use crate::snapshot::reference;

/// The days after which PubNub deletes a file, at midnight.
const PUBNUB_DAYS: i64 = 30;

/// The days after which file.io deletes a file, by default.
const FILEIO_DAYS: i64 = 14;

/// The longest time of a step, in seconds.
const LONGEST_STEP: f64 = 60.0;

/// Returns the violations in a record, in words.
pub fn check(record: &Record) -> Vec<String> {
    let mut violations = check_event(record);
    let owner = |step: &Step| step.operation.owner(step.client);
    let steps: Vec<(&Step, &Outcome)> = record.round.steps.iter().zip(&record.outcomes).collect();
    for (step, outcome) in &steps {
        let mut checked = check_outcome(step, outcome);
        if let Operation::Many { .. } = step.operation {
            checked = checked.and_then(|()| check_many(record, step, outcome));
        } else if owner(step) != Owner::Shared {
            checked = checked
                .and_then(|()| check_state(record, step, outcome))
                .and_then(|()| check_result(record, step, outcome));
        }
        violations
            .extend(checked.err().map(|problem| format!("client {}: {:?}: {problem}", step.client, step.operation)));
    }
    match steps.first().map(|(step, _)| &step.operation) {
        Some(Operation::CreateContested { .. }) => violations.extend(check_create_contested(record, &steps).err()),
        Some(Operation::ReadContested) => violations.extend(check_read_contested(record, &steps).err()),
        _ => {}
    }
    // Files that no step may change.
    let temporary = place(StoreName::Fs, Owner::Temporary);
    let mut untouched: Vec<&String> = record.before.keys().chain(record.after.keys()).collect();
    untouched.retain(|key| **key != temporary && steps.iter().all(|(step, _)| place(step.store, owner(step)) != **key));
    untouched.sort_unstable();
    untouched.dedup();
    for key in untouched {
        if files(&record.before, key) != files(&record.after, key) {
            violations.push(format!("{key} has changed without a step: {}", difference(record, key)));
        }
    }
    violations.extend(check_temporary_files(record, &steps).err());
    violations
}

fn files<'a>(snapshot: &'a Snapshot, key: &str) -> &'a [FileState] {
    snapshot.get(key).map_or(&[], Vec::as_slice)
}

fn difference(record: &Record, key: &str) -> String {
    format!("before {:?}, after {:?}", files(&record.before, key), files(&record.after, key))
}

/// Checks the event: a restart loses nothing, and a step of the clock ends only what has expired.
fn check_event(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    if record.round.event.is_none() {
        return violations;
    }
    let now = record.now;
    for key in record.before_event.keys().chain(record.before.keys()) {
        let (before_event, before) = (files(&record.before_event, key), files(&record.before, key));
        for file in before_event {
            let (may, must) = match record.round.event {
                Some(Event::Advance { .. }) => expired(file, now),
                _ => (false, false),
            };
            match before.iter().find(|other| other.reference == file.reference) {
                None if !may => violations.push(format!("{key}: {file:?} is gone after {:?}", record.round.event)),
                Some(_) if must => violations.push(format!("{key}: {file:?} should have expired at {now}")),
                Some(other) if other != file => violations.push(format!("{key}: {file:?} has become {other:?}")),
                _ => {}
            }
        }
        let contested = contested_name(StoreName::Fileio, record.round.number);
        let is_known = |file: &FileState| before_event.iter().any(|other| other.reference == file.reference);
        let is_new = |file: &&FileState| !is_known(file) && file.name != contested;
        violations.extend(before.iter().filter(is_new).map(|file| format!("{key}: {file:?} has appeared")));
    }
    violations.dedup();
    violations
}

/// Returns whether a file may have expired, and whether it must have.
fn expired(file: &FileState, now: Timestamp) -> (bool, bool) {
    let days = |count: i64| SignedDuration::from_hours(24 * count);
    match (file.expires, file.created) {
        (Some(expires), _) => (expires <= now, expires < now),
        (None, Some(created)) if file.reference.starts_with("pubnub:") => {
            let age = now.duration_since(created);
            (age >= days(PUBNUB_DAYS), age > days(PUBNUB_DAYS + 2))
        }
        _ => (false, false),
    }
}

/// Checks an outcome without the state of the stores: the step has ended in time, and the run itself has not failed.
fn check_outcome(step: &Step, outcome: &Outcome) -> Result<(), String> {
    if outcome.seconds > LONGEST_STEP {
        return Err(format!("the step took {} s", outcome.seconds));
    }
    match &outcome.error {
        Some(failure) if failure.message.contains(FAILED_RUN) => Err(failure.message.clone()),
        Some(failure) if failure.message.contains("panicked") => Err(failure.message.clone()),
        Some(_) => Ok(()),
        None if matches!(step.operation, Operation::Upload { source_fails: true, size: 1.., .. })
            && !outcome.interrupted =>
        {
            Err(format!("the upload succeeded, but {SOURCE_FAILED}"))
        }
        None => Ok(()),
    }
}

/// The files of an owner, without the temporary ones, by reference.
type View = BTreeMap<String, (String, u64, Option<String>, Option<(u32, u32)>)>;

fn view(files: &[FileState]) -> View {
    let files = files.iter().filter(|file| !file.is_temporary());
    files
        .map(|file| (file.reference.clone(), (file.name.clone(), file.size, file.md5.clone(), file.downloads)))
        .collect()
}

/// The key of a new file whose reference the store chooses.
const NEW: &str = "new";

/// Checks that the step has made the change that its outcome reports, and no other.
fn check_state(record: &Record, step: &Step, outcome: &Outcome) -> Result<(), String> {
    let owner = Owner::Client(step.client);
    let key = place(step.store, owner);
    let (old, new) = (files(&record.before, &key), files(&record.after, &key));
    let (before, mut after) = (view(old), view(new));
    if step.store.adds() {
        let mut added: Vec<_> = after.keys().filter(|key| !before.contains_key(*key)).cloned().collect();
        if let (Some(reference), true) = (added.pop(), added.is_empty()) {
            let file = after.remove(&reference).unwrap_or_default();
            after.insert(NEW.to_owned(), file);
        }
    }
    let message = outcome.error.as_ref().map_or("", |failure| &failure.message);
    check_leftovers(record, step, outcome)?;
    if is_replaced(record, step) {
        return Ok(());
    }
    let applied = applied(record, step, outcome, &before);
    let is_applied = || applied.as_ref() == Some(&after);
    let reported = match &outcome.error {
        None if outcome.interrupted => ReportedEffect::Unknown,
        None => ReportedEffect::Changed,
        Some(failure) => failure.effect,
    };
    let is_allowed = match reported {
        ReportedEffect::Changed => is_applied(),
        ReportedEffect::Unchanged => after == before,
        ReportedEffect::Unknown => after == before || is_applied(),
    };
    // Wrong bytes were stored, and the error says so, or the step was interrupted before it compared them.
    let is_damaged = has_fired(record, &["corrupt", "truncate", "wrong-etag"])
        && (outcome.interrupted || outcome.is_kind("integrity") && reported != ReportedEffect::Unchanged)
        && is_damaged_upload(step, owner, &before, &after);
    let is_allowed = is_allowed || is_damaged;
    // The source of the content has ended early, so nothing may be stored.
    let is_allowed = is_allowed && (!message.contains(SOURCE_FAILED) || after == before);
    match is_allowed {
        true => Ok(()),
        false => Err(format!("the outcome is {outcome:?}; {}", difference(record, &key))),
    }
}

/// Checks that an error names each temporary file that the step has left at Files.com.
fn check_leftovers(record: &Record, step: &Step, outcome: &Outcome) -> Result<(), String> {
    let key = place(step.store, Owner::Client(step.client));
    let old = files(&record.before, &key);
    let errors = || outcome.parts.iter().chain([outcome]).filter_map(|outcome| outcome.error.as_ref());
    for file in files(&record.after, &key).iter().filter(|file| file.is_temporary() && !old.contains(file)) {
        if !may_leave(record, step, outcome) && !errors().any(|failure| failure.message.contains(&file.name)) {
            return Err(format!("no error names the leftover {}; the outcome is {outcome:?}", file.name));
        }
    }
    Ok(())
}

/// Checks an operation on many files: each part as an operation on its file alone, and that no other file has changed.
fn check_many(record: &Record, step: &Step, outcome: &Outcome) -> Result<(), String> {
    let Operation::Many { parts, skip, .. } = &step.operation else { return Ok(()) };
    if outcome.parts.len() != parts.len() {
        return Err(format!("some parts have no outcome: {outcome:?}"));
    }
    check_leftovers(record, step, outcome)?;
    if !outcome.saved.is_empty() && !is_kill(step) {
        return Err(format!("neither a result nor an error names a local file; the outcome is {outcome:?}"));
    }
    let owner = Owner::Client(step.client);
    let key = place(step.store, owner);
    let is_known = |file: &FileState| files(&record.before, &key).iter().any(|other| other.reference == file.reference);
    // A new file whose reference the store chooses belongs to the upload of its name.
    let is_of = |part: &Operation, outcome: &Outcome, file: &FileState| match part {
        Operation::Upload { pick, .. } if step.store.adds() => {
            !is_known(file) && file.name == stored_name(step.store, owner, NAMES[*pick])
        }
        Operation::Upload { pick, .. } => file.reference == reference(step.store, owner, NAMES[*pick]),
        _ => Some(&file.reference) == outcome.subject.as_ref(),
    };
    let with_files = |is_chosen: &dyn Fn(&FileState) -> bool| {
        let chosen = |snapshot| {
            let chosen = files(snapshot, &key).iter().filter(|file| !file.is_temporary() && is_chosen(file));
            Snapshot::from([(key.clone(), chosen.cloned().collect())])
        };
        Record { before: chosen(&record.before), after: chosen(&record.after), ..record.clone() }
    };
    for (part, outcome) in parts.iter().zip(&outcome.parts) {
        let record = with_files(&|file| is_of(part, outcome, file));
        let step = Step { operation: part.clone(), ..step.clone() };
        let is_skipped = *skip && outcome.is_success() && outcome.files.is_empty();
        let checked = check_outcome(&step, outcome)
            .and_then(|()| check_reported(&record, &step, outcome))
            .and_then(|()| check_state(&record, &step, outcome))
            // A file that was skipped has no result but its content.
            .and_then(|()| if is_skipped { Ok(()) } else { check_result(&record, &step, outcome) });
        checked.map_err(|problem| format!("{part:?}: {problem}"))?;
    }
    let others =
        with_files(&|file| !parts.iter().zip(&outcome.parts).any(|(part, outcome)| is_of(part, outcome, file)));
    match view(files(&others.before, &key)) == view(files(&others.after, &key)) {
        true => Ok(()),
        false => Err(format!("another file has changed: {}; the outcome is {outcome:?}", difference(&others, &key))),
    }
}

/// Checks that a command for many files says something of each.
fn check_reported(record: &Record, step: &Step, outcome: &Outcome) -> Result<(), String> {
    // Pages of file.io are offsets: a file may be missing in a listing while others are added and deleted.
    let is_alone = record.round.steps.iter().filter(|other| other.store == step.store).count() == 1;
    let is_exempt = step.store == StoreName::Fileio && !is_alone && step.operation.reads();
    match &outcome.error {
        Some(failure) if failure.message == NOT_REPORTED && !is_exempt => Err(format!("{NOT_REPORTED}: {outcome:?}")),
        _ => Ok(()),
    }
}

/// Returns `true` if a fault of one of these kinds has fired in the round. The kill of an emulator loses the record of it.
fn has_fired(record: &Record, kinds: &[&str]) -> bool {
    let is_planned = |kind: &&str| record.round.faults.iter().any(|rule| rule.contains(*kind));
    record.fired.iter().any(|fired| kinds.contains(&fired.as_str()))
        || record.round.kill_emulator.is_some() && kinds.iter().any(is_planned)
}

/// Returns `true` if nothing disturbed the round: no fault, no interruption, no kill.
fn is_undisturbed(record: &Record) -> bool {
    record.fired.is_empty()
        && record.round.kill_emulator.is_none()
        && record.round.steps.iter().all(|step| step.interrupt.is_none())
}

/// Returns `true` if the step may leave a temporary file without an error that names it: its process was killed, or a fault
/// has hit the removal.
fn may_leave(record: &Record, step: &Step, outcome: &Outcome) -> bool {
    outcome.interrupted && (is_kill(step) || !record.fired.is_empty() || record.round.kill_emulator.is_some())
}

fn is_kill(step: &Step) -> bool {
    matches!(&step.interrupt, Some(Interrupt::Signal { signal, .. }) if signal == "KILL")
}

/// Returns `true` if the fault itself has replaced the file that the step reads.
fn is_replaced(record: &Record, step: &Step) -> bool {
    let reads = matches!(step.operation, Operation::Download { .. } | Operation::Url { .. });
    reads && step.store == StoreName::Filescom && has_fired(record, &["replaced-file"])
}

/// Returns `true` if all that has changed is the content of the uploaded file.
fn is_damaged_upload(step: &Step, owner: Owner, before: &View, after: &View) -> bool {
    let Operation::Upload { pick, .. } = step.operation else { return false };
    let name = stored_name(step.store, owner, NAMES[pick]);
    let key = if step.store.adds() { NEW.to_owned() } else { reference(step.store, owner, &name) };
    let without = |view: &View| {
        let mut view = view.clone();
        view.remove(&key);
        view
    };
    after.contains_key(&key) && without(before) == without(after)
}

/// Returns the state after the step if it was applied; `None` if it cannot be applied.
fn applied(record: &Record, step: &Step, outcome: &Outcome, before: &View) -> Option<View> {
    let owner = Owner::Client(step.client);
    let subject = outcome.subject.clone().unwrap_or_default();
    let with = |key: String, file| {
        let mut state = before.clone();
        state.insert(key, file);
        state
    };
    let mut without = before.clone();
    without.remove(&subject);
    Some(match &step.operation {
        Operation::Upload { pick, size, create_new, downloads, content, .. } => {
            let name = stored_name(step.store, owner, NAMES[*pick]);
            let md5 = content::digest(&content::of(content.unwrap_or(record.round.number), owner, *size));
            let key = if step.store.adds() { NEW.to_owned() } else { reference(step.store, owner, &name) };
            if *create_new && before.contains_key(&key) {
                return None;
            }
            let downloads = (step.store == StoreName::Fileio).then_some((0, *downloads));
            with(key, (name, u64::from(*size), Some(md5), downloads))
        }
        Operation::Delete { .. } => without,
        Operation::Copy { to, overwrite, .. } | Operation::Move { to, overwrite, .. } => {
            let (_, size, md5, downloads) = before.get(&subject).cloned()?;
            let key = reference(step.store, owner, NAMES[*to]);
            if !overwrite && before.contains_key(&key) {
                return None;
            }
            let mut state = if matches!(step.operation, Operation::Move { .. }) { without } else { before.clone() };
            state.insert(key, (NAMES[*to].to_owned(), size, md5, downloads));
            state
        }
        Operation::Download { .. } if step.store == StoreName::Fileio => match before.get(&subject) {
            Some((name, size, md5, Some((done, allowed)))) if done + 1 < *allowed => {
                with(subject.clone(), (name.clone(), *size, md5.clone(), Some((done + 1, *allowed))))
            }
            // The last download deletes the file.
            _ => without,
        },
        _ => before.clone(),
    })
}

/// Checks that the result of a success is true, and that a failed read has kept its bytes.
fn check_result(record: &Record, step: &Step, outcome: &Outcome) -> Result<(), String> {
    let owner = Owner::Client(step.client);
    let key = place(step.store, owner);
    let before = files(&record.before, &key);
    let subject = outcome.subject.as_deref().unwrap_or_default();
    let file = before.iter().find(|file| file.reference == subject);
    if let Operation::Download { to_file, .. } = step.operation {
        check_saved(record, step, outcome, file, to_file)?;
    }
    if outcome.interrupted {
        return Ok(());
    }
    let fail = |problem: &str| Err(format!("{problem}; the outcome is {outcome:?}; {}", difference(record, &key)));
    if let Some(failure) = &outcome.error {
        let is_list = matches!(step.operation, Operation::List { .. });
        if outcome.is_kind("not_found")
            && failure.effect == ReportedEffect::Unchanged
            && (file.is_some() || is_list && !before.is_empty())
        {
            return fail("a file that exists is reported as not found");
        }
        let target = match step.operation {
            Operation::Upload { pick, .. } => Some(reference(step.store, owner, NAMES[pick])),
            Operation::Copy { to, .. } | Operation::Move { to, .. } => Some(reference(step.store, owner, NAMES[to])),
            _ => None,
        };
        if outcome.is_kind("already_exists")
            && let Some(target) = target
            && !before.iter().any(|file| file.reference == target)
        {
            return fail("a file that does not exist is reported as existing");
        }
        let is_expected = outcome.is_kind("not_found")
            || outcome.is_kind("already_exists")
            || failure.message.contains(SOURCE_FAILED)
            // The limits are short, and the machine may be busy.
            || outcome.is_kind("timeout")
            || failure.message.contains("no progress")
            || failure.message.contains("no response");
        if is_undisturbed(record) && !is_expected {
            return fail("an operation failed although nothing disturbed it");
        }
        return Ok(());
    }
    if is_replaced(record, step) {
        return Ok(());
    }
    let after = files(&record.after, &key);
    let first = outcome.files.first();
    match &step.operation {
        Operation::Upload { size, days, .. } => {
            let Some(found) = first else { return fail("an upload has no result") };
            let Some(stored) = after.iter().find(|file| file.reference == found.reference) else {
                return fail("the reference of an upload is not that of the stored file");
            };
            if found.size.is_some_and(|found| found != u64::from(*size)) {
                return fail("the size in the result of an upload is wrong");
            }
            let requested = days.map_or(FILEIO_DAYS, i64::from);
            let lifetime = |expires: Timestamp| expires.duration_since(record.now);
            let is_off = |expires: Timestamp| (lifetime(expires).as_hours() - 24 * requested).abs() > 1;
            if step.store == StoreName::Fileio && stored.expires.is_none_or(is_off) {
                return fail("the expiry is not the requested one");
            }
        }
        Operation::Download { .. } | Operation::Stat { .. } | Operation::Url { .. } => {
            let Some(file) = file else {
                // A presigned URL of S3 is made without a request.
                let is_presigned = step.store == StoreName::S3 && matches!(step.operation, Operation::Url { .. });
                return if is_presigned { Ok(()) } else { fail("a file that does not exist was found") };
            };
            let sizes = first.and_then(|found| found.size);
            let is_stat = matches!(step.operation, Operation::Stat { .. });
            let names = |found: &Found| (&found.reference, &found.name) == (&file.reference, &file.name);
            if is_stat && !(sizes == Some(file.size) && first.is_some_and(names)) {
                return fail("the metadata of a file is wrong");
            }
            let content = outcome.content.as_ref().or_else(|| outcome.saved.get("file"));
            let is_right = |content: &Content| {
                content.size == file.size && file.md5.as_ref().is_none_or(|md5| *md5 == content.md5)
            };
            let is_read = match step.operation {
                Operation::Stat { .. } => false,
                // A read of file.io would consume the file.
                Operation::Url { .. } => {
                    step.store != StoreName::Fileio && !first.is_some_and(|url| is_expired(&url.reference, record.now))
                }
                _ => true,
            };
            if is_read && !content.is_some_and(is_right) {
                return fail("the content of a file is wrong");
            }
        }
        Operation::List { .. } => {
            // Pages of file.io are offsets: other clients may shift them.
            let is_alone = record.round.steps.iter().filter(|other| other.store == step.store).count() == 1;
            if step.store != StoreName::Fileio || is_alone {
                check_listing(outcome, owner, step.store, before).or_else(|problem| fail(&problem))?;
            }
        }
        Operation::Copy { to, .. } | Operation::Move { to, .. }
            if first.is_none_or(|found| found.reference != reference(step.store, owner, NAMES[*to])) =>
        {
            return fail("the reference of a copy or move is wrong");
        }
        _ => {}
    }
    Ok(())
}

/// Returns `true` if a presigned URL has expired. The client keeps URLs for as long as its own clock says, which the
/// emulated clock leaves behind.
fn is_expired(url: &str, now: Timestamp) -> bool {
    let parameter = |name: &str| url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let (Some(date), Some(seconds)) = (parameter("X-Amz-Date"), parameter("X-Amz-Expires")) else { return false };
    let date = Timestamp::strptime("%Y%m%dT%H%M%S%z", date.replace('Z', "+0000"));
    let seconds = seconds.parse().map(SignedDuration::from_secs);
    matches!((date, seconds), (Ok(date), Ok(seconds)) if date + seconds <= now)
}

/// Checks the local files after a download: the whole file after a success, the received bytes after a failure that may
/// have consumed the file, and nothing else.
fn check_saved(
    record: &Record,
    step: &Step,
    outcome: &Outcome,
    file: Option<&FileState>,
    to_file: bool,
) -> Result<(), String> {
    let fail = |problem: &str| Err(format!("{problem}; the outcome is {outcome:?}"));
    let is_kill = is_kill(step);
    let consumes = step.store == StoreName::Fileio;
    if outcome.is_success() {
        return match outcome.saved.keys().eq(["file"].iter().take(usize::from(to_file))) {
            true => Ok(()),
            false => fail("a download left other files than its target"),
        };
    }
    let whole = |content: &Content| {
        file.is_some_and(|file| content.size == file.size && file.md5.as_ref() == Some(&content.md5))
    };
    for (name, content) in &outcome.saved {
        if name == "file" {
            // The rename came before the interruption.
            if !(outcome.interrupted && whole(content)) {
                return fail("a failed download left a file under the final name");
            }
        } else if !(consumes || is_kill) {
            return fail("a failed download left a file");
        } else if content.size > 0
            && file.is_some_and(|file| file.origin.is_some())
            && !content.is_prefix
            // A page in place of the file is kept, too, because it may be the file.
            && !has_fired(record, &["html"])
        {
            return fail("the kept bytes are not those of the file");
        }
    }
    let key = place(step.store, Owner::Client(step.client));
    let counted = |snapshot| {
        let found =
            files(snapshot, &key).iter().find(|other| Some(&other.reference) == file.map(|file| &file.reference));
        found.map(|file| file.downloads)
    };
    let is_consumed = consumes && file.is_some() && counted(&record.before) != counted(&record.after);
    // A future that was dropped before its file was created has not sent its request either.
    if is_consumed && to_file && outcome.saved.is_empty() {
        return fail("a consumed file was not kept");
    }
    if let (Some(failure), false) = (&outcome.error, outcome.saved.is_empty() || is_kill || !consumes) {
        let is_named = |name: &String| failure.message.contains(name.as_str());
        if !outcome.saved.keys().any(is_named) {
            return fail("the error does not name the kept file");
        }
    }
    Ok(())
}

fn check_listing(outcome: &Outcome, owner: Owner, store: StoreName, before: &[FileState]) -> Result<(), String> {
    let prefix = format!("{owner}-");
    let listed = outcome.files.iter().filter(|file| store != StoreName::Fileio || file.name.starts_with(&prefix));
    let mut listed: Vec<_> = listed.map(|file| (&file.reference, &file.name, file.size)).collect();
    let present = before.iter().filter(|file| !file.is_temporary());
    let mut present: Vec<_> = present.map(|file| (&file.reference, &file.name, Some(file.size))).collect();
    listed.sort_unstable();
    present.sort_unstable();
    if listed == present { Ok(()) } else { Err("a listing is not that of the files".to_owned()) }
}

/// Checks that at most one of the clients that create the same file succeeds, and that the file is that of the winner.
fn check_create_contested(record: &Record, steps: &[(&Step, &Outcome)]) -> Result<(), String> {
    let Some((Step { store, operation: Operation::CreateContested { size }, .. }, _)) = steps.first() else {
        return Ok(());
    };
    let key = place(*store, Owner::Shared);
    let name = contested_name(*store, record.round.number);
    let contested = files(&record.after, &key).iter().find(|file| file.name == name);
    let digest = |step: &Step| content::digest(&content::of(record.round.number, Owner::Client(step.client), *size));
    let is_of = |step: &Step| contested.is_some_and(|contested| contested.md5 == Some(digest(step)));
    let fail = |problem: &str| {
        Err(format!("create contested: {problem}: {:?}; {}", record.outcomes, difference(record, &key)))
    };
    let winners: Vec<_> = steps.iter().filter(|(_, outcome)| outcome.is_success()).collect();
    if winners.len() > 1 {
        return fail("several clients have won");
    }
    let reported = |outcome: &Outcome| outcome.error.as_ref().map_or(ReportedEffect::Unknown, |failure| failure.effect);
    match winners.first() {
        Some((step, _)) if !is_of(step) => return fail("the file is not that of the winner"),
        Some(_) => {}
        None if is_undisturbed(record)
            && !steps.iter().any(|(_, outcome)| reported(outcome) == ReportedEffect::Unknown) =>
        {
            return fail("no client has won, although nothing disturbed them");
        }
        None => {
            let may_have_won =
                |(step, outcome): &(&Step, &Outcome)| reported(outcome) != ReportedEffect::Unchanged && is_of(step);
            // Wrong bytes are those of no client.
            let is_damaged = |(_, outcome): &(&Step, &Outcome)| {
                outcome.is_kind("integrity") && !steps.iter().any(|(step, _)| is_of(step))
            };
            if contested.is_some() && !steps.iter().any(|step| may_have_won(step) || is_damaged(step)) {
                return fail("the file is that of a client that has lost");
            }
        }
    }
    if contested.is_none() && steps.iter().any(|(_, outcome)| outcome.is_kind("already_exists")) {
        return fail("a file that does not exist is reported as existing");
    }
    let leftovers = files(&record.after, &key).iter().filter(|file| file.is_temporary());
    for file in leftovers {
        let is_named = |(step, outcome): &(&Step, &Outcome)| {
            may_leave(record, step, outcome)
                || outcome.error.as_ref().is_some_and(|failure| failure.message.contains(&file.name))
        };
        if !steps.iter().any(is_named) {
            return fail("no error names a leftover");
        }
    }
    let (before, after) = (view(files(&record.before, &key)), view(files(&record.after, &key)));
    let others = |view: View| view.into_iter().filter(|(_, (other, ..))| *other != name).collect::<View>();
    if others(before) == others(after) { Ok(()) } else { fail("another file has changed") }
}

/// Checks that at most one of the clients that read the same single-use file succeeds.
fn check_read_contested(record: &Record, steps: &[(&Step, &Outcome)]) -> Result<(), String> {
    let key = place(StoreName::Fileio, Owner::Shared);
    let name = contested_name(StoreName::Fileio, record.round.number);
    let find = |snapshot| files(snapshot, &key).iter().find(|file| file.name == name);
    let (before, after) = (find(&record.before), find(&record.after));
    let fail =
        |problem: &str| Err(format!("read contested: {problem}: {:?}; {}", record.outcomes, difference(record, &key)));
    let Some(before) = before else { return fail("there is no file to read") };
    let winners = steps.iter().filter(|(_, outcome)| outcome.is_success());
    let winners: Vec<_> = winners.map(|(_, outcome)| outcome).collect();
    let is_right = |outcome: &&&Outcome| {
        outcome.content.as_ref().is_some_and(|content| content.is_prefix && content.size == before.size)
    };
    // A service that counts a read at its end allows several at the same time.
    if winners.len() > 1 && !has_fired(record, &["count-at-completion"]) {
        return fail("several clients have read a single-use file");
    }
    if !winners.iter().all(is_right) {
        return fail("the content is wrong");
    }
    let unchanged =
        |outcome: &Outcome| outcome.error.as_ref().is_some_and(|failure| failure.effect == ReportedEffect::Unchanged);
    if winners.is_empty() && after.is_none() && steps.iter().all(|(_, outcome)| unchanged(outcome)) {
        return fail("the file is gone, and every error says that nothing changed");
    }
    if winners.is_empty() && is_undisturbed(record) && steps.iter().all(|(_, outcome)| unchanged(outcome)) {
        return fail("no client has read the file, although nothing disturbed them");
    }
    if !winners.is_empty() && after.is_some() {
        return fail("the file is still there");
    }
    let lost = |(_, outcome): &(&Step, &Outcome)| outcome.is_kind("not_found") && unchanged(outcome);
    if after.is_some() && steps.iter().any(lost) {
        return fail("a file that exists is reported as not found");
    }
    let others = |snapshot| files(snapshot, &key).iter().filter(|file| file.name != name).cloned().collect::<Vec<_>>();
    if others(&record.before) == others(&record.after) { Ok(()) } else { fail("another file has changed") }
}

/// Checks that the temporary files of `fs` go with their upload, and that of a killed process with the next upload.
fn check_temporary_files(record: &Record, steps: &[(&Step, &Outcome)]) -> Result<(), String> {
    let key = place(StoreName::Fs, Owner::Temporary);
    let (before, after) = (files(&record.before, &key), files(&record.after, &key));
    let is_killed =
        steps.iter().any(|(step, outcome)| step.store == StoreName::Fs && outcome.interrupted && is_kill(step));
    let is_success = |outcome: &Outcome| outcome.is_success() && !outcome.files.is_empty();
    let is_stored = steps.iter().any(|(step, outcome)| {
        let is_stored = is_success(outcome) || outcome.parts.iter().any(is_success);
        step.store == StoreName::Fs && step.operation.stores() && is_stored
    });
    let is_allowed = |file: &&FileState| is_killed || (before.contains(file) && !is_stored);
    match after.iter().find(|file| !is_allowed(file)) {
        None => Ok(()),
        Some(file) => Err(format!("{key}: {file:?} was left by no killed upload")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Failure, Round};

    const KEY: &str = "filescom/c0";

    fn stored(size: u32) -> FileState {
        let md5 = Some(content::digest(&content::of(7, Owner::Client(0), size)));
        let reference = reference(StoreName::Filescom, Owner::Client(0), "a.txt");
        let (downloads, origin, created, expires) = (None, None, None, None);
        FileState { reference, name: "a.txt".into(), size: size.into(), md5, downloads, origin, created, expires }
    }

    fn snapshot(files: &[FileState]) -> Snapshot {
        Snapshot::from([(KEY.to_owned(), files.to_vec())])
    }

    fn record(operation: Operation, outcome: Outcome, before: &[FileState], after: &[FileState]) -> Record {
        let step = Step { client: 0, store: StoreName::Filescom, operation, interrupt: None };
        let round = Round { number: 7, event: None, faults: Vec::new(), kill_emulator: None, steps: vec![step] };
        let (before_event, before, after) = (snapshot(before), snapshot(before), snapshot(after));
        Record {
            round,
            before_event,
            before,
            outcomes: vec![outcome],
            after,
            now: Timestamp::UNIX_EPOCH,
            fired: vec!["lost-answer".into()],
        }
    }

    fn upload() -> Operation {
        Operation::Upload {
            pick: 0,
            size: 100,
            create_new: false,
            source_fails: false,
            downloads: 1,
            days: None,
            content: None,
        }
    }

    fn success(file: &FileState) -> Outcome {
        let found = Found { reference: file.reference.clone(), name: file.name.clone(), size: Some(file.size) };
        Outcome { files: vec![found], subject: Some(file.reference.clone()), ..Outcome::default() }
    }

    fn error(effect: ReportedEffect, message: &str) -> Outcome {
        let failure = Failure { kind: Some("unavailable".into()), effect, message: message.into() };
        Outcome { error: Some(failure), subject: Some(stored(100).reference), ..Outcome::default() }
    }

    #[test]
    fn the_outcome_decides_which_states_are_allowed() {
        let (file, half) = (stored(100), stored(50));
        for (outcome, after, allowed) in [
            (success(&file), vec![file.clone()], true),
            (success(&file), vec![], false),
            (success(&file), vec![half.clone()], false),
            (error(ReportedEffect::Unchanged, ""), vec![], true),
            (error(ReportedEffect::Unchanged, ""), vec![file.clone()], false),
            (error(ReportedEffect::Unknown, ""), vec![], true),
            (error(ReportedEffect::Unknown, ""), vec![file.clone()], true),
            (error(ReportedEffect::Unknown, ""), vec![half], false),
            (error(ReportedEffect::Changed, ""), vec![], false),
        ] {
            let violations = check(&record(upload(), outcome.clone(), &[], &after));
            assert_eq!(violations.is_empty(), allowed, "{outcome:?} {after:?}: {violations:?}");
        }
    }

    #[test]
    fn an_operation_that_nothing_disturbs_does_not_fail() {
        let mut record = record(upload(), error(ReportedEffect::Unchanged, "it failed"), &[], &[]);
        assert!(check(&record).is_empty());
        record.fired.clear();
        assert_eq!(check(&record).len(), 1);
    }

    #[test]
    fn an_upload_that_must_not_replace_a_file_never_does() {
        let Operation::Upload { pick, size, source_fails, downloads, days, content, .. } = upload() else { return };
        let create_new = Operation::Upload { pick, size, create_new: true, source_fails, downloads, days, content };
        for outcome in [success(&stored(100)), error(ReportedEffect::Unknown, ""), error(ReportedEffect::Changed, "")] {
            let record = record(create_new.clone(), outcome, &[stored(50)], &[stored(100)]);
            assert_eq!(check(&record).len(), 1, "{record:?}");
        }
    }

    #[test]
    fn a_leftover_has_to_be_named() {
        let leftover = FileState { name: ".filestore-1.txt".into(), reference: "x".into(), ..stored(100) };
        for (message, allowed) in [("it failed", false), ("it failed; c0/.filestore-1.txt may be stored", true)] {
            let record =
                record(upload(), error(ReportedEffect::Unchanged, message), &[], std::slice::from_ref(&leftover));
            assert_eq!(check(&record).is_empty(), allowed, "{message}");
        }
    }

    /// An upload of `a.txt` and `b b.txt`, and what is stored after both.
    fn two_uploads(skip: bool) -> (Operation, [FileState; 2]) {
        let Operation::Upload { size, create_new, source_fails, downloads, days, content, .. } = upload() else {
            return (upload(), [stored(100), stored(100)]);
        };
        let second = Operation::Upload { pick: 1, size, create_new, source_fails, downloads, days, content };
        let name = NAMES[1].to_owned();
        let reference = reference(StoreName::Filescom, Owner::Client(0), &name);
        let files = [stored(100), FileState { name, reference, ..stored(100) }];
        (Operation::Many { parts: vec![upload(), second], tree: true, skip, jobs: None }, files)
    }

    #[test]
    fn each_part_of_many_has_the_effect_that_its_outcome_allows() {
        let (operation, [a, b]) = two_uploads(false);
        let (unchanged, unknown) = (error(ReportedEffect::Unchanged, ""), error(ReportedEffect::Unknown, ""));
        for (parts, after, allowed) in [
            ([success(&a), success(&b)], vec![a.clone(), b.clone()], true),
            ([success(&a), success(&b)], vec![a.clone()], false),
            ([success(&a), unchanged.clone()], vec![a.clone()], true),
            ([success(&a), unchanged.clone()], vec![a.clone(), b.clone()], false),
            ([success(&a), unchanged.clone()], vec![b.clone()], false),
            ([success(&a), unknown.clone()], vec![a.clone()], true),
            ([success(&a), unknown], vec![a.clone(), b.clone()], true),
            ([success(&a), Outcome::of_unsent(NOT_REPORTED)], vec![a.clone()], false),
            ([success(&a), success(&b)], vec![a.clone(), b.clone(), FileState { reference: "x".into(), ..b }], false),
        ] {
            let outcome = Outcome { parts: parts.to_vec(), ..Outcome::default() };
            let violations = check(&record(operation.clone(), outcome, &[], &after));
            assert_eq!(violations.is_empty(), allowed, "{parts:?} {after:?}: {violations:?}");
        }
    }

    #[test]
    fn a_file_that_was_skipped_has_the_content_of_its_source() {
        let (operation, [a, b]) = two_uploads(true);
        let stale = FileState { md5: Some(content::digest(b"stale")), ..b.clone() };
        for (before, allowed) in [(b, true), (stale, false)] {
            let outcome = Outcome { parts: vec![success(&a), Outcome::default()], ..Outcome::default() };
            let after = [a.clone(), before.clone()];
            let record = record(operation.clone(), outcome, std::slice::from_ref(&before), &after);
            assert_eq!(check(&record).is_empty(), allowed, "{record:?}");
        }
    }

    #[test]
    fn a_file_that_no_step_touches_stays() {
        let other = Step { client: 1, store: StoreName::Fs, operation: Operation::Nothing, interrupt: None };
        let mut record = record(Operation::Nothing, Outcome::default(), &[stored(100)], &[]);
        record.round.steps = vec![other];
        assert_eq!(check(&record).len(), 1);
    }

    #[test]
    fn a_restart_loses_nothing_and_a_step_of_the_clock_only_what_has_expired() {
        let hour = SignedDuration::from_hours(1);
        let expiring = FileState { expires: Some(Timestamp::UNIX_EPOCH), ..stored(100) };
        for (event, now, allowed) in [
            (Event::Restart, Timestamp::UNIX_EPOCH + hour, false),
            (Event::Advance { hours: 1 }, Timestamp::UNIX_EPOCH + hour, true),
            (Event::Advance { hours: 1 }, Timestamp::UNIX_EPOCH - hour, false),
        ] {
            let mut record = record(Operation::Nothing, Outcome::default(), &[], &[]);
            record.before_event = snapshot(std::slice::from_ref(&expiring));
            (record.round.event, record.now) = (Some(event.clone()), now);
            assert_eq!(check(&record).is_empty(), allowed, "{event:?} {now}");
        }
    }

    #[test]
    fn a_listing_has_every_file_once() {
        let file = stored(100);
        let twice = Outcome { files: [success(&file).files, success(&file).files].concat(), ..Outcome::default() };
        for (outcome, allowed) in [(success(&file), true), (Outcome::default(), false), (twice, false)] {
            let files = std::slice::from_ref(&file);
            let outcome = Outcome { subject: None, ..outcome };
            let violations = check(&record(Operation::List { limit: None }, outcome, files, files));
            assert_eq!(violations.is_empty(), allowed, "{violations:?}");
        }
    }
}
