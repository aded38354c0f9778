//! The options of one upload, with the provider options resolved.

use std::collections::BTreeMap;

use filestore_core::{Error, Result, Upload};
use jiff::Timestamp;

use crate::ByteSize;
use crate::options::FilesComUpload;

/// The options of one upload.
#[derive(Debug, Clone)]
pub(crate) struct UploadOptions {
    /// The time of the last change to show, in whole seconds, as the service stores it.
    pub(crate) provided_mtime: Option<Timestamp>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) mkdir_parents: bool,
    pub(crate) with_rename: bool,
    pub(crate) part_size: Option<u64>,
}

impl UploadOptions {
    /// Resolves the options of `upload`. *Invalid input* for a part size out of its range, and for metadata that the
    /// service would reject after the content was sent.
    pub(crate) async fn of(upload: &Upload) -> Result<Self> {
        let options = upload.options.get::<FilesComUpload>().unwrap_or_default();
        check_metadata(&upload.metadata)?;
        options.part_size.map_or(Ok(()), ByteSize::check_part)?;
        let time = match options.provided_mtime {
            Some(time) => Some(time),
            None => upload.modified_or_of_file().await?,
        };
        Ok(Self {
            provided_mtime: time.and_then(|time| Timestamp::from_second(time.as_second()).ok()),
            metadata: upload.metadata.clone(),
            mkdir_parents: upload.create_parents && options.mkdir_parents.unwrap_or(true),
            with_rename: options.with_rename.unwrap_or_default(),
            part_size: options.part_size.map(ByteSize::as_u64),
        })
    }
}

/// *Invalid input* unless the service accepts the metadata: at most 32 keys of 1 to 256 characters, with values of up
/// to 1,024 characters.
pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<()> {
    if metadata.len() > 32 {
        return Err(Error::invalid(format!(
            "the metadata has {} keys; the service accepts at most 32",
            metadata.len()
        )));
    }
    for (key, value) in metadata {
        let (key_chars, value_chars) = (key.chars().count(), value.chars().count());
        if !(1..=256).contains(&key_chars) || value_chars > 1024 {
            return Err(Error::invalid(format!(
                "a key of the metadata has {key_chars} characters and its value {value_chars}; the service accepts 1 \
                 to 256 and at most 1024"
            )));
        }
    }
    Ok(())
}
