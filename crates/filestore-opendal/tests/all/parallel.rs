//! Parts and ranges of one file at the same time, their memory, and the digests of the service, one rule per test.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use filestore_core::{
    Body, Cleanup, Download, Effect, Error, ErrorKind, IfExists, IntoTimestamp, Result, Store, Upload,
};
use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt};

use crate::stub::s3::S3;
use crate::stub::{Action, Protocol, Received, Reply, Stub};
use crate::{open, reference, try_open};

const MIB: usize = 1 << 20;

/// The time for which a service holds each request, so that the next ones arrive meanwhile.
const HOLD: Duration = Duration::from_millis(30);

fn content(size: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..=250).collect();
    let mut content = pattern.repeat(size / pattern.len() + 1);
    content.truncate(size);
    content
}

fn is_part(request: &Received) -> bool {
    request.parameter("partNumber").is_some()
}

fn is_part_number(request: &Received, number: u32) -> bool {
    request.parameter("partNumber") == Some(number.to_string())
}

fn is_range(request: &Received) -> bool {
    request.method == "GET" && request.header("range").is_some()
}

fn is_abort(request: &Received) -> bool {
    request.method == "DELETE" && request.parameter("uploadId").is_some()
}

async fn read(store: &Store, file: &str) -> Result<Bytes> {
    store.read(&reference(file), 64 << 20).await
}

fn kind_and_effect(error: &Error) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}

/// S3 behind a network that flips one byte of the content of some requests.
struct Flipping {
    s3: S3,
    /// The number of requests that are still damaged.
    left: usize,
    of: fn(&Received) -> bool,
}

impl Flipping {
    fn new(s3: S3, left: usize, of: fn(&Received) -> bool) -> Self {
        Self { s3, left, of }
    }
}

impl Protocol for Flipping {
    fn serve(&mut self, request: &Received) -> Reply {
        let is_damaged = self.left > 0 && (self.of)(request);
        if !is_damaged {
            return self.s3.serve(request);
        }
        self.left -= 1;
        let flip = |content: &mut Vec<u8>| {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        };
        let mut request = request.clone();
        if request.method == "PUT" {
            flip(&mut request.body);
            return self.s3.serve(&request);
        }
        let mut reply = self.s3.serve(&request);
        flip(&mut reply.body);
        reply
    }

    fn error(&self, status: u16, request: &Received) -> Reply {
        self.s3.error(status, request)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.s3.files()
    }
}

/// S3 whose ETags of parts are no text.
struct Unreadable(S3);

impl Protocol for Unreadable {
    fn serve(&mut self, request: &Received) -> Reply {
        let mut reply = self.0.serve(request);
        if is_part(request) {
            reply.headers.iter_mut().for_each(|(_, value)| *value = "\"\u{e9}\"".to_owned());
        }
        reply
    }

    fn error(&self, status: u16, request: &Received) -> Reply {
        self.0.error(status, request)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.files()
    }
}

/// A service that accepts every part, and keeps none.
struct Sink;

impl Protocol for Sink {
    fn serve(&mut self, request: &Received) -> Reply {
        let name = match (request.method.as_str(), request.parameter("uploads")) {
            ("POST", Some(_)) => "InitiateMultipartUploadResult",
            ("POST", None) => "CompleteMultipartUploadResult",
            _ => return Reply::new(200).header("etag", "\"e\""),
        };
        Reply::new(200).xml(format!("<{name}><UploadId>1</UploadId><ETag>\"e-2\"</ETag></{name}>"))
    }

    fn error(&self, status: u16, request: &Received) -> Reply {
        S3::default().error(status, request)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::new()
    }
}

#[tokio::test]
async fn parts_go_up_at_the_same_time_and_never_beyond_the_bound() {
    for (parallel, most) in [("1", 1..=1), ("3", 2..=3), ("8", 4..=8)] {
        let stub = Stub::concurrent(S3::default(), HOLD).await;
        let store = open("s3", &stub.url, &[("parallel", parallel)]);
        let file = store.upload(Upload::new("a", content(41 * MIB))).await.unwrap();
        assert_eq!(file.size, Some(41 << 20));
        assert!(most.contains(&stub.most_at_once()), "{parallel}: {}", stub.most_at_once());
        assert!(stub.files()["a"] == content(41 * MIB));
        assert_eq!(stub.received().iter().filter(|request| is_part(request)).count(), 9);
        assert!(file.metadata.is_empty() && store.stat(file.reference()).await.unwrap().metadata.is_empty());
    }
}

