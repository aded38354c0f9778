//! The part of an application that is the same for every service.

use filestore_core::{FileRef, Result, Store, Upload};

/// Uploads a report, stores its reference as text, and reads the report through that text.
pub async fn share(store: &Store) -> Result<()> {
    let report = "the figures of the third quarter";
    let file = store.upload(Upload::new("q3.txt", report)).await?;
    let saved = file.reference().to_string();

    let parsed: FileRef = saved.parse()?;
    let content = store.read(&parsed, 1 << 20).await?;
    assert_eq!(content, report.as_bytes());
    println!("{saved}");
    Ok(())
}

/// Returns the first argument: the URL of the service, or the folder of the backend `fs`.
pub fn first_argument() -> String {
    std::env::args().nth(1).expect("the first argument is the URL of the service or a folder")
}
