//! Every operation of S3 and WebDAV with failures at every step: compares the reported effect with the files that the
//! service holds afterwards.

use std::collections::BTreeMap;

use filestore_core::{Body, Effect, FileRef, List, Store, Upload};
use futures::future::{join, join_all};

use crate::stub::s3::S3;
use crate::stub::webdav::Webdav;
use crate::stub::{Action, Protocol, Received, Stub};
use crate::{open, reference};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// An upload of a file that fits into one request.
    Upload,
    /// An upload in parts, if the service has them.
    LargeUpload,
    Delete,
    DeleteFolder,
    List,
    Stat,
    Download,
}

/// An operation, and the request at which the failures begin.
#[derive(Clone, Copy)]
struct Case {
    operation: Operation,
    step: &'static str,
    arm: fn(&Received) -> bool,
    first: Option<Action>,
    then: Action,
}

const FIRSTS: [Option<Action>; 6] = [
    None,
    Some(Action::Lose { applied: true }),
    Some(Action::Lose { applied: false }),
    Some(Action::Respond { status: 503, applied: true }),
    Some(Action::Respond { status: 503, applied: false }),
    Some(Action::Refuse),
];

fn thens() -> Vec<Action> {
    let statuses = [400, 401, 403, 404, 409, 422, 429, 500, 503];
    let statuses = statuses.map(|status| Action::Respond { status, applied: false });
    statuses.into_iter().chain([Action::Page, Action::Serve, Action::Refuse]).collect()
}

