//! The datasets folder: opens files and lists folders below it, and nowhere else.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, limits};

/// `<data-dir>/datasets`. It need not exist.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// The state of a file, or of the files of a folder: while it is the same, so is the content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    file: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
    /// Of a folder: names, times and sizes of its files in one number.
    files: u64,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Folder {
        Folder { root }
    }

    /// The folder itself. The other functions take paths relative to it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The state of the file at `path`.
    pub(crate) fn stamp(&self, path: &str) -> Result<Stamp, Error> {
        let (file, metadata) = self.resolve_file(path)?;
        Ok(Stamp { file, modified: metadata.modified().ok(), bytes: metadata.len(), files: 0 })
    }

    /// The state of the files `paths`, all of them below the folder at `path`.
    pub(crate) fn stamp_all<'p>(
        &self,
        path: &str,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<Stamp, Error> {
        let (file, metadata) = self.resolve(path)?;
        let (mut bytes, mut hash) = (0u64, DefaultHasher::new());
        for path in paths {
            let metadata = fs::metadata(self.root.join(path)).map_err(|source| missing(path, source))?;
            bytes = bytes.saturating_add(metadata.len());
            (path, metadata.modified().ok(), metadata.len()).hash(&mut hash);
        }
        Ok(Stamp { file, modified: metadata.modified().ok(), bytes, files: hash.finish() })
    }

    /// The content of the file at `path`, inflated if it is gzipped, which its first two bytes say,
    /// not its name.
    pub(crate) fn open(&self, path: &str) -> Result<Box<dyn Read>, Error> {
        let file = self.file(path, limits::DATASET_BYTES_MAX)?;
        inflate(BufReader::with_capacity(1 << 16, file)).map_err(|source| io_error(path, source))
    }

    /// The file at `path`, of at most `max` bytes, for formats that are not read from start to end.
    pub(crate) fn file(&self, path: &str, max: u64) -> Result<File, Error> {
        let (file, metadata) = self.resolve_file(path)?;
        if metadata.len() > max {
            return Err(Error::TooLarge {
                path: path.to_owned(),
                what: "the file's size in bytes".into(),
                max,
            });
        }
        File::open(file).map_err(|source| io_error(path, source))
    }

    /// All of the file at `path`, of at most `max` bytes.
    pub(crate) fn bytes(&self, path: &str, max: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.file(path, max)?.take(max).read_to_end(&mut bytes).map_err(|source| io_error(path, source))?;
        Ok(bytes)
    }

    /// The names in the folder at `path`, in the order of their bytes, and whether each is a
    /// folder.
    pub(crate) fn entries(&self, path: &str) -> Result<Vec<(String, bool)>, Error> {
        let format = |detail: String| Error::Format { path: format!("{path}/"), detail };
        let (folder, metadata) = self.resolve(path)?;
        if !metadata.is_dir() {
            return Err(format(
                "is not a folder; a `source` that ends in / must be a folder of images".into(),
            ));
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(|source| io_error(path, source))? {
            let entry = entry.map_err(|source| io_error(path, source))?;
            let name = entry.file_name();
            let name =
                name.to_str().ok_or_else(|| format(format!("the name {name:?} is not UTF-8; rename it")))?;
            entries
                .push((name.to_owned(), fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir())));
            if entries.len() > limits::IMAGES_MAX {
                let what = "the number of files".into();
                return Err(Error::TooLarge {
                    path: format!("{path}/"),
                    what,
                    max: limits::IMAGES_MAX as u64,
                });
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn resolve_file(&self, path: &str) -> Result<(PathBuf, fs::Metadata), Error> {
        let (file, metadata) = self.resolve(path)?;
        // A pipe would block the reader for ever, and a device never ends.
        if !metadata.is_file() {
            return Err(Error::Path { path: path.to_owned(), reason: "is not a plain file" });
        }
        Ok((file, metadata))
    }

    /// The real path of `path`. It is checked twice, as text and as the system resolves it, since a
    /// link may lead anywhere.
    fn resolve(&self, path: &str) -> Result<(PathBuf, fs::Metadata), Error> {
        let refused = |reason| Error::Path { path: path.to_owned(), reason };
        if path.is_empty() || path.contains(['\0', '\\']) {
            return Err(refused("is not a path"));
        }
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(refused("leaves the datasets folder"));
        }
        let missing = |source| missing(path, source);
        let root = self.root.canonicalize().map_err(missing)?;
        let file = root.join(path).canonicalize().map_err(missing)?;
        if !file.starts_with(&root) {
            return Err(refused("leaves the datasets folder through a link"));
        }
        let metadata = fs::metadata(&file).map_err(missing)?;
        Ok((file, metadata))
    }
}

fn missing(path: &str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing { path: path.to_owned() },
        _ => io_error(path, source),
    }
}