#[tokio::test]
async fn the_modification_time_is_metadata_that_listings_do_not_show() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    let store = open("s3", &stub.url, &[]);
    let time = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let file = store.upload(Upload::new("a", "content").modified(time)).await.unwrap();
    let put = stub.received().into_iter().find(|request| request.method == "PUT").unwrap();
    assert_eq!(put.header("x-amz-meta-mtime"), Some("1000000000.123456789"));
    let seen = store.stat(file.reference()).await.unwrap();
    assert_eq!((file.modified, seen.modified), (Some(time.into_timestamp()), Some(time.into_timestamp())));
    assert!(seen.metadata.is_empty());
    let error = store.upload(Upload::new("a", "x").metadata("mtime", "1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_file_of_unknown_length_goes_up_in_parts_too() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    let chunks =
        futures::stream::iter(content(20 * MIB).chunks(100_001).map(Bytes::copy_from_slice).collect::<Vec<_>>());
    let upload = Upload::new("a", Body::from_stream(chunks.map(Ok::<_, Error>), None));
    open("s3", &stub.url, &[]).upload(upload).await.unwrap();
    assert!(stub.files()["a"] == content(20 * MIB));
    assert_eq!(stub.received().iter().filter(|request| is_part(request)).count(), 3);
    assert!(stub.most_at_once() >= 2);
}

#[tokio::test]
async fn a_file_that_fits_into_one_part_is_one_put() {
    let stub = Stub::start(S3::default()).await;
    let store = open("s3", &stub.url, &[]);
    store.upload(Upload::new("a", content(5 * MIB))).await.unwrap();
    let chunks = futures::stream::iter([Ok::<_, Error>(Bytes::from(content(8 * MIB)))]);
    store.upload(Upload::new("b", Body::from_stream(chunks, None))).await.unwrap();
    assert_eq!(stub.methods(), ["PUT", "PUT"]);
    assert_eq!([stub.files()["a"].len(), stub.files()["b"].len()], [5 * MIB, 8 * MIB]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_at_once_share_the_memory_and_all_end_although_parts_fail() {
    let stub = Stub::concurrent(Sink, Duration::from_millis(5)).await;
    let fails = [Action::Respond { status: 503, applied: false }; 40];
    stub.script(is_part, fails);
    let store = open("s3", &stub.url, &[("verify", "none"), ("max_retries", "9")]);
    let body = Bytes::from(vec![7; 6 * MIB]);
    let uploads = (0..64).map(|number| store.upload(Upload::new(format!("{number}"), body.clone())));
    try_join_all(uploads).await.unwrap();
    // 48 MiB in parts of 5 MiB.
    assert!((2..=9).contains(&stub.most_at_once()), "{}", stub.most_at_once());
}

#[tokio::test]
async fn a_download_that_waits_for_an_upload_of_the_same_store_does_not_block_it() {
    let stub = Stub::concurrent(S3::default(), Duration::ZERO).await;
    let store = open("s3", &stub.url, &[]);
    store.upload(Upload::new("a", content(60 * MIB))).await.unwrap();
    let copies = (0..3).map(async |number| {
        let source = store.download(&reference("s:s3:a")).await.unwrap();
        let body = Body::from_stream(source.stream, Some(60 << 20));
        store.upload(Upload::new(format!("b{number}"), body)).await
    });
    tokio::time::timeout(Duration::from_secs(60), try_join_all(copies)).await.unwrap().unwrap();
    assert!(stub.files()["b2"] == content(60 * MIB));
}

#[tokio::test]
async fn the_first_part_that_fails_ends_the_others_and_the_upload() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    stub.script(|request| is_part_number(request, 2), [Action::Respond { status: 403, applied: false }]);
    let error = open("s3", &stub.url, &[]).upload(Upload::new("a", content(90 * MIB))).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unauthenticated, Effect::Rejected), "{error}");
    assert_eq!((error.attempts(), error.provider_code()), (1, Some("SignatureDoesNotMatch")));
    assert!(stub.files().is_empty() && is_abort(stub.received().last().unwrap()));
    let sent = stub.received().iter().filter(|request| is_part(request)).count();
    assert!(sent < 18, "{sent}");
}

