//! The operations on many files: upload, download, delete.

use filestore_core::{Delete, SavedFile, Store, StoredFile, Upload};
use futures::stream::{Stream, StreamExt};

use crate::copy::CopyTo;
use crate::schedule::Schedule;
use crate::transfer::Transfer;
use crate::{CopiedFile, FileCopy, Outcomes, Save, TransferPool};

impl TransferPool {
    /// Uploads many files. Each input is a key and an [`Upload`]; the key is returned with the result.
    ///
    /// - **Order.** Up to 10,000 inputs are read ahead, and the largest of them is sent first. An input of unknown size
    ///   counts as large.
    /// - **Memory.** An input that waits holds its [`Upload`], which is small if the body is
    ///   [a path](filestore_core::Body::from_path) or [reopenable](filestore_core::Body::reopenable).
    /// - **Progress.** [`Outcomes::on_progress`] reports that of all files. Observers of single uploads receive theirs.
    /// - **Errors.** An input that fails does not stop the others. Its error is that of [`Store::upload`]. A panic in a
    ///   store or body is *other* with the effect *unknown*. A panic of `inputs` is a panic of the stream of outcomes.
    /// - **Retries.** The retries of a request are those of the store. If the service rejects an input as *rate limited*,
    ///   or as *unavailable* with the status 503, it is sent again up to four times, if its body [can be
    ///   replayed](filestore_core::Body::can_replay) and it is not the only input: after 0.5 s, 1 s, 2 s and 4 s, or
    ///   after the time that the service asks for, if it is at most 60 s. No other input is sent again.
    ///
    /// ```
    /// use filestore_core::{Result, Store, Upload};
    /// use filestore_transfer::TransferPool;
    /// use futures::{StreamExt, stream};
    ///
    /// async fn upload(pool: &TransferPool, store: &Store, paths: Vec<String>) -> Result<()> {
    ///     let uploads = paths.into_iter().map(|path| Upload::from_path(&path).map(|upload| (path, upload)));
    ///     let uploads: Result<Vec<_>> = uploads.collect();
    ///     let mut outcomes = pool.upload_all(store, stream::iter(uploads?));
    ///     while let Some(outcome) = outcomes.next().await {
    ///         match outcome.result {
    ///             Ok(file) => println!("{} is stored as {}", outcome.key, file.reference()),
    ///             Err(error) => eprintln!("{}: {error}", outcome.key),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn upload_all<K: Send + 'static>(
        &self,
        store: &Store,
        inputs: impl Stream<Item = (K, Upload)> + Send + 'static,
    ) -> Outcomes<K, StoredFile> {
        self.run_all(store, inputs)
    }

    /// Downloads many files to the disk. Each input is a key and a [`Save`]; the key is returned with the result.
    ///
    /// Each file is complete or absent, as with [`Store::download_to_path`] and [`Store::download_to_folder`], whose
    /// errors and effects are those of the results. A read that [consumes](filestore_core::Capabilities::reads_consume)
    /// its file is sent once. Order, errors and retries are otherwise those of [`upload_all`](Self::upload_all).
    pub fn download_all<K: Send + 'static>(
        &self,
        store: &Store,
        inputs: impl Stream<Item = (K, Save)> + Send + 'static,
    ) -> Outcomes<K, SavedFile> {
        self.run_all(store, inputs)
    }

    /// Deletes many files. Each input is a key and a [`Delete`], or a reference; the key is returned with the result.
    ///
    /// The errors are those of [`Store::delete`]. The files are deleted in the order of the inputs, many at once.
    /// Errors and retries are otherwise those of [`upload_all`](Self::upload_all).
    pub fn delete_all<K: Send + 'static, D: Into<Delete> + 'static>(
        &self,
        store: &Store,
        inputs: impl Stream<Item = (K, D)> + Send + 'static,
    ) -> Outcomes<K, ()> {
        self.run_all(store, inputs.map(|(key, delete)| (key, delete.into())))
    }

    /// Copies many files from `source` to `target`. Each input is a key and a [`FileCopy`]; the key is returned with the
    /// result.
    ///
    /// The effect of an error is that on the destination; the files of the source stay, except those that are read by
    /// [`FileCopy::spool`]. Errors are those of [`Store::download`] and [`Store::upload`], and:
    ///
    /// - *integrity*, with the effect *applied* and [the new file](filestore_core::Error::stored), if the destination has
    ///   another content than was sent;
    /// - *unsupported*, before anything is sent, if the read would consume the file, and for what the destination lacks.
    ///
    /// Order, retries and progress are those of [`upload_all`](Self::upload_all). A file whose read counts or consumes is
    /// sent once.
    pub fn copy_all<K: Send + 'static>(
        &self,
        source: &Store,
        target: &Store,
        inputs: impl Stream<Item = (K, FileCopy)> + Send + 'static,
    ) -> Outcomes<K, CopiedFile> {
        let target = target.clone();
        self.run_all(source, inputs.map(move |(key, copy)| (key, CopyTo { copy, target: target.clone() })))
    }

    pub(crate) fn run_all<K: Send + 'static, T: Send + 'static>(
        &self,
        store: &Store,
        inputs: impl Stream<Item = (K, impl Transfer<T> + 'static)> + Send + 'static,
    ) -> Outcomes<K, T> {
        let inputs = inputs.map(|(key, transfer)| (key, Box::new(transfer) as _));
        Outcomes::new(Schedule::new(self.clone(), store.clone(), inputs.boxed()))
    }
}
