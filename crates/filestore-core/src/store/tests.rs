//! Tests of [`Store`] over a backend that responds as the test says.

use std::sync::Arc;

use futures::TryStreamExt;

use super::*;
use crate::ByteStream;

/// A backend whose listing has `pages` pages without files, and whose files break off after one byte.
#[derive(Debug)]
struct Scripted {
    capabilities: Capabilities,
    pages: u32,
    left_out: u64,
}

#[async_trait]
impl FileStore for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn list(&self, request: List) -> Result<Page> {
        let page: u32 = request.page.map_or(0, |token| token.as_str().parse().unwrap());
        let next = (page + 1 < self.pages).then(|| crate::PageToken::new((page + 1).to_string()));
        let mut page = Page::new(Vec::new(), next);
        page.left_out = self.left_out;
        Ok(page)
    }

    async fn upload(&self, _: Upload) -> Result<StoredFile> {
        unimplemented!()
    }

    async fn stat(&self, _: Stat) -> Result<StoredFile> {
        unimplemented!()
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let broken = Error::new(ErrorKind::Unavailable, Effect::Rejected, "it broke");
        let stream = ByteStream::download(stream::iter([Ok(Bytes::from_static(b"a")), Err(broken)]), None);
        Ok(Downloaded::new(StoredFile::new(request.reference, "a"), stream))
    }

    async fn delete(&self, _: Delete) -> Result<()> {
        unimplemented!()
    }

    async fn url(&self, _: UrlRequest) -> Result<FileUrl> {
        unimplemented!()
    }
}

fn store(capabilities: Capabilities, pages: u32, left_out: u64) -> Store {
    Store::new("s", Arc::new(Scripted { capabilities, pages, left_out })).unwrap()
}

#[tokio::test]
async fn a_page_of_entries_that_are_left_out_is_not_empty() {
    let pages = |left_out| async move {
        let store = store(Capabilities::new("x").native([Feature::List]), 2000, left_out);
        let pages: Result<Vec<_>> = store.list_pages(List::new()).try_collect().await;
        pages.map(|pages| pages.iter().map(|page| page.left_out).sum::<u64>()).map_err(|error| error.kind())
    };
    assert_eq!(pages(1).await, Ok(2000));
    assert_eq!(pages(0).await, Err(ErrorKind::Protocol));
}

#[tokio::test]
async fn an_error_in_a_download_stream_names_the_operation_the_store_and_the_file() {
    for (is_bearer, name) in [(false, "s:x:secret"), (true, "s:x:sec...")] {
        let mut capabilities = Capabilities::new("x");
        capabilities.bearer_references = is_bearer;
        let store = store(capabilities, 0, 0);
        let reference: FileRef = "s:x:secret".parse().unwrap();
        let download = || async { store.download(&reference).await.unwrap() };
        let inspected = || async { download().await.stream.inspect(|_| {}).collect(9).await };
        let errors = [
            download().await.bytes(9).await.unwrap_err(),
            download().await.bytes(0).await.unwrap_err(),
            inspected().await.unwrap_err(),
            store.read(&reference, 9).await.unwrap_err(),
            store.read(&reference, 0).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.operation(), error.store()), (Some(Operation::Download), Some("s")));
            assert!(error.to_string().starts_with(&format!("s: download {name:?}: ")), "{error}");
            let is_redacted = is_bearer && error.to_string().contains("secret");
            assert!(!is_redacted, "{error}");
        }
    }
}

/// A layer whose store is another [`Scripted`] one.
struct Replacing;

impl Layer for Replacing {
    fn layer(&self, _: Arc<dyn FileStore>) -> Arc<dyn FileStore> {
        Arc::new(Scripted { capabilities: Capabilities::new("layered"), pages: 0, left_out: 0 })
    }
}

#[test]
fn the_backend_of_a_store_is_reached_below_its_layers() {
    let store = store(Capabilities::new("x"), 3, 0).layer(&Replacing);
    assert_eq!(store.capabilities().scheme, "layered");
    let backend: &Scripted = store.backend().unwrap();
    assert_eq!((backend.pages, backend.capabilities.scheme.as_ref()), (3, "x"));
}

#[test]
fn the_error_of_a_backend_of_another_type_names_the_one_of_the_store() {
    let store = store(Capabilities::new("x"), 0, 0);
    let error = store.backend::<Store>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "s: the backend of the store is \"x\", not a Store; use a store that has a Store");
}