#[tokio::test]
async fn a_part_that_fails_temporarily_is_sent_again() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    let fails = [Action::Respond { status: 503, applied: false }, Action::Lose { applied: true }];
    stub.script(|request| is_part_number(request, 2), fails);
    open("s3", &stub.url, &[]).upload(Upload::new("a", content(21 * MIB))).await.unwrap();
    assert!(stub.files()["a"] == content(21 * MIB));
}

#[tokio::test]
async fn the_attempts_of_a_failed_upload_are_those_of_the_part_that_failed() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    stub.script(is_part, [Action::Respond { status: 503, applied: false }; 99]);
    let error = open("s3", &stub.url, &[]).upload(Upload::new("a", content(30 * MIB))).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::RateLimited, 4), "{error}");
    assert!(is_abort(stub.received().last().unwrap()));
}

#[tokio::test]
async fn uploads_whose_parts_opendal_itself_rejects_end() {
    // OpenDAL cannot read this ETag.
    let stub = Stub::concurrent(Unreadable(S3::default()), Duration::ZERO).await;
    let store = open("s3", &stub.url, &[]);
    let uploads = (0..4).map(|number| store.upload(Upload::new(format!("{number}"), content(60 * MIB))));
    for outcome in tokio::time::timeout(Duration::from_secs(60), join_all(uploads)).await.unwrap() {
        assert_eq!(kind_and_effect(&outcome.unwrap_err()), (ErrorKind::Protocol, Effect::Rejected));
    }
    assert!(stub.files().is_empty());
}

#[tokio::test]
async fn a_dropped_upload_ends_its_parts_before_it_is_aborted() {
    let stub = Stub::concurrent(S3::default(), Duration::from_millis(300)).await;
    let store = open("s3", &stub.url, &[]);
    let upload = tokio::spawn(async move { store.upload(Upload::new("a", content(60 * MIB))).await });
    // The parts are under way.
    while stub.most_at_once() < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    upload.abort();
    Cleanup::all_ended().await;
    let received = stub.received();
    assert!(received.iter().any(is_abort) && stub.files().is_empty());
    assert!(received.iter().filter(|request| is_part(request)).count() <= 9);
}

#[tokio::test]
async fn an_upload_that_is_dropped_while_it_waits_for_memory_sends_nothing() {
    let stub = Stub::concurrent(S3::default(), Duration::ZERO).await;
    let store = open("s3", &stub.url, &[]);
    // Their bodies have the memory, and no content yet.
    let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes>>(), None);
    let others = (0..3).map(|number| store.upload(Upload::new(format!("{number}"), endless())));
    let late = store.upload(Upload::new("late", content(6 * MIB)));
    let both = futures::future::join(join_all(others), late);
    assert!(tokio::time::timeout(Duration::from_millis(200), both).await.is_err());
    Cleanup::all_ended().await;
    assert!(stub.received().is_empty());
    store.upload(Upload::new("next", content(6 * MIB))).await.unwrap();
}

#[tokio::test]
async fn a_byte_that_is_flipped_on_the_way_up_is_sent_again_or_an_integrity_error() {
    for size in [9, 12 * MIB] {
        let is_content = |request: &Received| request.method == "PUT";
        let stub = Stub::start(Flipping::new(S3::default(), 1, is_content)).await;
        open("s3", &stub.url, &[]).upload(Upload::new("a", content(size))).await.unwrap();
        assert!(stub.files()["a"] == content(size), "{size}");

        let stub = Stub::start(Flipping::new(S3::default(), usize::MAX, is_content)).await;
        let error = open("s3", &stub.url, &[]).upload(Upload::new("a", content(size))).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected), "{size}: {error}");
        assert_eq!(error.attempts(), 4, "{size}");
        assert!(stub.files().is_empty(), "{size}");
    }
}

