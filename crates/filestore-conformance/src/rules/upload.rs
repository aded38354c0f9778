//! U1 to U5: every form of upload stores exactly its content.

use std::io::Write;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Result, StoredFile};
use futures::stream::{self, Stream};

use crate::case::Case;
use crate::content::{self, SEVERAL_CHUNKS};
use crate::rule::{Rule, rule};
use crate::verdict::{Stop, Verdict, same, same_bytes, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("U1", "The downloaded content is the uploaded content.", [], round_trip),
    rule!("U2", "An empty file is a file.", [EmptyFile], empty),
    rule!("U3", "A file of several chunks arrives whole.", [], several_chunks),
    rule!("U4", "Every form of body stores the same content.", [], forms),
    rule!("U5", "A body of unknown length is stored whole.", [UnknownLength], unknown_length),
];

async fn round_trip(case: &Case<'_>) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let contents =
        [Bytes::from_static(b"\0"), content::bytes(1, 31), content::bytes(2, 4097), content::bytes(3, 65_535)];
    for content in contents.into_iter().chain([every_byte.into()]) {
        let name = format!("round-trip-{}.bin", content.len());
        stores(case, &name, content.clone().into(), &content).await?;
    }
    Ok(())
}

async fn empty(case: &Case<'_>) -> Verdict {
    stores(case, "empty.bin", Bytes::new().into(), b"").await
}

async fn several_chunks(case: &Case<'_>) -> Verdict {
    let max = case.capabilities().max_size.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let content = content::bytes(4, SEVERAL_CHUNKS.min(max));
    stores(case, "several-chunks.bin", content.clone().into(), &content).await
}

async fn forms(case: &Case<'_>) -> Verdict {
    let content = content::bytes(5, 70_001);
    let length = content.len() as u64;
    let mut file = tempfile::NamedTempFile::new().map_err(local)?;
    file.write_all(&content).map_err(local)?;

    let source = content.clone();
    let reopenable = Body::reopenable(move || std::future::ready(opened(&source)), Some(length));
    let forms = [
        ("bytes", Body::from(content.clone())),
        ("path", worked("a body of a path", Body::from_path(file.path()))?),
        ("reopenable", reopenable),
        ("reader", Body::from_reader(std::io::Cursor::new(content.clone()), Some(length))),
        ("stream", Body::from_stream(pieces(&content, 1000), Some(length))),
    ];
    for (form, body) in forms {
        let file = worked(
            &format!("the upload of a body in the form {form:?}"),
            store(case, &format!("{form}.bin"), body).await,
        )?;
        let seen = worked("its download", case.read(&file.reference).await)?;
        same_bytes(&format!("the content of a body in the form {form:?}"), &content, &seen)?;
    }
    Ok(())
}

async fn unknown_length(case: &Case<'_>) -> Verdict {
    for (seed, length) in [(6, 1), (7, 200_003)] {
        let content = content::bytes(seed, length);
        let body = Body::from_stream(pieces(&content, 999), None);
        stores(case, &format!("unknown-{length}.bin"), body, &content).await?;
    }
    Ok(())
}

/// Stores the body, and checks the name and the size in the response, and the downloaded content.
async fn stores(case: &Case<'_>, name: &str, body: Body, content: &[u8]) -> Verdict {
    let length = content.len();
    let file = worked(&format!("the upload of {length} bytes"), store(case, name, body).await)?;
    same("the name in the response", &case.name(name), &file.name)?;
    if let Some(size) = file.size {
        same("the size in the response", &(length as u64), &size)?;
    }
    let seen = worked(&format!("the download of {length} bytes"), case.read(&file.reference).await)?;
    same_bytes("the content", content, &seen)
}

async fn store(case: &Case<'_>, name: &str, body: Body) -> Result<StoredFile> {
    case.send(case.upload(name, body)).await
}

/// Returns a stream of `content` in pieces of `size` bytes.
pub(crate) fn pieces(content: &Bytes, size: usize) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let mut rest = content.clone();
    stream::iter(std::iter::from_fn(move || {
        let next = rest.split_to(rest.len().min(size));
        (!next.is_empty()).then_some(Ok(next))
    }))
}

fn opened(content: &Bytes) -> Result<ByteStream> {
    Ok(ByteStream::upload(pieces(content, 4096), Some(content.len() as u64)))
}

fn local(error: std::io::Error) -> Stop {
    Stop::Blocked { by: format!("a temporary file: {error}") }
}
