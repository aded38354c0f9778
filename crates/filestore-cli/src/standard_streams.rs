//! Standard streams that lose data without an error.
//!
//! The standard library opens `/dev/null` for each standard stream that is closed when the program starts. It also
//! ignores writes to an output that is open for reading only, and treats an input that is open for writing only as
//! empty.

use std::path::Path;

use filestore::{Effect, Error, ErrorKind, Result};

/// Makes the standard streams block. Another program may leave a pipe or terminal in the non-blocking mode, in which a
/// write fails as soon as its buffer is full: a file that is read once would be lost.
pub(crate) fn set_blocking() {
    stream::set_blocking(std::io::stdin());
    stream::set_blocking(std::io::stdout());
    stream::set_blocking(std::io::stderr());
}

/// Returns an *invalid input* error if standard input would be read as empty although it is not.
pub(crate) fn check_input() -> Result<()> {
    match stream::state(std::io::stdin()) {
        stream::State::WriteOnly => {
            Err(Error::invalid("standard input is not open for reading; redirect a file to it"))
        }
        stream::State::Closed => Err(Error::invalid(
            "standard input is closed; redirect a file to it, or upload /dev/null with --name for an empty file",
        )),
        _ => Ok(()),
    }
}

/// Returns an *invalid input* error if `path` is a name of standard input, which would be read as empty although
/// it is not.
pub(crate) fn check_input_at(path: &Path) -> Result<()> {
    let names = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];
    if names.iter().any(|name| path == Path::new(name)) { check_input() } else { Ok(()) }
}

/// Returns `true` if `path` is a name of standard output.
pub(crate) fn is_output(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Returns an *invalid input* error if writes to standard output are ignored.
pub(crate) fn check_output() -> Result<()> {
    match stream::state(std::io::stdout()) {
        stream::State::ReadOnly => {
            Err(Error::invalid("standard output is not open for writing; redirect it to a file"))
        }
        _ => Ok(()),
    }
}

/// Returns `true` if standard output may be closed. It may also be `/dev/null` that the caller opened for reading and
/// writing, as the libraries of some languages do.
pub(crate) fn may_be_closed() -> bool {
    matches!(stream::state(std::io::stdout()), stream::State::Closed)
}

/// Returns an *invalid input* error if standard output cannot keep the only copy of `data`.
pub(crate) fn check_output_keeps(data: &str) -> Result<()> {
    check_output()?;
    if may_be_closed() {
        let message = format!("standard output is closed or /dev/null, and {data} would be lost; give a path with -o");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Returns `true` if standard output is a pipe or a socket whose reader has closed it already.
pub(crate) fn is_closed_by_reader() -> bool {
    stream::has_no_reader(std::io::stdout())
}

/// Returns a *quota* error if standard output is a regular file whose disk cannot hold `bytes` more.
pub(crate) fn check_output_holds(bytes: u64) -> Result<()> {
    match stream::free_space(std::io::stdout()) {
        Some(free) if free < bytes => {
            let message =
                format!("the disk of standard output has {free} bytes left, but {bytes} are needed; free some space");
            Err(Error::new(ErrorKind::Quota, Effect::NotSent, message))
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
mod stream {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

    pub(super) enum State {
        ReadOnly,
        WriteOnly,
        /// `/dev/null`, open for reading and writing, as the standard library opens it for a closed stream. A shell
        /// that redirects to `/dev/null` opens it either for reading or for writing.
        Closed,
        Open,
    }

    pub(super) fn set_blocking(stream: impl AsFd) {
        if let Ok(flags) = fcntl_getfl(&stream)
            && flags.contains(OFlags::NONBLOCK)
        {
            // Where it cannot be set, the write fails as it would have.
            let _ = fcntl_setfl(&stream, flags - OFlags::NONBLOCK);
        }
    }

    pub(super) fn state(stream: impl AsFd) -> State {
        let Ok(flags) = fcntl_getfl(&stream) else { return State::Closed };
        match flags & OFlags::ACCMODE {
            OFlags::RDONLY => State::ReadOnly,
            OFlags::WRONLY => State::WriteOnly,
            _ if is_null(stream) => State::Closed,
            _ => State::Open,
        }
    }

    pub(super) fn has_no_reader(stream: impl AsFd) -> bool {
        // These events are reported without a request for them.
        let mut polled = [PollFd::new(&stream, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
    }

    /// Returns the space that a regular file can grow by.
    pub(super) fn free_space(stream: impl AsFd) -> Option<u64> {
        let kind = FileType::from_raw_mode(fstat(&stream).ok()?.st_mode);
        if kind == FileType::RegularFile { filestore::free_space(stream) } else { None }
    }

    fn is_null(stream: impl AsFd) -> bool {
        let (Ok(stream), Ok(null)) = (fstat(stream), std::fs::metadata("/dev/null")) else { return false };
        FileType::from_raw_mode(stream.st_mode) == FileType::CharacterDevice && stream.st_rdev == null.rdev()
    }
}

#[cfg(not(unix))]
mod stream {
    #[expect(dead_code, reason = "only Unix distinguishes these states")]
    pub(super) enum State {
        ReadOnly,
        WriteOnly,
        Closed,
        Open,
    }

    pub(super) fn set_blocking<S>(_: S) {}

    pub(super) fn state<S>(_: S) -> State {
        State::Open
    }

    pub(super) fn has_no_reader<S>(_: S) -> bool {
        false
    }

    pub(super) fn free_space<S>(_: S) -> Option<u64> {
        None
    }
}
