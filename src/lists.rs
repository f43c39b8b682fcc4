//! OPML lists: reading them, the roster made of them, its changes, and noticing that a file was saved.
//!
//! The flow: [`watch`] says that something was saved, [`read`] takes the files, [`opml`] turns each into an outline
//! tree (where it cannot, the daemon keeps the list's last good content), [`mod@include`] puts remote lists in their places,
//! [`roster`] makes one picture of all of them, and [`diff`] says what became of the people in it. [`edit`] writes new
//! outlines into a file. Knows nothing of the network or the database.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub mod diff;
pub mod edit;
pub mod include;
pub mod opml;
pub mod roster;
pub mod slug;
pub mod watch;

/// The largest list that is read, in bytes.
pub const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;

/// One file of the lists directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// The list's name: the file's stem.
    pub name: String,
    /// Where the file is.
    pub path: PathBuf,
    /// Its bytes, or why they cannot be had.
    pub content: Result<Vec<u8>, String>,
}

/// The lists directory cannot be read. That is no departure of everyone: the lists stand as they were.
#[derive(Debug, thiserror::Error)]
#[error("the lists directory {} cannot be read: {source}", path.display())]
pub struct DirFault {
    /// The directory.
    pub path: PathBuf,
    /// Why it cannot be read.
    pub source: io::Error,
}

/// Reads every list of a directory, in the order of their names: `*.opml`, symbolic links followed. Hidden files, files
/// with other endings and what is no file are ignored. A list that is there but cannot be read says so in its content.
pub fn read(dir: &Path) -> Result<Vec<ListFile>, DirFault> {
    let fault = |source| DirFault { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(fault)? {
        let file_name = entry.map_err(fault)?.file_name();
        let Some(name) = list_name(&file_name) else { continue };
        let path = dir.join(&file_name);
        if let Some(content) = content(&path) {
            files.push(ListFile { name, path, content });
        }
    }
    files.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(files)
}

/// The name of the list that a file of this name is; `None` where it is none.
fn list_name(file_name: &OsStr) -> Option<String> {
    let path = Path::new(file_name);
    let is_list = path.extension() == Some(OsStr::new("opml")) && !file_name.as_encoded_bytes().starts_with(b".");
    is_list.then(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
}

/// The bytes of a list, or why they cannot be had; `None` where there is no such file (any more).
fn content(path: &Path) -> Option<Result<Vec<u8>, String>> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let faulty = |error: io::Error| match error.kind() {
        // A link whose target is missing for a moment is how some tools save; the list is still meant to be there.
        io::ErrorKind::NotFound if is_link => Some(Err("the link leads nowhere".to_owned())),
        io::ErrorKind::NotFound => None,
        _ => Some(Err(error.to_string())),
    };
    match fs::metadata(path) {
        Err(error) => return faulty(error),
        Ok(found) if !found.is_file() => return None, // opening a pipe would wait for ever
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_LIST_BYTES + 1).read_to_end(&mut bytes)) {
        Err(error) => faulty(error),
        Ok(_) if bytes.len() as u64 > MAX_LIST_BYTES => {
            Some(Err(format!("the file is larger than {} MiB", MAX_LIST_BYTES / (1024 * 1024))))
        }
        Ok(_) => Some(Ok(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_directory_are_lists_by_their_names() {
        for (file, name) in [
            ("followers.opml", Some("followers")),
            ("Old Friends.opml", Some("Old Friends")),
            ("a.b.opml", Some("a.b")),
            (".hidden.opml", None),
            (".opml", None),
            ("followers.opml~", None),
            ("followers.OPML", None),
            ("followers.xml", None),
            ("opml", None),
        ] {
            assert_eq!(list_name(OsStr::new(file)).as_deref(), name, "{file}");
        }
    }
}
