//! The part of an application that knows no service.

use filestore_core::{FileRef, Result, Store, Upload};

/// Uploads a report, keeps its reference as a text, and reads the report by that text.
pub async fn share(store: &Store) -> Result<()> {
    let report = "the figures of the third quarter";
    let file = store.upload(Upload::new("q3.txt", report)).await?;
    let saved = file.reference().to_string();

    let again: FileRef = saved.parse()?;
    let content = store.read(&again, 1 << 20).await?;
    assert_eq!(content, report.as_bytes());
    println!("{saved}");
    Ok(())
}

/// The address of the service to use: the first argument.
pub fn address() -> String {
    std::env::args().nth(1).expect("the first argument is the address of the service")
}