#[tokio::test]
async fn a_file_that_is_stored_with_other_content_is_an_integrity_error_that_names_it() {
    // A server that ignores `Content-MD5`.
    let mut s3 = S3::default();
    s3.ignores_digests = true;
    let stub = Stub::start(Flipping::new(s3, 1, |request| request.method == "PUT")).await;
    let upload = Upload::new("a", "content").scope("d").if_exists(IfExists::Fail);
    let error = open("s3", &stub.url, &[]).upload(upload).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied), "{error}");
    assert_eq!(error.stored().unwrap().reference().to_string(), "s:s3:d/a");
    assert!(stub.files().contains_key("d/a"));
}

/// S3 that damages what it stores, after it has responded to a request.
struct Damaging {
    s3: S3,
    damage: fn(&mut S3, &Received),
}

impl Protocol for Damaging {
    fn serve(&mut self, request: &Received) -> Reply {
        let reply = self.s3.serve(request);
        (self.damage)(&mut self.s3, request);
        reply
    }

    fn error(&self, status: u16, request: &Received) -> Reply {
        self.s3.error(status, request)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.s3.files()
    }
}

/// Stores another content in place of the second part.
fn mix_up(s3: &mut S3, request: &Received) {
    if is_part_number(request, 2) {
        s3.serve(&Received { body: vec![0; request.body.len()], ..request.clone() });
    }
}

/// Leaves the last part out of a file of four.
fn shorten(s3: &mut S3, request: &Received) {
    if is_part_number(request, 4) {
        s3.drop_part(4);
    }
}

#[tokio::test]
async fn the_etag_of_all_parts_is_compared_after_the_upload() {
    let stub = Stub::start(Damaging { s3: S3::default(), damage: mix_up }).await;
    let error = open("s3", &stub.url, &[]).upload(Upload::new("a", content(12 * MIB))).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied), "{error}");
    assert_eq!(error.stored().unwrap().name, "a");
    assert!(!stub.received().iter().any(is_abort));
}

#[tokio::test]
async fn a_file_of_another_number_of_parts_than_were_sent_is_an_integrity_error_that_names_it() {
    let stub = Stub::start(Damaging { s3: S3::default(), damage: shorten }).await;
    let upload = || Upload::new("a", content(17 * MIB));
    let error = open("s3", &stub.url, &[]).upload(upload()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied), "{error}");
    assert_eq!(error.stored().unwrap().reference().to_string(), "s:s3:a");
    assert_eq!(stub.files()["a"].len(), 15 * MIB);
    assert!(!stub.received().iter().any(is_abort));
    // An ETag that is no digest proves nothing, nor does one that is not compared.
    stub.change(|s3| s3.s3.uses_kms = true);
    open("s3", &stub.url, &[]).upload(upload()).await.unwrap();
    stub.change(|s3| s3.s3.uses_kms = false);
    open("s3", &stub.url, &[("verify", "none")]).upload(upload()).await.unwrap();
}

#[tokio::test]
async fn a_byte_that_is_flipped_on_the_way_down_is_an_integrity_error() {
    for size in [9, 7 * MIB, 12 * MIB] {
        let stub = Stub::start(Flipping::new(S3::default(), 0, |request| request.method == "GET")).await;
        let store = open("s3", &stub.url, &[]);
        store.upload(Upload::new("a", content(size))).await.unwrap();
        assert!(read(&store, "s:s3:a").await.unwrap() == content(size), "{size}");
        stub.change(|flipping| flipping.left = 1);
        let error = read(&store, "s:s3:a").await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected), "{size}: {error}");
        // The last bytes of a wrong file are never returned.
        stub.change(|flipping| flipping.left = 1);
        let mut stream = store.download(&reference("s:s3:a")).await.unwrap().stream;
        let mut received = 0;
        while let Ok(Some(chunk)) = stream.try_next().await {
            received += chunk.len();
        }
        assert!(received < size, "{size}");
        // With `none`, there is no such check.
        stub.change(|flipping| flipping.left = 1);
        let unchecked = open("s3", &stub.url, &[("verify", "none")]);
        assert!(read(&unchecked, "s:s3:a").await.unwrap() != content(size), "{size}");
    }
}