type Step = (Operation, &'static str, fn(&Received) -> bool);

const S3_STEPS: [Step; 8] = [
    (Operation::Upload, "PUT", |request| request.method == "PUT"),
    (Operation::LargeUpload, "part", |request| request.query.contains("partNumber=2")),
    (Operation::LargeUpload, "complete", |request| request.method == "POST" && request.query.contains("uploadId")),
    (Operation::Delete, "DELETE", |request| request.method == "DELETE"),
    (Operation::DeleteFolder, "POST ?delete", |request| request.method == "POST"),
    (Operation::List, "GET", |request| request.method == "GET"),
    (Operation::Stat, "HEAD", |request| request.method == "HEAD"),
    (Operation::Download, "GET", |request| request.method == "GET"),
];

const WEBDAV_STEPS: [Step; 7] = [
    (Operation::Upload, "PUT", |request| request.method == "PUT"),
    (Operation::Upload, "MOVE", |request| request.method == "MOVE"),
    (Operation::Delete, "DELETE", |request| request.method == "DELETE"),
    (Operation::DeleteFolder, "DELETE", |request| request.method == "DELETE"),
    (Operation::List, "PROPFIND", |request| request.method == "PROPFIND"),
    (Operation::Stat, "PROPFIND", |request| request.method == "PROPFIND"),
    (Operation::Download, "GET", |request| request.method == "GET"),
];

const FILES: [(&str, &str); 2] = [("d/old", "old content"), ("d/other", "other content")];

fn cases(steps: &[Step]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (operation, step, arm) in steps {
        for first in FIRSTS {
            for then in thens() {
                cases.push(Case { operation: *operation, step, arm: *arm, first, then });
            }
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_effect_of_every_failure_matches_the_files_of_the_service() {
    let (s3, webdav) = (cases(&S3_STEPS), cases(&WEBDAV_STEPS));
    let all = s3.len() + webdav.len();
    let lanes = (0..LANES).map(|lane| {
        let of_lane = |cases: &[Case]| cases.iter().copied().skip(lane).step_by(LANES).collect();
        join(
            run_all("s3", of_lane(&s3), || S3::with(&FILES)),
            run_all("webdav", of_lane(&webdav), || Webdav::with(&FILES)),
        )
    });
    let failures: Vec<String> =
        join_all(lanes).await.into_iter().flat_map(|(s3, webdav)| [s3, webdav].concat()).collect();
    println!("{all} cases");
    assert!(all > 1000, "{all}");
    assert!(failures.is_empty(), "{} of {all}: {failures:#?}", failures.len());
}

/// The number of stores that run cases at the same time. Each is used for many cases, because it takes time to create.
const LANES: usize = 6;

/// Runs these cases, and describes the failed ones.
async fn run_all<P: Protocol>(service: &str, cases: Vec<Case>, protocol: impl Fn() -> P) -> Vec<String> {
    let mut stub = Stub::start(protocol()).await;
    let store = open(service, &stub.url, &[]);
    let mut failures = Vec::new();
    for case in cases {
        stub.restart(protocol(), case.arm, case.first, case.then).await;
        failures.extend(run(&stub, &store, service, case).await);
    }
    failures
}

/// Runs a case, and describes its failure, if any.
async fn run<P: Protocol>(stub: &Stub<P>, store: &Store, service: &str, case: Case) -> Option<String> {
    let content = match case.operation {
        Operation::LargeUpload => vec![7; 9 << 20],
        _ => b"new content".to_vec(),
    };
    let result = perform(store, service, case.operation, content.clone()).await;
    // A lost request may still be served.
    let files = stub.files();
    let applied = is_applied(&files, case.operation, &content);
    let partly =
        case.operation == Operation::DeleteFolder && files.keys().filter(|path| path.starts_with("d/")).count() < 2;
    let failure = |problem: &str| {
        let (first, then) = (case.first, case.then);
        let result = result.as_ref().map_err(|error| (error.kind(), error.effect(), error.to_string()));
        let methods = stub.methods();
        Some(format!(
            "{service} {:?} at {}, {first:?} then {then:?}: {problem}: {result:?} {methods:?}",
            case.operation, case.step
        ))
    };
    let changes = !matches!(case.operation, Operation::List | Operation::Stat | Operation::Download);
    let error = match &result {
        Ok(read) if !changes => {
            let is_right = read.as_deref() == Some("old content");
            return (!is_right).then(|| failure("it read other content")).flatten();
        }
        // A 404 of a WebDAV server is trusted.
        Ok(_) if service == "webdav" && !applied => {
            let is_trusted = matches!(case.then, Action::Respond { status: 404, .. })
                && matches!(case.operation, Operation::Delete | Operation::DeleteFolder);
            return (!is_trusted).then(|| failure("it was not applied")).flatten();
        }
        Ok(_) => return (!applied).then(|| failure("it was not applied")).flatten(),
        Err(error) => error,
    };
    let claims_none = matches!(error.effect(), Effect::NotSent | Effect::Rejected);
    if changes && claims_none && (applied || partly) {
        return failure("it was applied");
    }
    if error.effect() == Effect::Applied && !applied {
        return failure("it was not applied");
    }
    if error.effect() == Effect::NotSent && !stub.received().is_empty() {
        return failure("requests were sent");
    }
    if !changes && error.effect() == Effect::Unknown {
        return failure("a read changes nothing");
    }
    // Of a folder, some files may be deleted before.
    let single = case.operation != Operation::DeleteFolder;
    if single && case.first.is_none() && matches!(case.then, Action::Respond { status: 400..=429, .. }) && !claims_none
    {
        return failure("the service has rejected it");
    }
    if case.then == Action::Refuse && case.first == Some(Action::Refuse) && error.effect() != Effect::NotSent {
        return failure("nothing was sent");
    }
    let text = format!("{error} {error:?}");
    if ["Signature=", "S3Error", "Unexpected (", "status: "].iter().any(|debug| error.to_string().contains(debug))
        || text.contains("X-Amz-")
    {
        return failure("the message has internal details");
    }
    None
}

async fn perform(
    store: &Store,
    service: &str,
    operation: Operation,
    content: Vec<u8>,
) -> filestore_core::Result<Option<String>> {
    let old: FileRef = reference(&format!("s:{service}:d/old"));
    match operation {
        Operation::Upload | Operation::LargeUpload => {
            store.upload(Upload::new("new", Body::from(content)).scope("d")).await.map(|_| None)
        }
        Operation::Delete => store.delete(&old).await.map(|()| None),
        Operation::DeleteFolder => {
            let folder = reference(&format!("s:{service}:d"));
            store.delete(filestore_core::Delete::from(&folder).recursive(true)).await.map(|()| None)
        }
        Operation::List => {
            let page = store.list(List::new().scope("d")).await?;
            let is_right = crate::names(&page) == ["old", "other"];
            Ok(is_right.then(|| "old content".to_owned()))
        }
        Operation::Stat => {
            let file = store.stat(&old).await?;
            Ok((file.size == Some(11)).then(|| "old content".to_owned()))
        }
        Operation::Download => {
            let bytes = store.read(&old, 1 << 20).await?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

fn is_applied(files: &BTreeMap<String, Vec<u8>>, operation: Operation, content: &[u8]) -> bool {
    match operation {
        Operation::Upload | Operation::LargeUpload => files.get("d/new").is_some_and(|stored| stored == content),
        Operation::Delete => !files.contains_key("d/old"),
        Operation::DeleteFolder => !files.keys().any(|path| path.starts_with("d/")),
        _ => false,
    }
}