/// `input`, inflated if it starts with gzip's two magic bytes.
pub(crate) fn inflate(mut input: impl BufRead + 'static) -> io::Result<Box<dyn Read>> {
    Ok(if input.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(input))
    } else {
        Box::new(input)
    })
}

/// An error of the system while `path` was read.
pub(crate) fn io_error(path: &str, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A datasets folder with one file, `a.csv`, beside a file that nobody may read.
    fn folder() -> (tempfile::TempDir, Folder) {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir_all(outer.path().join("datasets/below")).unwrap();
        fs::write(outer.path().join("secret"), "secret").unwrap();
        fs::write(outer.path().join("datasets/a.csv"), "content").unwrap();
        let folder = Folder::new(outer.path().join("datasets"));
        (outer, folder)
    }

    fn read(folder: &Folder, path: &str) -> Result<String, Error> {
        let mut text = String::new();
        folder.open(path)?.read_to_string(&mut text).map_err(|source| io_error(path, source))?;
        Ok(text)
    }

    #[test]
    fn no_path_leaves_the_folder() {
        let (outer, folder) = folder();
        symlink(outer.path().join("secret"), outer.path().join("datasets/link")).unwrap();
        symlink(outer.path(), outer.path().join("datasets/linked")).unwrap();
        symlink("..", outer.path().join("datasets/below/up")).unwrap();
        fs::create_dir(outer.path().join("datasets-too")).unwrap();
        fs::write(outer.path().join("datasets-too/a.csv"), "secret").unwrap();
        symlink("../datasets-too/a.csv", outer.path().join("datasets/prefix")).unwrap();
        let absolute = outer.path().join("datasets/a.csv").to_str().unwrap().to_owned();
        for path in [
            "",
            ".",
            "./",
            "..",
            "../secret",
            "below/../../secret",
            "below/..",
            "/etc/passwd",
            &absolute,
            "a.csv\0",
            "\0",
            "..\\secret",
            "link",
            "linked/secret",
            "below/up/../secret",
            "below/up/link",
            "prefix",
            "below",
            "below/up",
        ] {
            let error = folder.open(path).err().unwrap_or_else(|| panic!("{path:?} must be refused"));
            assert!(matches!(error, Error::Path { .. }), "{path:?}: {error}");
            assert!(folder.stamp(path).is_err());
            assert!(
                !error.to_string().contains(outer.path().join("datasets").to_str().unwrap())
                    || path == absolute,
                "{error}"
            );
        }
    }

    #[test]
    fn a_link_that_stays_inside_is_followed() {
        let (outer, folder) = folder();
        symlink("../a.csv", outer.path().join("datasets/below/link.csv")).unwrap();
        assert_eq!(read(&folder, "below/link.csv").unwrap(), "content");
        assert_eq!(folder.stamp("below/link.csv").unwrap(), folder.stamp("a.csv").unwrap());
    }

    #[test]
    fn a_path_that_is_not_a_plain_file_or_does_not_exist_is_refused() {
        let (outer, folder) = folder();
        let _socket = UnixListener::bind(outer.path().join("datasets/socket")).unwrap();
        assert!(matches!(folder.open("socket"), Err(Error::Path { .. })));
        assert!(matches!(folder.open("b.csv"), Err(Error::Missing { .. })));
        assert!(matches!(folder.open("a.csv/b.csv"), Err(Error::Missing { .. })));
        symlink("nowhere", outer.path().join("datasets/dangling")).unwrap();
        assert!(matches!(folder.open("dangling"), Err(Error::Missing { .. })));
        assert!(matches!(Folder::new(outer.path().join("none")).open("a.csv"), Err(Error::Missing { .. })));
        let long = "x".repeat(5_000);
        assert!(matches!(folder.open(&long), Err(Error::Io { .. })));
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes_and_damage_is_an_error() {
        let (outer, folder) = folder();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"content").unwrap();
        let packed = gzip.finish().unwrap();
        let place =
            |name: &str, bytes: &[u8]| fs::write(outer.path().join("datasets").join(name), bytes).unwrap();
        place("packed.csv", &packed);
        place("cut.gz", &packed[..packed.len() - 3]);
        place("plain.gz", b"content");
        place("empty", b"");
        assert_eq!(read(&folder, "packed.csv").unwrap(), "content");
        assert_eq!(read(&folder, "plain.gz").unwrap(), "content");
        assert_eq!(read(&folder, "empty").unwrap(), "");
        assert!(matches!(read(&folder, "cut.gz"), Err(Error::Io { .. })));
    }

    #[test]
    fn a_file_beyond_the_bound_is_not_opened() {
        let (outer, folder) = folder();
        File::create(outer.path().join("datasets/sparse"))
            .unwrap()
            .set_len(limits::DATASET_BYTES_MAX + 1)
            .unwrap();
        assert!(matches!(folder.open("sparse"), Err(Error::TooLarge { .. })));
    }
}