#[tokio::test]
async fn a_part_of_a_file_is_read_without_a_digest() {
    let stub = Stub::concurrent(S3::default(), Duration::ZERO).await;
    let store = open("s3", &stub.url, &[]);
    store.upload(Upload::new("a", content(21 * MIB))).await.unwrap();
    stub.change(|s3| s3.damage("a"));
    let part = store.read(Download::from(&reference("s:s3:a")).range(1..9_000_000), 64 << 20).await.unwrap();
    assert!(part == content(21 * MIB)[1..9_000_000]);
    assert_eq!(read(&store, "s:s3:a").await.unwrap_err().kind(), ErrorKind::Integrity);
}

#[tokio::test]
async fn parts_of_an_unknown_size_are_no_false_alarm() {
    let mut s3 = S3::default();
    // As many parts as ours would be, but of other sizes.
    s3.store_parts_of("same", content(9 * MIB), 8 * MIB);
    s3.store_parts_of("other", content(20 * MIB), 7 * MIB + 1);
    let stub = Stub::concurrent(s3, Duration::ZERO).await;
    let store = open("s3", &stub.url, &[]);
    assert!(read(&store, "s:s3:same").await.unwrap() == content(9 * MIB));
    assert!(read(&store, "s:s3:other").await.unwrap() == content(20 * MIB));
}

#[tokio::test]
async fn etags_of_files_that_are_encrypted_with_a_key_of_kms_are_no_false_alarm() {
    let mut s3 = S3::default();
    s3.uses_kms = true;
    let stub = Stub::concurrent(s3, Duration::ZERO).await;
    let store = open("s3", &stub.url, &[]);
    for size in [9, 12 * MIB] {
        store.upload(Upload::new("a", content(size))).await.unwrap();
        assert!(read(&store, "s:s3:a").await.unwrap() == content(size), "{size}");
    }
}

#[tokio::test]
async fn ranges_come_in_order_and_never_more_at_once_than_the_bound() {
    for (parallel, most) in [("1", 1..=1), ("3", 2..=3), ("8", 4..=8)] {
        let stub = Stub::concurrent(S3::default(), HOLD).await;
        stub.change(|s3| s3.store_parts_of("a", content(41 * MIB), 5 * MIB));
        let store = open("s3", &stub.url, &[("parallel", parallel)]);
        assert!(read(&store, "s:s3:a").await.unwrap() == content(41 * MIB));
        assert!(most.contains(&stub.most_at_once()), "{parallel}: {}", stub.most_at_once());
        let range = Download::from(&reference("s:s3:a")).range(3..30_000_000);
        assert!(store.read(range, 64 << 20).await.unwrap() == content(41 * MIB)[3..30_000_000]);
        assert!(
            stub.received()
                .iter()
                .filter(|request| is_range(request))
                .all(|request| request.header("if-match").is_some())
        );
    }
}

#[tokio::test]
async fn a_download_that_is_read_slowly_requests_no_more_than_its_memory_holds() {
    let stub = Stub::concurrent(S3::default(), Duration::ZERO).await;
    stub.change(|s3| s3.store_parts_of("a", content(60 * MIB), 5 * MIB));
    let store = open("s3", &stub.url, &[("parallel", "64")]);
    let mut slow = store.download(&reference("s:s3:a")).await.unwrap().stream;
    let first = slow.try_next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // 40 MiB in ranges of 5 MiB.
    assert_eq!(stub.received().iter().filter(|request| is_range(request)).count(), 8);
    // Another download does not wait for it.
    assert!(read(&store, "s:s3:a").await.unwrap() == content(60 * MIB));
    let rest: Vec<Bytes> = slow.try_collect().await.unwrap();
    assert!([vec![first], rest].concat().concat() == content(60 * MIB));
}

