//! API keys, and the names and addresses of loopback, which alone is served without keys.

use std::net::IpAddr;
use std::path::Path;

use crate::limits;
use anyhow::Context;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The accepted API keys, hashed: comparing digests takes the same time whatever was sent.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// The keys in the file at `path`. Errors as [`read_keys`].
    pub fn read(path: &Path) -> anyhow::Result<Keys> {
        Ok(Keys(read_keys(path)?.iter().map(|key| digest(key)).collect()))
    }

    /// Whether `key` is one of them.
    pub(crate) fn accept(&self, key: &str) -> bool {
        let given = digest(key);
        // Every key is looked at, so that the time tells nothing of which one was near.
        self.0.iter().fold(false, |accepted, known| accepted | bool::from(known.ct_eq(&given)))
    }
}

/// The keys in the file at `path`, at least one, each on a line; blank lines, lines that start with
/// `#` and a byte order mark are skipped. A line that no client could ever send is an error that
/// names it.
pub(crate) fn read_keys(path: &Path) -> anyhow::Result<Vec<String>> {
    let file = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the API keys in {file}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        anyhow::anyhow!("{file}, line {line}: it is not UTF-8; API keys have the characters ! to ~ only")
    })?;
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim).enumerate();
    let mut keys = Vec::new();
    for (index, key) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        check(key).map_err(|what| anyhow::anyhow!("{file}, line {}: {what}", index + 1))?;
        keys.push(key.to_owned());
    }
    anyhow::ensure!(!keys.is_empty(), "{file} has no API key in it");
    anyhow::ensure!(
        keys.len() <= limits::API_KEYS_MAX,
        "{file} has more than {} API keys in it",
        limits::API_KEYS_MAX
    );
    Ok(keys)
}

/// What is wrong with an API key: a client must be able to send it in a header, as one word.
pub(crate) fn check(key: &str) -> Result<(), String> {
    let (min, max) = (limits::API_KEY_BYTES_MIN, limits::API_KEY_BYTES_MAX);
    if key.contains([' ', '\t']) {
        return Err(
            "an API key has no spaces; put comments on lines of their own, which start with #".to_owned()
        );
    }
    if let Some(odd) = key.chars().find(|character| !character.is_ascii_graphic()) {
        return Err(format!("an API key has the characters ! to ~ only, not {odd:?}"));
    }
    if !(min..=max).contains(&key.len()) {
        return Err(format!("an API key has {min} to {max} characters, not {}", key.len()));
    }
    Ok(())
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Whether the host in a URL or a `Host` header is loopback.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Keys, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys"), content).unwrap();
        Keys::read(&folder.path().join("keys")).map_err(|error| error.to_string())
    }

    #[test]
    fn each_key_of_a_file_lets_its_holder_in() {
        let longest = "k".repeat(limits::API_KEY_BYTES_MAX);
        let file = format!(
            "\u{feff}first-key-of-the-file\r\n\r\n# a comment\n  key-with-blanks-around  \nkey#with~odd+characters=\n{longest}"
        );
        let keys = read(file.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        for key in ["first-key-of-the-file", "key-with-blanks-around", "key#with~odd+characters=", &longest] {
            assert!(keys.accept(key), "{key}");
        }
        assert!(!keys.accept("# a comment") && !keys.accept(""));
    }

    #[test]
    fn loopback_is_told_from_other_hosts() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "localhost.example.com", "0.0.0.0", "[::]", "192.168.0.1", "[127.0.0.1", "example.com"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_key_that_nobody_could_send_is_refused_with_its_line() {
        let long = "k".repeat(limits::API_KEY_BYTES_MAX + 1);
        for (content, parts) in [
            (
                &b"abcdefghijklmnop\nabcdefghijklmnop # mine\n"[..],
                ["line 2:", "comments on lines of their own"],
            ),
            ("# keys\n\nabcdefghijklmn\u{f6}p".as_bytes(), ["line 3:", "not '\u{f6}'"]),
            (b"abcdefghijklmnop\0", ["line 1:", "not '\\0'"]),
            (b"abcdefghijklmnop\nabc\xffdefghijklmnop", ["line 2:", "not UTF-8"]),
            (b"\xff\xfea\0b\0c\0", ["line 1:", "not UTF-8"]),
            (b"\nshort", ["line 2:", "16 to 1024 characters, not 5"]),
            (long.as_bytes(), ["line 1:", "not 1025"]),
            (b"# nothing\n", ["keys", "has no API key in it"]),
            ("abcdefghijklmnop\u{feff}".as_bytes(), ["line 1:", "not '\\u{feff}'"]),
        ] {
            let said = read(content).err().unwrap_or_default();
            assert!(
                parts.iter().all(|part| said.contains(part)),
                "{:?}: {said:?}",
                String::from_utf8_lossy(content)
            );
        }
    }
}
