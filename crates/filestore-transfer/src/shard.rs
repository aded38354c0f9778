//! [`Shard`]: a part of the files of a source, which one of several workers moves.

use std::fmt;
use std::str::FromStr;

use filestore_core::{Error, FileRef, Result};
use sha2::Digest as _;

/// One of `count` parts of all files. The hash of its reference decides to which part a file belongs, so workers that
/// know nothing of each other move each file once.
///
/// The text form is `I/N`, with I from 1 to N.
///
/// ```
/// use filestore_transfer::Shard;
///
/// let shard: Shard = "3/16".parse()?;
/// assert_eq!(shard.to_string(), "3/16");
/// assert!("0/16".parse::<Shard>().is_err());
/// # Ok::<(), filestore_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Creates the part `index` of `count`. Fails with *invalid input* unless it is from 1 to `count`.
    pub fn new(index: u32, count: u32) -> Result<Self> {
        if (1..=count).contains(&index) {
            return Ok(Self { index, count });
        }
        Err(Error::invalid(format!(
            "there is no shard {index} of {count}; the shards of {count} are 1/{count} to {count}/{count}"
        )))
    }

    /// Returns `true` if the file belongs to this part.
    pub fn includes(self, reference: &FileRef) -> bool {
        let hash = sha2::Sha256::digest(reference.expose());
        let number = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        number % u64::from(self.count) == u64::from(self.index - 1)
    }

    /// Returns the number of parts.
    pub fn count(self) -> u32 {
        self.count
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) => Self::new(index, count),
            None => Err(Error::invalid(format!("{text:?} is not a shard; write I/N, such as 3/16"))),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_in_one_shard_and_the_shards_are_of_similar_size() {
        let files: Vec<FileRef> = (0..4000).map(|n| format!("a:fs:folder/{n}").parse().unwrap()).collect();
        let shards = [1, 2, 3, 4].map(|index| Shard::new(index, 4).unwrap());
        let mut sizes = [0; 4];
        for file in &files {
            let including: Vec<usize> = (0..4).filter(|at| shards[*at].includes(file)).collect();
            assert_eq!(including.len(), 1, "{file}");
            sizes[including[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (850..1150).contains(size)), "{sizes:?}");
    }

    #[test]
    fn the_shard_of_a_reference_never_changes() {
        // Journals of workers outlive a version of this program.
        let file: FileRef = "a:fs:folder/1".parse().unwrap();
        let shard = (1..=16).find(|index| Shard::new(*index, 16).unwrap().includes(&file));
        // The first 8 bytes of the SHA-256, as a big-endian number, modulo 16.
        assert_eq!(shard, Some(7));
    }

    #[test]
    fn a_shard_out_of_range_is_invalid() {
        for text in ["0/4", "5/4", "1/0", "", "1", "1/", "/4", "a/4", "1/4/2", "-1/4"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("4/4".parse::<Shard>().unwrap().to_string(), "4/4");
    }
}