#[tokio::test]
async fn a_file_that_is_replaced_between_two_ranges_is_an_integrity_error_and_never_a_mixture() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    stub.change(|s3| s3.store_parts_of("a", content(60 * MIB), 5 * MIB));
    let store = open("s3", &stub.url, &[("parallel", "2")]);
    let mut stream = store.download(&reference("s:s3:a")).await.unwrap().stream;
    let mut received = stream.try_next().await.unwrap().unwrap().to_vec();
    stub.change(|s3| s3.store_parts_of("a", vec![0; 60 * MIB], 5 * MIB));
    let error = loop {
        match stream.try_next().await {
            Ok(chunk) => received.extend_from_slice(&chunk.unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    assert!(error.to_string().contains("replaced"), "{error}");
    assert!(received == content(60 * MIB)[..received.len()]);
}

#[tokio::test]
async fn the_first_range_that_fails_ends_the_others() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    stub.change(|s3| s3.store_parts_of("a", content(60 * MIB), 5 * MIB));
    let is_third = |request: &Received| {
        request.header("range").is_some_and(|range| range.starts_with(&format!("bytes={}-", 10 * MIB)))
    };
    stub.script(is_third, [Action::Respond { status: 403, applied: false }]);
    let error = read(&open("s3", &stub.url, &[("parallel", "3")]), "s:s3:a").await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unauthenticated, Effect::Rejected), "{error}");
    tokio::time::sleep(2 * HOLD).await;
    let ranges = stub.received().iter().filter(|request| is_range(request)).count();
    assert!(ranges < 12, "{ranges}");
}

/// S3 whose response to the range from byte `first` on does not end after the range.
struct Endless {
    s3: S3,
    first: usize,
    /// The header with the length of that response.
    length: (&'static str, &'static str),
}

impl Protocol for Endless {
    fn serve(&mut self, request: &Received) -> Reply {
        let reply = self.s3.serve(request);
        let start = format!("bytes={}-", self.first);
        if !request.header("range").is_some_and(|range| range.starts_with(&start)) {
            return reply;
        }
        Reply { endless: true, ..reply }.header(self.length.0, self.length.1)
    }

    fn error(&self, status: u16, request: &Received) -> Reply {
        self.s3.error(status, request)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.s3.files()
    }
}

#[tokio::test]
async fn a_range_that_does_not_end_is_an_integrity_error_before_it_fills_the_memory() {
    for length in [("transfer-encoding", "chunked"), ("content-length", "1000000000000")] {
        // The second range is read ahead, the last one only as fast as the stream is polled.
        for (first, parallel) in [(5 * MIB, "8"), (25 * MIB, "1")] {
            let mut s3 = S3::default();
            s3.store_parts_of("a", content(30 * MIB), 5 * MIB);
            let stub = Stub::concurrent(Endless { s3, first, length }, Duration::ZERO).await;
            let store = open("s3", &stub.url, &[("parallel", parallel)]);
            let mut stream = store.download(&reference("s:s3:a")).await.unwrap().stream;
            // The caller is slow, so that everything that is read ahead stays in memory.
            stream.try_next().await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mut received = 0;
            let error = loop {
                match stream.try_next().await {
                    Ok(chunk) => received += chunk.unwrap().len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected), "{length:?}: {error}");
            assert_eq!(error.attempts(), 1, "{error}");
            assert!(received <= first + 5 * MIB, "{length:?}: {received}");
            drop(stream);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let taken = stub.endless_bytes();
            assert!(taken < 10 * MIB, "{length:?}, {first}: {taken}");
        }
    }
}

#[tokio::test]
async fn a_range_that_breaks_is_read_on_with_the_retries_of_the_store() {
    let stub = Stub::concurrent(S3::default(), HOLD).await;
    stub.change(|s3| s3.store_parts_of("a", content(30 * MIB), 5 * MIB));
    let fails = [Action::Lose { applied: false }, Action::Respond { status: 503, applied: false }];
    stub.script(is_range, fails);
    assert!(read(&open("s3", &stub.url, &[]), "s:s3:a").await.unwrap() == content(30 * MIB));
}

#[test]
fn the_keys_of_transfers_in_parts_are_only_for_services_with_parts() {
    for (key, value) in [("parallel", "2"), ("verify", "none")] {
        assert!(try_open("s3", "http://h", &[(key, value)]).is_ok());
        let error = try_open("webdav", "http://h", &[(key, value)]).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(key), "{error}");
    }
    for (key, value) in [("parallel", "0"), ("verify", "md5")] {
        assert_eq!(try_open("s3", "http://h", &[(key, value)]).unwrap_err().kind(), ErrorKind::Config);
    }
}

/// The file `a` of GCS or Azure Blob.
#[cfg(all(feature = "gcs", feature = "azblob"))]
struct OtherService {
    content: Vec<u8>,
    /// The digest in the responses, in base64.
    md5: &'static str,
    generation: u32,
}

/// The digests of "content" and of nothing.
#[cfg(all(feature = "gcs", feature = "azblob"))]
const DIGESTS: [&str; 2] = ["mgNkuembtIDdJeHwKEyFVQ==", "1B2M2Y8AsgTpgAmY7PhCfg=="];

#[cfg(all(feature = "gcs", feature = "azblob"))]
impl Protocol for OtherService {
    fn serve(&mut self, request: &Received) -> Reply {
        let of_google = || {
            let (size, generation, md5) = (self.content.len(), self.generation, self.md5);
            let object = format!(r#"{{"size":"{size}","etag":"CKW","generation":"{generation}","md5Hash":"{md5}"}}"#);
            Reply::new(200).header("content-type", "application/json").body(object)
        };
        let reply = |status: u16| {
            Reply::new(status)
                .header("etag", "\"0x1\"")
                .header("last-modified", "Sun, 01 Mar 2026 10:00:00 GMT")
                .header("content-md5", self.md5)
        };
        match (request.method.as_str(), request.range(&self.content)) {
            ("GET", Some((part, range))) => {
                let reply = Reply::new(206).header("etag", "\"0x1\"").header("content-range", range);
                reply.header("x-goog-generation", self.generation.to_string()).body(part)
            }
            ("POST" | "GET", _) => of_google(),
            ("HEAD", _) => reply(200).header("content-length", self.content.len().to_string()),
            _ => reply(201),
        }
    }

    fn error(&self, status: u16, _: &Received) -> Reply {
        Reply::new(status)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::new()
    }
}

#[cfg(all(feature = "gcs", feature = "azblob"))]
fn open_other(service: &str, url: &str) -> Store {
    let key = "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5aw==";
    let mut options = vec![("options.username", ""), ("options.password", "")];
    options.extend(match service {
        "gcs" => vec![("options.bucket", "b"), ("options.skip_signature", "true")],
        _ => vec![
            ("options.azure_container_name", "c"),
            ("options.account_name", "account"),
            ("options.account_key", key),
        ],
    });
    open(service, url, &options)
}

#[cfg(all(feature = "gcs", feature = "azblob"))]
#[tokio::test]
async fn the_digests_of_google_and_azure_are_compared_too() {
    for service in ["gcs", "azblob"] {
        for (content, md5) in [("content", DIGESTS[0]), ("contend", DIGESTS[0]), ("content", DIGESTS[1])] {
            let is_right = (content, md5) == ("content", DIGESTS[0]);
            let stub = Stub::start(OtherService { content: content.into(), md5, generation: 1 }).await;
            let store = open_other(service, &stub.url);
            let uploaded = store.upload(Upload::new("a", content)).await;
            let read = read(&store, &format!("s:{service}:a")).await;
            match (uploaded, read) {
                (Ok(_), Ok(read)) => assert!(is_right && read == "content", "{service}"),
                (Err(uploaded), Err(read)) => {
                    assert!(!is_right, "{service}: {uploaded} {read}");
                    assert_eq!(kind_and_effect(&uploaded), (ErrorKind::Integrity, Effect::Applied), "{uploaded}");
                    assert_eq!(kind_and_effect(&read), (ErrorKind::Integrity, Effect::Rejected), "{read}");
                }
                other => panic!("{service}, {content}: {other:?}"),
            }
        }
    }
}

#[cfg(all(feature = "gcs", feature = "azblob"))]
#[tokio::test]
async fn ranges_of_google_are_of_one_generation() {
    let file = OtherService { content: content(30 * MIB), md5: "", generation: 1 };
    let stub = Stub::concurrent(file, HOLD).await;
    let store = open_other("gcs", &stub.url);
    assert!(read(&store, "s:gcs:a").await.unwrap() == content(30 * MIB));
    assert!(stub.most_at_once() > 1);
    let mut stream = store.download(&reference("s:gcs:a")).await.unwrap().stream;
    stub.change(|file| file.generation = 2);
    let error = stream.try_next().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Integrity && error.to_string().contains("replaced"), "{error}");
}
